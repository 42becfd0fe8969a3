"""The live table on a real pseudo-terminal, and plain lines where there is no terminal."""

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from objectives.results import Accuracy, Epoch, Evaluation, Extracted, Final
from search.display.live_table import RunProgress
from search.scheduling.events import (
    BaselineEnded,
    BaselineStarted,
    FinalEnded,
    FinalsPlanned,
    FinalStarted,
    PartEnded,
    PartStarted,
    Progressed,
    Retried,
    TrialEnded,
    TrialStarted,
)
from search.scheduling.requests import BaselineRequest, FinalRequest, ScreeningRequest, TrialRequest
from spaces import Setting, Tap
from tests.support import terminal_process
from tests.support.terminal import Shown, run_on_terminal, without_clocks

SETTING = Setting(10, 3, 1, "linear")


def shown_by(columns: int, height: int, *words: str, **environment: str) -> Shown:
    return run_on_terminal([terminal_process.__file__, *words], columns, height, environment)


FAILED = "failed: block 24, t 30, pool 2, linear: ValueError: [nothing] is " + "very " * 20 + "good"


@pytest.mark.parametrize(("columns", "height"), [(80, 24), (120, 40), (80, 8), (60, 5)])
def test_a_terminal_shows_running_jobs_and_keeps_the_final_counts(columns: int, height: int) -> None:
    shown = shown_by(columns, height, "3", "well")
    assert shown.redrawn <= height - 1
    drawn = [line for state in shown.states for line in state if line != FAILED]
    assert max(cell_len(line) for line in drawn) <= columns
    assert shown.lines[0] == FAILED
    last = without_clocks(shown.lines[1:])
    counts = "2 complete, 2 pruned, 1 failed; 900 passes made"
    assert last[: min(5, height - 1)] == ["run", "screening 2/2", "trials 4/5", "finals 3/3", counts][1 - height :]
    assert "running" not in " ".join(last)
    assert len(last) == min(5, height - 2 + 1)  # the answer follows, so no best trials stay
    if height < 24:
        return
    states = [" | ".join(without_clocks(state)) for state in shown.states]
    assert any("starting the workers" in state for state in states)
    assert any("screen t 30: 2 settings on 300 images passes 120/300" in state for state in states)
    assert any("screening 1/2 |" in state and "scored 1/2" in state for state in states)
    assert any("run about" in state and "left" in state for state in states)
    assert any("finals 0/3" in state for state in states)
    assert any("passes 300/1,437" in state and "epoch 7" in state and "starting" in state for state in states)
    assert any("0 block 24, t 30, pool 2, linear fitting" in state for state in states)
    assert any("seed 2" in state for state in states)


def test_many_workers_leave_room_for_the_best() -> None:
    shown = shown_by(80, 12, "40", "well")
    states = [" | ".join(without_clocks(state)) for state in shown.states]
    assert shown.redrawn <= 11
    assert any(re.search(r"and 3\d more \| trial best trials", state) for state in states)


@pytest.mark.parametrize(
    ("end", "beginnings"),
    [
        (
            "interrupted",
            [
                FAILED,
                "run",
                "screening 2/2",
                "trials 2/5",
                "finals",
                "2 complete",
                "trial best trials by",
                "2 block",
                "1 b20",
                "ended: Keyboard",
            ],
        ),
        ("before", ["ended: SearchError('no Ray today')"]),
    ],
)
def test_a_run_that_ends_early_leaves_its_last_state_and_the_reason(end: str, beginnings: list[str]) -> None:
    lines = shown_by(80, 24, "3", end).lines
    assert len(lines) == len(beginnings)
    for line, beginning in zip(without_clocks(lines), beginnings, strict=True):
        assert line.startswith(beginning)


def test_a_terminal_that_cannot_move_its_cursor_gets_plain_lines() -> None:
    shown = shown_by(80, 24, "3", "well", TERM="dumb")
    assert shown.redrawn == 0
    first, failed = shown.lines  # the run takes less than ten seconds
    assert first.startswith("screening 0/2 settings: 0 complete, 0 pruned, 0 failed; waiting for workers; about ")
    assert failed == FAILED


