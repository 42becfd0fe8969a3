"""Shows a search while it runs: a live table on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from dashboards.formatting import count as count_text
from dashboards.formatting import terminal_interval
from dashboards.study.tables import trial_estimate
from objectives.results import ACCURACY, Epoch, Extracted, Final, Metric, Reevaluation, Rung, StudyResults, Trial
from search.display.counter import PLAIN_SECONDS, is_drawn
from search.display.pace import Pace, time_left
from search.scheduling.events import (
    FinalEnded,
    FinalsPlanned,
    FinalStarted,
    Progressed,
    TrialEnded,
    TrialEvent,
    TrialStarted,
)
from search.scheduling.requests import FinalRequest, TrialRequest
from spaces import Setting

RATE_SECONDS = 20.0
"""The rate of forward passes is the mean over this many last seconds."""

BEST_SHOWN = 5
"""Best trials that the table shows."""

MAX_WIDTH = 110
"""Most characters of a row of the table. A wider row is hard to follow with the eye."""

Row = tuple[str, str, str, str]
WORK_TITLE: Row = ("trial", "running", "", "for")


@dataclass
class Job:
    """The job that a worker runs.

    name: the trial's number, or the final's seed. slot: the row of the table, from 0. since: the start, in seconds of
    the monotonic clock. phase: what the job does now.
    """

    name: str
    setting: Setting
    slot: int
    since: float
    phase: str = "starting"

    def update(self, report: Extracted | Epoch | Rung) -> None:
        """Set the phase from a report of the worker."""
        if isinstance(report, Epoch):
            self.phase = f"epoch {report.number}"
        elif isinstance(report, Extracted) and report.done < report.total:
            self.phase = f"passes {report.done:,}/{report.total:,}"
        else:
            self.phase = "fitting"

    def row(self, now: float) -> Row:
        """Return the job's row of the table. now: seconds of the monotonic clock."""
        return self.name, str(self.setting), self.phase, str(timedelta(seconds=int(now - self.since)))


