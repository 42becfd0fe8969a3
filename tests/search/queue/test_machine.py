"""The cores and GPUs of a machine are divided among its workers, and never given twice."""

import os
from datetime import UTC, datetime

import pytest

from search.database.jobs.worker_table import Worker
from search.queue.machine import choose_cores, choose_gpus, core_list
from spaces import UnknownNameError, UsageError

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


def worker(cores: tuple[int, ...] = (), gpus: tuple[str, ...] = ()) -> Worker:
    return Worker(1, "machine", os.getpid(), MOMENT, MOMENT, None, cores, gpus)


def test_a_worker_takes_the_cores_that_no_other_has() -> None:
    assert choose_cores([0, 1, 2, 3], 4, [], None) == [0, 1, 2, 3]
    assert choose_cores([0, 1, 2, 3], 4, [worker((0,)), worker((2,))], None) == [1, 3]
    assert choose_cores([0, 1, 2, 3], 4, [worker((0,))], 2) == [1, 2]
    assert choose_cores([4, 5], 2, [worker((0, 1))], None) == [4, 5], "cores of another control group"


def test_cores_that_another_worker_has_are_refused_in_words() -> None:
    has_all = worker((0, 1))
    with pytest.raises(
        UsageError, match=f"may use 2 cores, worker {os.getpid()} has cores 0-1; end a worker, or start"
    ):
        choose_cores([0, 1], 2, [has_all], None)
    with pytest.raises(UsageError, match="`cores` must be at most 1: this process may use 2 cores"):
        choose_cores([0, 1], 2, [worker((0,))], 2)


def test_a_container_with_a_quota_gives_no_more_cores_than_that() -> None:
    chosen = choose_cores([*range(64)], 3, [worker((7,))], 2)
    assert len(chosen) == len({*chosen} - {7}) == 2
    with pytest.raises(UsageError, match="`cores` must be at most 2: this process may use 3 cores"):
        choose_cores([*range(64)], 3, [worker((7,))], 3)
    with pytest.raises(UsageError, match="needs a core that no other worker has"):
        choose_cores([*range(64)], 3, [worker(tuple(range(64)))], None)


def test_gpus_are_given_once() -> None:
    assert choose_gpus(["0", "1", "2"], [worker(gpus=("1",))], None) == ["0", "2"]
    assert choose_gpus(["0", "1", "2"], [worker(gpus=("1",))], ["2", "0", "2"]) == ["2", "0"]
    assert choose_gpus(["0"], [], ["none"]) == []
    assert choose_gpus([], [], None) == []
    with pytest.raises(UsageError, match=f"worker {os.getpid()} has GPU 1; name others"):
        choose_gpus(["0", "1"], [worker(gpus=("1",))], ["1"])
    with pytest.raises(UnknownNameError, match="unknown GPU '7'"):
        choose_gpus(["0", "1"], [], ["7"])


def test_cores_are_named_briefly() -> None:
    assert core_list([5, 0, 1, 2]) == "cores 0-2,5"
    assert core_list([3]) == "core 3"
