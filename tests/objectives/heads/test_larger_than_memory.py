"""Heads on features that exceed what their process may take of memory, and on rows of others' features."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from objectives.features.cache.feature_cache import Feature, FeatureCache
from objectives.features.cache.shards import FLOAT16, Column, ShardWriter
from objectives.heads import head
from objectives.heads.catalog import HEADS
from objectives.heads.head import Fit, LabelledFeatures
from tests.support.heads import OPTIONS, digits
from tests.support.limited_memory_fit import CLASSES, KEY
from tests.support.shards import keys

ROOM = 64 * 2**20
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "1000000"}
"""The threshold from which malloc gives freed memory back, so that the limit counts only memory in use."""

READERS = [name for name in HEADS if name not in ("cnn", "attention")]
"""One head for each way to read features. The same code trains all networks."""


TALL, WIDE = (16_000, 1_500, 2.0), (1_200, 20_000, 10.0)
"""Images, features, and how far the classes lie apart."""


@pytest.fixture(scope="module")
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, int]:
    """A cache with 96 MB of features of four classes that overlap."""
    count, features, distance = request.param
    folder, images = tmp_path_factory.mktemp("cache"), keys(count)
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(CLASSES, features, 1, 1, generator=generator) * distance / features**0.5
    shards, name = FeatureCache(folder).folder_of(KEY), Feature(1, 1).column
    shards.folder.mkdir(parents=True)
    for start in range(0, count, 400):
        rows = torch.arange(start, start + 400) % CLASSES
        values = centres[rows] + torch.randn(400, features, 1, 1, generator=generator)
        some = images[start : start + 400]
        with ShardWriter(shards.folder / "x.part", some, {name: Column(FLOAT16, (features, 1, 1))}) as writer:
            writer.append({name: values})
            writer.commit(shards.name_of(some, [name]), 1.0)
    return folder, count, features


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux, where a limit does not count files")
@pytest.mark.parametrize(
    ("filled", "name"),
    [(TALL, "linear"), (TALL, "mlp"), (WIDE, "linear")],
    ids=["tall, linear", "tall, mlp", "wide, linear"],
    indirect=["filled"],
)
def test_a_head_learns_the_same_from_features_that_memory_does_not_hold(
    name: str, filled: tuple[Path, int, int]
) -> None:
    folder, count, width = filled
    lines = []
    for room in (0, ROOM):
        module = "tests.support.limited_memory_fit"
        command = [sys.executable, "-m", module, *map(str, (folder, name, count, width, room))]
        done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=250, check=False)
        assert done.returncode == 0, done.stderr
        lines.append(done.stdout.split())
    assert lines[0] == [lines[1][0], "memory"]
    assert lines[1][1] == "file"
    assert int(lines[0][0]) > 0.35 * count / 5
    assert list((folder / "scratch").iterdir()) == []


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("name", READERS)
def test_training_from_slabs_equals_training_from_one_copy(
    name: str, balanced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, validation = digits()
    few = LabelledFeatures(train.features[:40].contiguous(), train.labels[:40])  # fewer images than features
    for some in (replace(train, balanced=balanced), replace(few, balanced=balanced)):
        features = torch.cat([validation.features, some.features])
        order = torch.randperm(len(features), generator=torch.Generator().manual_seed(1))
        places = order.argsort()
        at = len(validation)
        lazy = [
            LabelledFeatures(features[order], validation.labels, places[:at]),
            LabelledFeatures(features[order], some.labels, places[at:], balanced=balanced),
        ]
        *_, whole = HEADS[name].fit(some, validation, 10, OPTIONS[name], 0)
        with monkeypatch.context() as patched:
            patched.setattr(head, "SLAB_BYTES", 64 * 4 * 7)
            patched.setattr("objectives.heads.standardisation.SLAB_BYTES", 40 * 4 * 5)
            *_, parts = HEADS[name].fit(lazy[1], lazy[0], 10, OPTIONS[name], 0)
        assert isinstance(whole, Fit)
        assert isinstance(parts, Fit)
        assert parts.details == pytest.approx(whole.details)
        assert abs(parts.validation.correct - whole.validation.correct) <= 2
