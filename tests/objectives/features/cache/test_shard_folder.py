import os
import signal
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import Timeout
from hypothesis import given
from hypothesis import strategies as st

from objectives.features.cache.shard_folder import EMPTY_SECONDS, Claim, ShardFolder, lease
from objectives.features.cache.shards import ShardWriter
from tests.support.shards import CONTEXT, NUMBER, all_of, keys, numbers


def write(folder: ShardFolder, images: np.ndarray, column: str = "a") -> None:
    with folder.claim(images, all_of) as claim:
        assert claim is not None
        finish(folder, claim, column)


def finish(folder: ShardFolder, claim: Claim, column: str = "a") -> None:
    with ShardWriter(claim.part, claim.images, {column: NUMBER}) as writer:
        writer.append({column: numbers(claim.images)})
        writer.commit(folder.name_of(claim.images, [column]), 1.0)


@given(data=st.data(), sets=st.lists(st.sets(st.integers(0, 30), min_size=1, max_size=12), min_size=1, max_size=8))
def test_images_are_found_in_whichever_shards_hold_them(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, sets: list[set[int]]
) -> None:
    """Overlapping sets, in any order, read by another process's eyes, in any order, some twice, some absent."""
    path, universe = tmp_path_factory.mktemp("folder"), keys(40)
    for members in sets:
        write(ShardFolder(path), universe[data.draw(st.permutations(sorted(members)))])
    asked = data.draw(st.lists(st.integers(0, 39), min_size=1, max_size=40))
    there = set().union(*sets)
    reader = ShardFolder(path)
    found: dict[int, float] = {}
    for positions, values in reader.read(universe[asked], lambda columns: "a" if "a" in columns else None):
        assert not found.keys() & set(positions.tolist())
        found.update(zip(positions.tolist(), values[:, 0].tolist(), strict=True))
    assert found.keys() == {position for position, image in enumerate(asked) if image in there}
    for position, value in found.items():
        assert value == numbers(universe[asked[position] :][:1]).item()
    gathered = reader.gather(universe[asked], "a")
    assert (gathered is not None) == (set(asked) <= there)
    if gathered is not None:
        assert torch.equal(gathered, numbers(universe[asked]))


def test_columns_are_told_apart(tmp_path: Path) -> None:
    folder, images = ShardFolder(tmp_path), keys(10)
    write(folder, images[:6], "a")
    write(folder, images, "b")
    folder.refresh()
    assert folder.columns() == {frozenset("a"), frozenset("b")}
    assert folder.gather(images, "a") is None
    assert folder.gather(images, "b") is not None
    assert folder.gather(images[:6], "a") is not None


def test_a_shard_that_has_gone_is_no_longer_found(tmp_path: Path) -> None:
    folder, images = ShardFolder(tmp_path), keys(10)
    write(folder, images)
    assert folder.gather(images, "a") is not None
    for path in tmp_path.glob("*.safetensors"):
        path.unlink()
    assert folder.gather(images, "a") is None


def test_a_damaged_shard_gives_nothing_and_goes(tmp_path: Path) -> None:
    folder, images = ShardFolder(tmp_path), keys(10)
    write(folder, images[:5])
    write(folder, images[5:])
    victim = folder.name_of(images[:5], ["a"])
    victim.write_bytes(victim.read_bytes()[:-1] + b"\x7f")
    pieces = list(folder.read(images, lambda _: "a"))
    assert [positions.tolist() for positions, _ in pieces] == [[5, 6, 7, 8, 9]]
    assert not victim.exists()


def test_what_one_claims_another_does_not_get(tmp_path: Path) -> None:
    one, other, images = ShardFolder(tmp_path), ShardFolder(tmp_path), keys(10)
    with one.claim(images[:6], all_of) as first, other.claim(images[4:], all_of) as second:
        assert first is not None
        assert second is not None
        assert (first.images == images[:6]).all()
        assert (second.images == images[6:]).all()
        with other.claim(images, all_of) as third, one.claim(images, all_of) as fourth:
            assert third is None
            assert fourth is None
    with other.claim(images, all_of) as again:
        assert again is not None
        assert len(again.images) == 10
    assert list(tmp_path.iterdir()) == []


def test_an_image_that_comes_twice_is_claimed_once_and_in_order(tmp_path: Path) -> None:
    images = keys(4)[[3, 1, 3, 0, 1]]
    with ShardFolder(tmp_path).claim(images, all_of) as claim:
        assert claim is not None
        assert (claim.images == keys(4)[[3, 1, 0]]).all()
        assert claim.rows_in(images).tolist() == [0, 1, 3]


