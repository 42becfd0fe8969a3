"""A run is asked to end, in each of its phases."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults.row import Case, Row, demand
from tests.support.noting_command import VARIABLE

COMMAND = (
    *(
        "run",
        "--dataset",
        "digits",
        "--trials",
        "12",
        "--heads",
        "linear",
        "--blocks",
        "3,8,16",
        "--timesteps",
        "10,40",
    ),
    *("--pools", "1", "--final-seeds", "2"),
)
"""A short search in which each phase takes at least some tenths of a second."""

PHASES = {
    "start": None,
    "Ray's start": "RunPrepared",
    "screening": "PartStarted",
    "trials": "TrialStarted",
    "finals": "FinalStarted",
    "baselines": "BaselineStarted",
    "report": "SearchEnded",
}
"""Phase of a run → the event with which it begins."""

WORDS = "interrupted: every finished trial is kept; type the same command again to continue"

LONGEST = 10.0
"""Seconds in which a run must end."""


def _wait_for_phase(case: Case, run: "subprocess.Popen[str]", event: str | None) -> None:
    """Wait for the event, and then for a random time."""
    noted, deadline = Path(case.variables[VARIABLE]), time.monotonic() + 300
    while event is not None and run.poll() is None and time.monotonic() < deadline:
        if noted.exists() and event in noted.read_text().split():
            break
        time.sleep(0.01)
    time.sleep(case.random.uniform(1.0, 3.0) if event is None else case.random.uniform(0.0, 1.0))


def _asked(number: signal.Signals, times: int, whole_group: bool) -> Callable[[Case], None]:
    """Return what sends a signal so many times: to the process that was typed, or to all that it has started too."""

    def ask(case: Case) -> None:
        phase = case.random.choice([*PHASES])
        case.program = ("-m", "tests.support.noting_command")
        case.variables[VARIABLE] = str(case.folder / "events")
        with case.started(*COMMAND) as run:
            _wait_for_phase(case, run, PHASES[phase])
            began = time.monotonic()
            for _ in range(times):
                if run.poll() is None:
                    (os.killpg if whole_group else os.kill)(run.pid, number)
                time.sleep(case.random.uniform(0.0, 1.5))
            try:
                code = run.wait(60)
            except subprocess.TimeoutExpired:
                code = None
            seconds = time.monotonic() - began
        said = f"in the phase {phase}, {seconds:.1f} s, exit code {code}: {case.output[-300:]}"
        demand(code is not None and seconds <= LONGEST, f"did not end in time {said}")
        if code != 0:  # it had nothing left to do
            demand(code == 128 + number, f"wrong exit code {said}")
            demand(case.output.rstrip().endswith(WORDS), f"wrong words {said}")
        demand("Traceback" not in case.output, f"a traceback {said}")
        demand([*case.folder.glob("search-*")] == [], f"left its folder {said}")

    return ask


ROWS = [
    Row("Ctrl-C in any phase ends a run in 10 s", _asked(signal.SIGINT, 1, whole_group=True), ("sqlite",)),
    Row("Ctrl-C twice in any phase ends a run in 10 s", _asked(signal.SIGINT, 2, whole_group=True), ("sqlite",)),
    Row("SIGTERM to the command ends a run in 10 s", _asked(signal.SIGTERM, 1, whole_group=False), ("sqlite",)),
    Row("SIGTERM to all processes ends a run in 10 s", _asked(signal.SIGTERM, 1, whole_group=True), ("sqlite",)),
    Row("SIGHUP to all processes ends a run in 10 s", _asked(signal.SIGHUP, 1, whole_group=True), ("sqlite",)),
]