@dataclass
class RunProgress:
    """The progress of a run: counts, rate, time left, running jobs and the best trials. Events update it and show it.

    trials: finished trials that the run aims at. complete, pruned: trials of the study. failed, passes_made: trials and
    forward passes of this run alone. best: the `BEST_SHOWN` best trials, best first.
    """

    console: Console
    trials: int
    complete: int = 0
    pruned: int = 0
    failed: int = 0
    passes_made: int = 0
    best: tuple[Trial, ...] = ()
    metric: Metric = ACCURACY
    _began: float = field(default_factory=time.monotonic)
    _jobs: dict[TrialRequest | FinalRequest, Job] = field(default_factory=dict)
    _pace: Pace = field(default_factory=Pace)
    _finals: Pace = field(default_factory=Pace)
    _expected: int = 0
    _recent: list[tuple[float, int]] = field(default_factory=list)
    _live: bool = False
    _printed: float = 0.0

    @classmethod
    def of(cls, console: Console, trials: int, study: StudyResults) -> "RunProgress":
        """Start from the trials that a study has. Failures of earlier runs are not counted."""
        return cls(
            console,
            trials,
            complete=study.count("complete"),
            pruned=study.count("pruned"),
            best=study.complete[:BEST_SHOWN],
            metric=study.metric,
        )

    def say(self, text: str) -> None:
        """Print a line; it appears above the live table."""
        self.console.print(text, highlight=False, markup=False)

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Draw the live table during the `with` block. Afterwards only counts and best trials stay on the screen."""
        self._began = time.monotonic()
        if not is_drawn(self.console):
            yield
            return
        self._live = True
        with Live(get_renderable=self._drawn, console=self.console, refresh_per_second=4):
            try:
                yield
            finally:
                self._jobs.clear()
                self._recent.clear()
                self._live = False

    def __call__(self, event: TrialEvent) -> None:
        """Update the progress with an event, and show it."""
        match event:
            case TrialStarted(request):
                self._start(request, str(request.number), self._pace)
            case FinalStarted(request):
                self._start(request, f"seed {request.seed}", self._finals)
            case Progressed(request, report):
                self._progress(request, report)
            case TrialEnded():
                self._end_trial(event)
            case FinalsPlanned():
                self._plan_finals(event)
            case FinalEnded(request, final):
                self._end_final(request, final)

    def _progress(self, request: TrialRequest | FinalRequest, report: Extracted | Epoch | Rung) -> None:
        self._jobs[request].update(report)
        if isinstance(report, Extracted):
            self.passes_made += report.made
            self._recent.append((time.monotonic(), report.made))
        self._print_now_and_then()

    def _end_trial(self, event: TrialEnded) -> None:
        request, evaluation = event.request, event.evaluation
        del self._jobs[request]
        setattr(self, event.state, getattr(self, event.state) + 1)
        if event.state == "complete" and evaluation is not None:
            trial = Trial(request.number, "complete", request.setting, evaluation.validation, scores=evaluation.scores)
            self.best = tuple(sorted((*self.best, trial), key=self._best_first)[:BEST_SHOWN])
        if event.state == "failed":
            self.say(f"failed: {request.setting}: {event.reason}")
        else:
            self._pace.ends.append(time.monotonic())
        self._print_now_and_then()

    def _plan_finals(self, event: FinalsPlanned) -> None:
        """Add a round. The next one follows from its results, so the number of finals is known by rounds only."""
        self._expected += event.count
        if not self._live:
            self.say(self._summary())
            fits = count_text(event.count, "fit")
            if event.count:
                self.say(f"measuring on the test split: {fits}" if event.test else f"comparing candidates: {fits}")

    def _end_final(self, request: FinalRequest, final: Final | Reevaluation) -> None:
        del self._jobs[request]
        self._finals.ends.append(time.monotonic())
        if self._is_time_to_print():
            left = time_left(self._finals.seconds_left(self._expected - self._tested, time.monotonic()))
            count = f"{self._tested}/{self._expected}"
            self.say(f"final {count}: {final.setting}, validation {self._validation_text(final)}{left and f'; {left}'}")

    def _start(self, request: TrialRequest | FinalRequest, name: str, pace: Pace) -> None:
        now, taken = time.monotonic(), {job.slot for job in self._jobs.values()}
        if not pace.at_once:
            pace.began = now
        slot = next(number for number in range(len(taken) + 1) if number not in taken)
        self._jobs[request] = Job(name, request.setting, slot, now)
        pace.at_once = max(pace.at_once, len(self._jobs))

    @property
    def _finished(self) -> int:
        return self.complete + self.pruned

    @property
    def _tested(self) -> int:
        return len(self._finals.ends)

    def _best_first(self, trial: Trial) -> tuple[float, int, int]:
        """Return the sort key of a trial. It breaks ties as `StudyResults.complete` does."""
        estimate = trial.estimate(self.metric)
        return -self.metric.score(estimate.value) if estimate else 0.0, trial.setting.block, trial.number

    def _validation_text(self, final: Final | Reevaluation) -> str:
        score = final.validation_scores.values.get(self.metric.name) if final.validation_scores else None
        return self.metric.labelled_text(score.value) if score else ACCURACY.labelled_text(final.validation.value)

    def _rate(self) -> float:
        """Return the forward passes per second of all workers together, over the last `RATE_SECONDS`."""
        now = time.monotonic()
        self._recent = [(moment, made) for moment, made in self._recent if now - moment < RATE_SECONDS]
        if len(self._recent) < 2:
            return 0.0
        return sum(made for _, made in self._recent[1:]) / max(self._recent[-1][0] - self._recent[0][0], 1e-3)

    def _counts(self) -> str:
        rate = f", {self._rate():,.0f} a second" if self._rate() >= 1 else ""
        passes = f"; {self.passes_made:,} passes made{rate}" if self.passes_made else ""
        return f"{self.complete} complete, {self.pruned} pruned, {self.failed} failed{passes}"

    # Plain lines.

    def _print_now_and_then(self) -> None:
        if self._is_time_to_print():
            self.say(self._summary())

    def _is_time_to_print(self) -> bool:
        if self._live or time.monotonic() - self._printed < PLAIN_SECONDS:
            return False
        self._printed = time.monotonic()
        return True

    def _summary(self) -> str:
        if self._finals.at_once:
            left = time_left(self._finals.seconds_left(self._expected - self._tested, time.monotonic()))
            return f"final {self._tested}/{self._expected}: {self._counts()}{left and f'; {left}'}"
        facts = [f"trial {self._finished}/{self.trials}: {self._counts()}"]
        if self.best and (estimate := self.best[0].estimate(self.metric)):
            facts.append(f"best {self.metric.labelled_text(estimate.value)} at {self.best[0].setting}")
        facts.append(time_left(self._pace.seconds_left(self.trials - self._finished, time.monotonic())))
        return "; ".join(filter(None, facts))

    # The live table, which is no wider and no higher than the terminal.

    def _drawn(self) -> Group:
        now = time.monotonic()
        if not self._live and not self._pace.at_once and not self._finals.at_once:
            return Group()  # the run ended before a trial started: only its error is shown
        bars = Table.grid(padding=(0, 1))
        until = self._pace.ends[-1] if self._pace.ends and self._finished >= self.trials else now
        bars.add_row(*_bar("trials", self._finished, self.trials, self._pace, until - self._began))
        if self._expected:
            bars.add_row(*_bar("finals", self._tested, self._expected, self._finals, now - self._finals.began))
        counts = Text(self._counts(), no_wrap=True, overflow="ellipsis")
        room = self.console.height - bars.row_count - 2  # one line for the counts, and one for the cursor
        best = self._best_rows()
        work = self._work_rows(now, room - min(len(best), 2))
        rows = [*work, *best][: max(room, 0)]
        table = Table(
            Column(justify="right", no_wrap=True, min_width=6),
            Column(ratio=1, no_wrap=True, overflow="ellipsis"),
            Column(no_wrap=True, min_width=22),
            Column(justify="right", no_wrap=True, min_width=7),
            box=None,
            show_header=False,
            pad_edge=False,
            width=min(self.console.width, MAX_WIDTH),
        )
        for row in rows:
            table.add_row(*row, style="dim" if row in (WORK_TITLE, self._best_title) else "")
        return Group(bars, counts, table) if rows else Group(bars, counts)

    def _work_rows(self, now: float, room: int) -> list[Row]:
        """Return a title and a row for each worker. A worker without a job keeps its row, which is then empty."""
        slots = max(self._pace.at_once, self._finals.at_once)
        if not self._live:
            return []
        if not slots:
            return [WORK_TITLE, ("", "starting the workers", "", "")]
        jobs = {job.slot: job for job in list(self._jobs.values())}
        rows = [jobs[slot].row(now) if slot in jobs else ("", "", "", "") for slot in range(slots)]
        if len(rows) >= room > 1:
            rows[room - 2 :] = [("", f"and {len(rows) - room + 2} more", "", "")]
        return [WORK_TITLE, *rows]

    def _best_rows(self) -> list[Row]:
        """Return a title and a row for each of the best trials, with its interval."""
        rows = [
            (str(trial.number), str(trial.setting), terminal_interval(trial_estimate(trial, self.metric)), "")
            for trial in self.best
        ]
        return [self._best_title, *rows] if rows else []

    @property
    def _best_title(self) -> Row:
        return "trial", f"best by validation {self.metric.label}", "value (95 % interval)", ""


def _bar(name: str, done: int, total: int, pace: Pace, elapsed: float) -> tuple[RenderableType, ...]:
    """Return the cells of a progress bar. elapsed: seconds."""
    return (
        name,
        ProgressBar(total=total, completed=done, width=24),
        Text(f"{done}/{total}", "progress.download"),
        Text(str(timedelta(seconds=int(elapsed))), "progress.elapsed"),
        Text(time_left(pace.seconds_left(total - done, time.monotonic())), "progress.remaining"),
    )
