"""Copies of shards from a machine that has another cache folder."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from objectives.features.cache.other_machines import INCOMING, Copies
from objectives.features.cache.quota import CacheUsage
from objectives.features.cache.shard_folder import ShardFolder
from spaces import CacheError
from tests.support.shards import ONE, OTHER, THIRD, all_of, keys_of, make, numbers

PLACE = "features/source/t0001-d0"


class OtherFolder:
    """Another machine, whose cache is another folder of this one. It is gone after so many bytes."""

    def __init__(self, folder: Path, most: int = 2**30) -> None:
        self.folder, self.most, self.asked = folder, most, 0

    def turn(self) -> float:
        return 0.5

    def shards(self, folder: Path) -> Mapping[str, int]:
        self.asked += 1
        return {file.name: file.stat().st_size for file in (self.folder / PLACE).glob("*.safetensors")}

    def read(self, file: Path, size: int) -> Iterator[bytes]:
        content = (self.folder / PLACE / file.name).read_bytes()
        assert len(content) == size
        yield content[: self.most]
        if size > self.most:
            raise ConnectionError("the machine is gone")


def test_what_another_machine_has_is_copied_once_and_read(tmp_path: Path) -> None:
    here, there = CacheUsage(tmp_path / "here"), CacheUsage(tmp_path / "there")
    mine, theirs = make(here, ONE), make(there, OTHER)
    before = mine.stat().st_mtime_ns
    make(there, ONE)
    machine = OtherFolder(there.folder)
    copies = Copies(machine)
    for _ in range(3):
        copies.fetch(here.folder / PLACE, here)
    assert machine.asked == 1  # a worker asks before each of its shards
    assert (here.folder / PLACE / theirs.name).read_bytes() == theirs.read_bytes()
    assert mine.stat().st_mtime_ns == before
    read = ShardFolder(here.folder / PLACE).gather(keys_of(OTHER), "a")
    assert read is not None
    assert read.tolist() == numbers(keys_of(OTHER)).tolist()
    assert [*(here.folder / INCOMING).glob("*.part")] == []


def test_a_machine_that_is_gone_leaves_nothing_half_copied(tmp_path: Path) -> None:
    here, there = CacheUsage(tmp_path / "here"), CacheUsage(tmp_path / "there")
    make(there, OTHER)
    Copies(OtherFolder(there.folder, most=100)).fetch(here.folder / PLACE, here)
    assert [*(here.folder / PLACE).iterdir()] == []
    with ShardFolder(here.folder / PLACE).claim(keys_of(OTHER), all_of) as claim:
        assert claim is not None  # they are passed here instead
    Copies(OtherFolder(there.folder)).fetch(here.folder / PLACE, here)
    assert len([*(here.folder / PLACE).glob("*.safetensors")]) == 1
    assert [*(here.folder / INCOMING).glob("*.part")] == []


def test_copies_keep_to_the_limit_of_the_cache(tmp_path: Path) -> None:
    there = CacheUsage(tmp_path / "there")
    size = make(there, OTHER).stat().st_size
    here = CacheUsage(tmp_path / "here", int(1.5 * size))
    make(here, ONE)
    Copies(OtherFolder(there.folder)).fetch(here.folder / PLACE, here)
    assert here.taken() == size
    full = CacheUsage(tmp_path / "full", int(1.5 * size))
    make(full, THIRD)
    with full.using([THIRD], [full.folder / "features"]), pytest.raises(CacheError, match=r"all of its .* is in use"):
        Copies(OtherFolder(there.folder)).fetch(full.folder / PLACE, full)


def test_without_other_machines_nothing_is_asked_or_made(tmp_path: Path) -> None:
    Copies().fetch(tmp_path / PLACE, CacheUsage(tmp_path))
    assert [*tmp_path.iterdir()] == []
    assert Copies().turn() == 0