class Clock:
    """Seconds that pass only when a test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def plain_lines(progress: RunProgress, output: io.StringIO, clock: Clock, seconds: float) -> list[str]:
    """Let seconds pass, one at a time. Return the lines that were printed meanwhile, without the time left."""
    before = len(output.getvalue())
    for _ in range(int(seconds)):
        clock.now += 1
        progress.tick()
    return [line.rpartition("; about ")[0] for line in output.getvalue()[before:].splitlines()]


def test_plain_lines_are_printed_when_something_changed_but_at_most_every_ten_seconds() -> None:
    output, clock = io.StringIO(), Clock()
    progress = RunProgress(Console(file=output, width=300), 9, workload=terminal_process.workload(2), clock=clock)

    def lines(seconds: float) -> list[str]:
        return plain_lines(progress, output, clock, seconds)

    assert lines(1) == ["screening 0/2 settings: 0 complete, 0 pruned, 0 failed; waiting for workers"]
    part = ScreeningRequest((SETTING, SETTING.reading(Tap(4, 10))), 300)
    progress(PartStarted(part))
    progress(Progressed(part, Extracted(120, 300, 120)))
    assert lines(9) == []
    extracting = "0 complete, 0 pruned, 0 failed; 120 passes made; extracting t 10 (120/300)"
    assert lines(50) == [f"screening 0/2 settings: {extracting}"]
    assert lines(60) == [f"screening 0/2 settings: {extracting}"]  # a sign of life once a minute
    progress(PartEnded(part))
    first, second, third = (TrialRequest(number, SETTING, 1) for number in range(3))
    progress(TrialStarted(first))
    progress(TrialEnded(first, "complete", Evaluation(Accuracy(18, 20), {}, 0, 0)))
    progress(TrialStarted(second))
    progress(Progressed(second, Extracted(20, 1437, 20)))
    progress(TrialStarted(third))
    progress(Progressed(third, Epoch(7, Accuracy(1, 2))))
    best = f"best trial 90.0 % at {SETTING}"
    assert lines(12) == [
        f"trial 1/9: 1 complete, 0 pruned, 0 failed; 140 passes made; {best}; extracting t 10 (20/1,437), "
        f"fitting {SETTING} (epoch 7)"
    ]
    for trial in (second, third):
        progress(TrialEnded(trial, "pruned", None, "pruned: behind"))
    progress(FinalsPlanned(1, test=False, later=2))
    progress(FinalStarted(final := FinalRequest(SETTING, 3, test=False)))
    counts = f"1 complete, 2 pruned, 0 failed; 140 passes made; {best}"
    assert lines(12) == [f"comparing candidates, 0 of at most 3 fits: {counts}; comparing {SETTING} (seed 3)"]
    progress(FinalEnded(final, Final(SETTING, 3, Accuracy(8, 9), Accuracy(7, 9), 0.1, 0, 0)))
    progress(FinalsPlanned(1))
    progress(FinalStarted(FinalRequest(SETTING, 3)))
    testing = f"testing the answer, 1 of at most 2 fits: {counts}; testing {SETTING} (seed 3)"
    assert lines(12) == [testing]
    for request in (BaselineRequest(None), BaselineRequest(SETTING)):
        progress(BaselineStarted(request))
        baseline = request.setting or "raw pixels, linear"
        assert lines(12) == [f"{testing}, fitting a baseline, {baseline}"]
        progress(BaselineEnded(request))


def test_each_request_that_is_tried_again_is_one_line_and_starts_anew() -> None:
    output, clock = io.StringIO(), Clock()
    progress = RunProgress(Console(file=output, width=300), 9, workload=terminal_process.workload(2), clock=clock)
    part, trial, final = ScreeningRequest((SETTING,), 300), TrialRequest(0, SETTING, 1), FinalRequest(SETTING, 3)
    reason = "its worker process was killed"
    starts = PartStarted(part), TrialStarted(trial), FinalStarted(final), BaselineStarted(BaselineRequest(None))
    for start in starts:
        for attempt in (2, 3):
            progress(start)
            progress(Retried(start.request, reason, attempt))
    subjects = "t 10: 1 settings on 300 images", f"{SETTING}", f"{SETTING} (seed 3)", "raw pixels, linear"
    expected = [f"tried again: {subject}, attempt {n}: {reason}" for subject in subjects for n in (2, 3)]
    assert [line for line in output.getvalue().splitlines() if not line.startswith("screening ")] == expected
    assert progress.failed == 0
