import os
import signal
import time
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from objectives.features.cache.inventory import ABOUT, About
from objectives.features.cache.quota import CacheUsage
from objectives.features.cache.shard_folder import ShardFolder
from objectives.features.cache.shards import IMAGES, Shard
from spaces import CacheError, UnknownNameError
from tests.support.shards import CONTEXT, ONE, OTHER, THIRD, dataset_of, keys_of, make

DAY = 86400.0


def shard_size(tmp_path: Path) -> int:
    return make(CacheUsage(tmp_path / "measured"), ONE).stat().st_size


@pytest.mark.parametrize(
    ("seconds", "ages", "goes"),
    [((1.0, 9.0), (0, 0), 0), ((9.0, 1.0), (0, 0), 1), ((2.0, 1.0), (300, 0), 0), ((9.0, 1.0), (30, 0), 1)],
    ids=["cheap to make", "cheap to make, though newer", "long unread", "dear, though unread for a month"],
)
def test_what_is_worth_least_goes_first(
    tmp_path: Path, seconds: tuple[float, float], ages: tuple[int, int], goes: int
) -> None:
    usage = CacheUsage(tmp_path / "cache", 2 * shard_size(tmp_path) + 100)
    paths = [make(usage, dataset, seconds=each) for dataset, each in zip((ONE, OTHER), seconds, strict=True)]
    for path, days in zip(paths, ages, strict=True):
        os.utime(path, (time.time() - days * DAY,) * 2)
    third = make(usage, THIRD)
    assert [path.exists() for path in paths] == [goes != 0, goes != 1]
    assert third.exists()
    assert usage.limit is not None
    assert usage.taken() <= usage.limit


def test_reading_a_shard_renews_it(tmp_path: Path) -> None:
    usage = CacheUsage(tmp_path)
    path = make(usage, ONE)
    os.utime(path, (time.time() - 90 * DAY,) * 2)
    assert ShardFolder(path.parent).gather(keys_of(ONE), "a") is not None
    assert time.time() - path.stat().st_mtime < 60


def test_nothing_in_use_goes_and_what_cannot_fit_is_refused(tmp_path: Path) -> None:
    usage = CacheUsage(tmp_path / "cache", 2 * shard_size(tmp_path) + 100)
    one, other = make(usage, ONE), make(usage, OTHER, seconds=99.0)
    with usage.using([ONE], [usage.folder / "features" / "source"]):
        third = make(usage, THIRD)
        assert (one.exists(), other.exists(), third.exists()) == (True, False, True)
    with (
        usage.using([ONE, THIRD], [usage.folder / "features"]),
        pytest.raises(CacheError, match=r"may take .* \(`cache_size`\), and all of its .* is in use; raise the limit"),
    ):
        make(usage, OTHER)
    assert (one.exists(), third.exists()) == (True, True)
    make(usage, OTHER)
    assert not (one.exists() and third.exists())
    assert not list((usage.folder / "uses").iterdir())


def test_a_use_covers_its_own_folders_and_images_alone(tmp_path: Path) -> None:
    usage = CacheUsage(tmp_path)
    shards = {
        (name, place): Shard.open(make(usage, dataset, place))
        for name, dataset in (("one", ONE), ("other", OTHER))
        for place in ("features/source/t0001-d0", "features/source/t0002-d0", "pixels/kind")
    }
    with usage.using([ONE], [usage.folder / "features/source/t0001-d0", usage.folder / "pixels"]):
        (use,) = usage.uses()
        covered = {which for which, shard in shards.items() if shard is not None and use.covers(shard)}
    assert covered == {("one", "features/source/t0001-d0"), ("one", "pixels/kind")}
    assert usage.uses() == []


def _use(usage: CacheUsage, using: Path) -> None:
    with usage.using([ONE], [usage.folder / "features"]):
        using.touch()
        time.sleep(60)


