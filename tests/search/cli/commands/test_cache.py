import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from objectives.backbones.catalog import load_backbone
from objectives.datasets.catalog import load_dataset
from objectives.datasets.dataset import Dataset
from objectives.features.cache.quota import CacheUsage
from objectives.features.extraction import Clock, Extractor
from tests.support.command_line import Search
from tests.support.made_once import made_once


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits", None)


@pytest.fixture(scope="session")
def filled_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of 300 images at two timesteps of the bundled network. Tests must not change it."""

    def fill(folder: Path) -> None:
        usage, digits = CacheUsage(folder), load_dataset("digits", None)
        usage.remember(digits)
        list(Extractor(load_backbone("bundled"), digits, usage, {9: 2}, 0).fill(np.arange(300), [5, 44], 1, Clock()))

    return made_once(tmp_path_factory, "filled cache", fill)


@pytest.fixture
def filled(filled_cache: Path, tmp_path: Path) -> Path:
    """The cache of the test's home: a copy of `filled_cache`."""
    return Path(shutil.copytree(filled_cache, tmp_path / "home" / "cache"))


def shards(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*-*/*.safetensors"))


def test_an_empty_cache_says_what_fills_it(search: Search, tmp_path: Path) -> None:
    ran = search("cache")
    assert ran.code == 0
    assert "is empty; `search run` fills it" in ran.stdout
    assert not (tmp_path / "home").exists()


def test_the_content_is_listed(search: Search, filled: Path) -> None:
    ran = search("cache")
    assert ran.code == 0, ran.stderr
    assert "features of bundled, seed 0" in ran.stdout
    record: dict[str, Any] = json.loads(search("cache", "--json").stdout)
    (features,) = record["holds"]
    assert (features["dataset"], features["timesteps"], features["passes"]) == ("digits", [5, 44], 600)
    assert features["bytes"] == sum(path.stat().st_size for path in shards(filled))
    assert features["studies"] == []


def test_damaged_shards_are_removed_and_counted(search: Search, filled: Path) -> None:
    count = len(shards(filled))
    assert search("cache", "verify").stdout == f"{count} shards, 0 damaged\n"
    victim = shards(filled)[0]
    victim.write_bytes(victim.read_bytes()[:-1])
    assert search("cache", "verify").stdout == f"{count} shards, 1 damaged and removed\n"
    assert search("cache", "verify").stdout == f"{count - 1} shards, 0 damaged\n"


def test_pruning_removes_no_more_than_requested(search: Search, filled: Path) -> None:
    before = shards(filled)
    assert "would remove" in search("cache", "prune", "--to", "0", "--dry-run").stdout
    assert shards(filled) == before
    largest = max(path.stat().st_size for path in before)
    taken = CacheUsage(filled).taken()
    assert "1 shards" in search("cache", "prune", "--to", str(taken - 1)).stdout
    assert taken - largest <= CacheUsage(filled).taken() < taken
    assert search("cache", "prune", "--dataset", "digits").code == 0
    assert shards(filled) == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("prune",), 2, "say what to remove: --to SIZE, --dataset NAME, or both"),
        (("prune", "--to", "much"), 2, "expected a size such as 200GB"),
        (("prune", "--dataset", "digit"), 2, "unknown dataset in the cache 'digit'; did you mean 'digits'?"),
    ],
)
def test_a_mistake_is_one_line_and_removes_nothing(
    search: Search, filled: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    before = shards(filled)
    ran = search("cache", *words)
    assert ran.code == code
    assert said in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert shards(filled) == before


def test_features_that_a_run_reads_are_not_pruned(search: Search, filled: Path, digits: Dataset) -> None:
    usage = CacheUsage(filled)
    with usage.using([digits], [filled / "features"]):
        assert "in use" in search("cache").stdout
        assert "0 shards" in search("cache", "prune", "--to", "0").stdout
    assert shards(filled)
