"""Drivers in processes of their own: they share a study, and a killed one loses nothing."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from search.database.records import StudyRecord
from search.database.store import Store
from spaces import Space
from tests.support import driver_process
from tests.support.processes import child_process

Start = Callable[[int, float, str], "subprocess.Popen[str]"]


@pytest.fixture
def study(store: Store, make_record: Callable[..., StudyRecord]) -> str:
    return store.ensure_study(make_record())


@pytest.fixture
def start(storage_url: str, study: str, space: Space) -> Iterator[Start]:
    """Start a driver in a process of its own: called with budget, seconds of a trial, and sampler."""
    with ExitStack() as stack:

        def start(budget: int, seconds: float, sampler: str) -> "subprocess.Popen[str]":
            arguments = [storage_url, study, json.dumps(space.to_dict()), str(budget), str(seconds), sampler]
            command = [sys.executable, driver_process.__file__, *arguments]
            return stack.enter_context(child_process(command, stdout=subprocess.PIPE, text=True))

        yield start


def check_finished(store: Store, study: str, budget: int) -> None:
    trials = store.read_study(study).trials
    states = Counter(trial.state for trial in trials)
    assert states["complete"] == budget
    assert states["running"] == 0
    assert [trial.number for trial in trials] == list(range(len(trials)))
    settings = Counter(trial.setting for trial in trials if trial.state == "complete")
    assert set(settings.values()) == {1}
    assert all(
        trial.reason == "interrupted: the process that ran it is gone"
        for trial in trials
        if trial.state == "interrupted"
    )


def test_two_processes_together_finish_exactly_the_budget(start: Start, store: Store, study: str) -> None:
    processes = [start(60, 0.0, sampler) for sampler in ("random", "tpe")]
    counts = [len(process.communicate(timeout=120)[0].split()) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sum(counts) == 60
    check_finished(store, study, 60)


def test_killing_and_starting_again(start: Start, store: Store, study: str) -> None:
    processes = [start(20, 0.4, "random") for _ in range(2)]
    for count, process in enumerate(processes, start=2):
        while len(store.trials(study).own) < 2 * count:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)  # a trial has just begun
        process.communicate()
    trials = store.read_study(study).trials
    assert any(trial.state == "interrupted" for trial in trials)
    assert len(trials) < 20
    again = start(20, 0.0, "random")
    again.communicate(timeout=120)
    assert again.returncode == 0
    check_finished(store, study, 20)
    trials = store.read_study(study).trials
    lost = [trial.setting for trial in trials if trial.state == "interrupted"]
    assert 1 <= len(lost) <= 2
    assert set(lost) <= {trial.setting for trial in trials if trial.state == "complete"}