def test_nothing_chosen_is_nothing_claimed(tmp_path: Path) -> None:
    with ShardFolder(tmp_path).claim(keys(3), lambda free: np.zeros(len(free), bool)) as claim:
        assert claim is None
    assert list(tmp_path.iterdir()) == []


def _hold(path: Path, images: np.ndarray, claimed: Event, go_on: Event, lease_seconds: float) -> None:
    folder = ShardFolder(path, lease_seconds)
    with folder.claim(images, all_of) as claim:
        assert claim is not None
        with ShardWriter(claim.part, claim.images, {"a": NUMBER}) as writer:
            writer.append({"a": numbers(claim.images)[:2]})
            claimed.set()
            go_on.wait(60)
            writer.append({"a": numbers(claim.images)[2:]})
            writer.commit(folder.name_of(claim.images, ["a"]), 1.0)


def test_the_claim_of_a_killed_process_is_taken_over_at_once_and_what_it_left_is_cleared(tmp_path: Path) -> None:
    images, claimed = keys(10), CONTEXT.Event()
    holder = CONTEXT.Process(target=_hold, args=(tmp_path, images, claimed, CONTEXT.Event(), 30.0))
    holder.start()
    assert claimed.wait(30)
    folder = ShardFolder(tmp_path)
    with folder.claim(images, all_of) as claim:
        assert claim is None
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    with folder.claim(images, all_of) as claim:
        assert claim is not None
        assert len(claim.images) == 10
        assert list(tmp_path.glob("*.part")) == []
        finish(folder, claim)
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]


def test_the_claim_of_a_stopped_process_expires_and_its_late_work_spoils_nothing(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The stopped process stands for one on another machine that died: only its signs of life tell that it lives."""
    images, claimed, go_on = keys(10), CONTEXT.Event(), CONTEXT.Event()
    holder = CONTEXT.Process(target=_hold, args=(tmp_path, images, claimed, go_on, 1.0))
    holder.start()
    assert claimed.wait(30)
    assert holder.pid is not None
    request.addfinalizer(holder.kill)
    os.kill(holder.pid, signal.SIGSTOP)
    folder, started, claim = ShardFolder(tmp_path, 1.0), time.monotonic(), None
    while claim is None and time.monotonic() - started < 30:
        with folder.claim(images, all_of) as claim:
            if claim is not None:
                finish(folder, claim)
        time.sleep(0.05)
    assert time.monotonic() - started >= 1.0
    assert claim is not None
    os.kill(holder.pid, signal.SIGCONT)
    go_on.set()
    holder.join(30)
    values = ShardFolder(tmp_path).gather(images, "a")
    assert values is not None
    assert torch.equal(values, numbers(images))
    assert len(list(tmp_path.glob("*.safetensors"))) == 1


@pytest.mark.parametrize("name", ["claims.lease", f"{'0' * 32}.lease"])
def test_a_process_that_died_before_it_wrote_its_name_stops_nobody(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    folder, deadline = ShardFolder(tmp_path), time.monotonic() + 60
    while (tmp_path / name).exists() and time.monotonic() < deadline:
        with folder.claim(keys(3), all_of) as claim:
            assert claim is not None
        time.sleep(0.05)
    assert list(tmp_path.iterdir()) == []


def test_a_holder_that_writes_its_name_late_keeps_the_lease(tmp_path: Path) -> None:
    with lease(tmp_path / "other.lease", 30.0):
        name = (tmp_path / "other.lease").read_bytes()
    path = tmp_path / "claims.lease"
    with path.open("wb", buffering=0) as file:
        asking = lease(path, 30.0)
        with pytest.raises(Timeout):
            asking.acquire(timeout=EMPTY_SECONDS + 0.5)
        assert path.read_bytes() == b"\n"
        file.write(name)
    assert path.read_bytes() == name
    with pytest.raises(Timeout):
        asking.acquire(timeout=EMPTY_SECONDS + 0.5)


def test_a_folder_that_cannot_be_made_is_an_error_in_words(tmp_path: Path) -> None:
    from spaces import CacheError

    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(CacheError, match="cannot write to"),
        ShardFolder(tmp_path / "file" / "x").claim(keys(2), all_of),
    ):
        pass
