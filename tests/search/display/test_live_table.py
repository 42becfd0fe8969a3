"""The live table on a real pseudo-terminal, and plain lines where there is no terminal."""

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from objectives.results import Accuracy, Evaluation, Extracted
from search.display.live_table import RunProgress
from search.display.pace import Pace, time_left
from search.scheduling.events import Progressed, TrialEnded, TrialStarted
from search.scheduling.requests import TrialRequest
from spaces import Setting
from tests.support import terminal_process
from tests.support.terminal import Shown, run_on_terminal, without_clocks

SETTING = Setting(10, 3, 1, "linear")


@pytest.mark.parametrize(
    ("pace", "more", "now", "left"),
    [
        (Pace(), 9, 50.0, None),  # nothing has begun
        (Pace(10.0, 2), 9, 50.0, None),  # nothing has ended
        (Pace(10.0, 2, [30.0]), 9, 50.0, None),  # one of two at once has ended: twice as many may follow at once
        (Pace(10.0, 2, [30.0, 30.0]), 9, 30.0, 90.0),
        (Pace(10.0, 2, [30.0, 30.0]), 9, 36.0, 84.0),
        (Pace(10.0, 2, [30.0, 30.0]), 9, 300.0, 80.0),  # that the next is late says little of those after it
        (Pace(10.0, 2, [30.0, 30.0]), 0, 30.0, None),
        (Pace(0.0, 1, [100.0 + number for number in range(21)]), 7, 120.0, 7.0),  # only the last twenty count
    ],
)
def test_the_time_left_follows_from_the_jobs_that_ended(pace: Pace, more: int, now: float, left: float | None) -> None:
    assert pace.seconds_left(more, now) == left


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, ""), (0.0, "about 1 s left"), (5.12, "about 5 s left"), (185.0, "about 3 min 05 s left")],
)
def test_the_time_left_in_words_is_empty_if_unknown(seconds: float | None, words: str) -> None:
    assert time_left(seconds) == words


def shown_by(columns: int, height: int, *words: str, **environment: str) -> Shown:
    return run_on_terminal([terminal_process.__file__, *words], columns, height, environment)


FAILED = "failed: block 24, t 30, pool 2, linear: ValueError: [nothing] is " + "very " * 20 + "good"


@pytest.mark.parametrize(("columns", "height"), [(80, 24), (120, 40), (80, 8), (60, 5)])
def test_a_terminal_shows_running_jobs_and_keeps_the_final_counts(columns: int, height: int) -> None:
    shown = shown_by(columns, height, "3", "well")
    assert shown.redrawn <= height - 1
    drawn = [line for state in shown.states for line in state if line != FAILED]
    assert max(cell_len(line) for line in drawn) <= columns
    assert not any("left" in line for line in drawn if "trials" in line and "0/5" in line)
    assert shown.lines[0] == FAILED
    last = without_clocks(shown.lines[1:])
    assert last[0].startswith("trials 4/5")
    assert last[1:3] == ["finals 2/2", "2 complete, 2 pruned, 1 failed; 600 passes made"]
    assert "running" not in " ".join(last)
    assert len(last) == min(6, height - 2 + 1)
    if height < 24:
        return
    states = [" | ".join(without_clocks(state)) for state in shown.states]
    assert any("starting the workers" in state for state in states)
    assert any("passes 300/1,437" in state and "epoch 7" in state and "starting" in state for state in states)
    assert any("0 block 24, t 30, pool 2, linear fitting" in state for state in states)
    assert any("seed 2" in state for state in states)


def test_many_workers_leave_room_for_the_best() -> None:
    shown = shown_by(80, 12, "40", "well")
    states = [" | ".join(without_clocks(state)) for state in shown.states]
    assert shown.redrawn <= 11
    assert any(re.search(r"and 3\d more \| trial best by", state) for state in states)


@pytest.mark.parametrize(
    ("end", "beginnings"),
    [
        ("interrupted", [FAILED, "trials 2/5", "2 complete", "trial best by", "2 block", "1 block", "ended: Keyboard"]),
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
    assert any(line.startswith("trial 4/5: 2 complete, 2 pruned, 1 failed; 600 passes made") for line in shown.lines)
    assert "measuring on the test split: 2 fits" in shown.lines


def test_plain_lines_show_rate_best_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(float(second) for second in range(100, 10_000))
    monkeypatch.setattr("search.display.live_table.time.monotonic", lambda: next(clock))
    output = io.StringIO()
    progress = RunProgress(Console(file=output, width=200), trials=9)
    with progress.showing():
        for number in range(9):
            request = TrialRequest(number, SETTING, 1)
            progress(TrialStarted(request))
            progress(Progressed(request, Extracted(20, 20, 20)))
            progress(TrialEnded(request, "complete", Evaluation(Accuracy(18, 20), {}, 0, 0)))
    lines = output.getvalue().splitlines()
    assert "left" not in lines[0]
    assert "best" not in lines[0]
    assert len(lines) < 9
    counts = r"trial (\d)/9: \1 complete, 0 pruned, 0 failed; \d+ passes made, \d a second; best 90.0 % at "
    assert re.match(counts + r"block 3, t 10, pool 1, linear; about \d+ s left", lines[1])