def test_a_killed_runs_use_ends_with_it(tmp_path: Path) -> None:
    usage = CacheUsage(tmp_path / "cache")
    process = CONTEXT.Process(target=_use, args=(usage, tmp_path / "using"))
    process.start()
    while not (tmp_path / "using").exists():
        time.sleep(0.01)
    assert len(usage.uses()) == 1
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert usage.uses() == []
    assert not list((usage.folder / "uses").iterdir())


def _make_many(usage: CacheUsage, seed: int) -> None:
    for i in range(6):
        make(usage, dataset_of(f"{seed}-{i}", 40 * seed + 5 * i, 5), f"features/{seed}/t0001-d0")


def test_processes_together_stay_within_the_limit(tmp_path: Path) -> None:
    size = make(CacheUsage(tmp_path / "measured"), dataset_of("x", 0, 5)).stat().st_size
    usage = CacheUsage(tmp_path / "cache", 8 * size)
    processes = [CONTEXT.Process(target=_make_many, args=(usage, seed)) for seed in range(4)]
    for process in processes:
        process.start()
    highest = 0
    while any(process.is_alive() for process in processes):
        highest = max(highest, usage.taken())
    assert [process.exitcode for process in processes] == [0] * 4
    assert usage.taken() <= 8 * size
    assert 0 < highest <= 9 * size  # a shard may be counted under its old and its new name


def test_datasets_are_known_by_name(tmp_path: Path) -> None:
    usage = CacheUsage(tmp_path)
    make(usage, ONE)
    make(usage, OTHER)
    for dataset in (ONE, OTHER, ONE):
        usage.remember(dataset)
    assert sorted(known.name for known in usage.datasets().values()) == ["one", "other"]
    (found,) = usage.of_dataset(usage.least_valuable_first(), "other")
    assert found.shard.images == 50
    with pytest.raises(UnknownNameError, match="unknown dataset in the cache 'othr'; did you mean 'other'"):
        usage.of_dataset([], "othr")


@pytest.mark.parametrize("content", [b"", b"no tensor", None], ids=["empty", "text", "cut"])
def test_a_damaged_list_of_a_datasets_images_is_removed_and_made_again(
    tmp_path: Path, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    usage = CacheUsage(tmp_path)
    path = usage.remember(ONE)
    path.write_bytes(path.read_bytes()[:-1] if content is None else content)
    assert usage.datasets() == {}
    assert "is damaged; it is removed" in caplog.text
    assert usage.remember(ONE) == path
    assert [known.name for known in usage.datasets().values()] == ["one"]


def test_a_flipped_bit_in_a_list_of_images_is_noticed(tmp_path: Path) -> None:
    usage = CacheUsage(tmp_path)
    path = usage.remember(ONE)
    whole = path.read_bytes()
    for bit in range(0, 8 * len(whole), 3):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        assert usage.datasets() == {}


def test_a_list_of_images_of_an_early_version_is_read(tmp_path: Path) -> None:
    usage = CacheUsage(tmp_path)
    path = usage.remember(ONE)
    with safe_open(path, framework="np") as file:
        images, metadata = file.get_tensor(IMAGES), file.metadata()
    del metadata["digest"]
    save_file({IMAGES: images}, path, metadata)
    assert [known.name for known in usage.datasets().values()] == ["one"]


@pytest.mark.parametrize(
    "content", ["", "[" * 100_000, "[]", "3", '{"datasets": 3}', '{"datasets": [[]], "folders": []}']
)
def test_while_a_record_of_use_is_damaged_nothing_is_removed(tmp_path: Path, content: str) -> None:
    usage = CacheUsage(tmp_path / "cache")
    make(usage, ONE)
    with usage.using([ONE], [usage.folder / "features"]):
        (record,) = (usage.folder / "uses").glob("*.json")
        record.write_text(content)
        assert usage.least_valuable_first() == []
    assert len(usage.least_valuable_first()) == 1


@pytest.mark.parametrize("content", ["[" * 100_000, "[]", '{"backbone": 3, "weights": "w", "seed": 0}', '{"seed": 0}'])
def test_a_damaged_description_of_a_folder_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / ABOUT).write_text(content)
    assert About.read(tmp_path) is None
