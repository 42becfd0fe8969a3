"""The child process of a search: its death, an error of the caller's own, and Ray's death."""

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from objectives.home import Home
from search.database.store import Store
from search.events import Event, RunPrepared, TrialEnded
from search.options.run_options import RunOptions
from search.prepare import moved_options
from search.running import process
from spaces import SearchError
from tests.support.processes import child_process


def children() -> list[psutil.Process]:
    """The processes of searches. A test session may have others."""
    return [child for child in psutil.Process().children() if any("running.child" in word for word in child.cmdline())]


def kill_child(_: Event) -> None:
    (child,) = children()
    child.kill()


def kill(name: str) -> Callable[[Event], None]:
    """Return a listener that kills a process of Ray as soon as a trial has ended."""

    def on_event(event: Event) -> None:
        if isinstance(event, TrialEnded):
            for process in psutil.Process().children(recursive=True):
                if name in process.name():
                    process.kill()

    return on_event


@pytest.fixture
def options(finished_home: Path) -> RunOptions:
    """The options of a study that has all its trials, so that the run needs no Ray."""
    with Store.open(f"sqlite:///{finished_home}/studies.db") as store:
        study = store.read_study(store.find_study())
        return moved_options(study, store.saved_options(study.name), Home.at(finished_home))


def test_a_process_that_dies_is_one_error_in_words(options: RunOptions) -> None:
    with pytest.raises(
        SearchError, match=r"was killed by signal 9 \(Killed\), perhaps .*; every finished trial is kept"
    ):
        process.run(options, kill_child)
    assert children() == []


def test_an_error_of_the_callers_own_ends_the_run(options: RunOptions) -> None:
    events: list[Event] = []

    def on_event(event: Event) -> None:
        events.append(event)
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        process.run(options, on_event)
    assert [type(event) for event in events] == [RunPrepared]
    assert children() == []


@pytest.mark.skipif(sys.platform != "linux", reason="takes the name of a process from its file")
def test_the_death_of_a_server_of_ray_is_seen_from_outside(tmp_path: Path) -> None:
    shutil.copy(str(shutil.which("sleep")), program := tmp_path / "raylet")
    with child_process([str(program), "60"]) as server:
        assert process.dead_server(os.getpid()) is None
        server.kill()
        deadline = time.monotonic() + 10
        while process.dead_server(os.getpid()) is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert process.dead_server(os.getpid()) == "raylet"
    assert process.dead_server(os.getpid()) is None


@pytest.mark.slow
def test_the_death_of_ray_is_one_error_in_words_and_the_next_run_goes_on(tmp_path: Path) -> None:
    options = RunOptions(
        "digits",
        home=tmp_path,
        trials=12,
        heads=["ridge"],
        blocks=range(6, 10),
        timesteps=[20],
        finalists=1,
        final_seeds=1,
        warm_start=False,
    )
    with pytest.raises(SearchError, match=r"a process of Ray \(raylet\) was killed by signal 9"):
        process.run(options, kill("raylet"))
    assert children() == []
    study = process.run(options, lambda event: None)
    assert study.finished == 12
