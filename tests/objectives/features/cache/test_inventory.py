import logging
from pathlib import Path

import numpy as np
import pytest

from objectives.backbones.tapped import TappedBackbone
from objectives.datasets.dataset import Dataset
from objectives.features.cache.inventory import About, holdings, verify
from objectives.features.cache.quota import CacheUsage
from objectives.features.extraction import Clock, Extractor
from tests.support.shards import ONE, OTHER, make


def test_what_is_held_is_told_by_kind_source_and_dataset(
    tmp_path: Path, tiny: TappedBackbone, few_digits: Dataset
) -> None:
    usage = CacheUsage(tmp_path)
    usage.remember(few_digits)
    usage.remember(ONE)
    for seed in (0, 1):
        list(Extractor(tiny, few_digits, usage, {9: 2}, seed).fill(np.arange(300), [5, 44], 1, Clock()))
    make(usage, ONE, "pixels/kind")
    make(usage, OTHER, "pixels/kind")
    with usage.using([few_digits], [usage.folder / "features"]):
        held = holdings(usage)
    found = {
        (h.kind, h.about and h.about.seed, h.dataset and h.dataset.name): (
            h.timesteps,
            h.images,
            len(h.shards),
            h.in_use,
        )
        for h in held
    }
    assert found == {
        ("features", 0, "digits"): ((5, 44), 600, 4, True),
        ("features", 1, "digits"): ((5, 44), 600, 4, True),
        ("pixels", None, "one"): ((), 50, 1, False),
        ("pixels", None, None): ((), 50, 1, False),
    }
    assert sum(h.bytes for h in held) == usage.taken()
    about = held[0].about
    assert about is not None
    assert (about.backbone, about.weights) == (tiny.architecture.name, tiny.digest)


def test_a_folder_that_says_nothing_of_itself(tmp_path: Path) -> None:
    assert About.read(tmp_path) is None
    (tmp_path / "about.json").write_text("{}")
    assert About.read(tmp_path) is None


def test_verifying_finds_damage_and_clears_what_was_left(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    usage = CacheUsage(tmp_path)
    sound, damaged = make(usage, ONE), make(usage, OTHER)
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 4
    damaged.write_bytes(content)
    left = sound.parent / "0123.part"
    left.write_bytes(b"half a shard")
    with caplog.at_level(logging.WARNING):
        assert sorted(verify(usage)) == [False, True]
    assert f"{damaged} is damaged" in caplog.text
    assert list(sound.parent.iterdir()) == [sound]
    assert list(verify(usage)) == [True]
