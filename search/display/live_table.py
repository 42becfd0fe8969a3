"""Shows a search while it runs: a live table on a terminal, plain lines elsewhere."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Column
from rich.text import Text

from dashboards.formatting import terminal_interval
from dashboards.study.tables import trial_estimate
from objectives.results import ACCURACY, Epoch, Extracted, Metric, Rung, Scored, StudyResults, Trial
from search.display.counter import PLAIN_SECONDS, is_drawn
from search.display.fitted_setting import FittedSetting
from search.display.jobs import Job, Row
from search.display.pace import time_left
from search.display.text import PlainTable, print_plain
from search.estimate import RunEstimate
from search.scheduling.events import (
    BaselineEnded,
    BaselineStarted,
    FinalEnded,
    FinalsPlanned,
    FinalStarted,
    GivenBack,
    PartEnded,
    PartStarted,
    Paused,
    Progressed,
    Resumed,
    Retried,
    ScreeningPlanned,
    TrialEnded,
    TrialEvent,
    TrialStarted,
)
from search.scheduling.requests import Request, ScreeningRequest
from search.workload import Workload

RATE_SECONDS = 20.0
"""The rate of forward passes is the mean over this many last seconds."""

BEST_SHOWN = 5
"""Best trials that the table shows."""

MAX_WIDTH = 110
"""Most characters of a row of the table. A wider row is hard to follow with the eye."""

SILENT_SECONDS = 60.0
"""A plain line is printed after this time even if nothing has changed."""

TICK_SECONDS = 1.0

JOBS_NAMED = 2
"""Jobs that a plain line names; it counts the others."""

WORK_TITLE: Row = ("trial", "running", "", "for")


@dataclass
class RunProgress:
    """The progress of a run: counts, rate, time left, running jobs and the best trials. Events update it and show it.

    trials: finished trials that the run aims at. complete, pruned: trials of the study. failed, passes_made: trials and
    forward passes of this run alone. best: the `BEST_SHOWN` best trials, best first. workload: of the run, from which
    the time left is estimated; None to show none. seconds_left: until the run ends by its time limit; None without one.
    clock: seconds.
    """

    console: Console
    trials: int
    complete: int = 0
    pruned: int = 0
    failed: int = 0
    passes_made: int = 0
    best: tuple[Trial, ...] = ()
    metric: Metric = ACCURACY
    workload: Workload | None = None
    seconds_left: float | None = None
    clock: Callable[[], float] = time.monotonic
    _began: float = 0.0
    _jobs: dict[Request, Job] = field(default_factory=dict)
    _slots: int = 0
    _estimate: RunEstimate | None = None
    _settings_scored: int = 0
    _settings_planned: int = 0
    _finals_ended: int = 0
    _finals_planned: int = 0
    _finals_later: int = 0
    _is_testing: bool = False
    _is_paused: bool = False
    _recent: list[tuple[float, int]] = field(default_factory=list)
    _live: bool = False
    _printed: float = -PLAIN_SECONDS
    _last_line: str = ""
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self._began = self.clock()
        if self.workload is not None:
            self._estimate = RunEstimate(self.workload, self._began)
            self._settings_planned = self.workload.settings

    @classmethod
    def of(
        cls,
        console: Console,
        trials: int,
        study: StudyResults,
        workload: Workload | None = None,
        seconds_left: float | None = None,
    ) -> "RunProgress":
        """Start from the trials that a study has. Failures of earlier runs are not counted."""
        return cls(
            console,
            trials,
            complete=study.count("complete"),
            pruned=study.count("pruned"),
            best=study.complete[:BEST_SHOWN],
            metric=study.metric,
            workload=workload,
            seconds_left=seconds_left,
        )

    def say(self, text: str) -> None:
        """Print a line; it appears above the live table."""
        print_plain(self.console, text)

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Draw the live table during the `with` block.

        Afterwards only counts stay on the screen, and the best trials where no answer was chosen.
        """
        if not is_drawn(self.console):
            with self._ticking():
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

    @contextmanager
    def _ticking(self) -> Iterator[None]:
        """Print what has changed, even if no event comes, during the `with` block."""
        stop = threading.Event()

        def work() -> None:
            while not stop.wait(TICK_SECONDS):
                self.tick()

        thread = threading.Thread(target=work, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def __call__(self, event: TrialEvent) -> None:
        """Update the progress with an event, and show it."""
        with self._lock:
            if self._estimate is not None:
                self._estimate(event, self.clock())
            self._update(event)
            self.tick()

    def _update(self, event: TrialEvent) -> None:
        match event:
            case ScreeningPlanned(settings):
                self._settings_planned = settings
            case PartStarted(request) | TrialStarted(request) | FinalStarted(request) | BaselineStarted(request):
                self._start(request)
            case Progressed(request, report):
                self._progress(request, report)
            case PartEnded(request):
                del self._jobs[request]
                self._settings_scored += len(request.settings)
            case TrialEnded():
                self._end_trial(event)
            case FinalsPlanned(count, test, later):
                self._finals_planned = self._finals_ended + count
                self._finals_later, self._is_testing = later, test
            case FinalEnded(request):
                del self._jobs[request]
                self._finals_ended += 1
            case BaselineEnded(request) | GivenBack(request):
                del self._jobs[request]
            case Paused():
                self._is_paused = True
                self.say("paused: nothing begins until `search resume`")
            case Resumed():
                self._is_paused = False
                self.say("goes on after the pause")
            case Retried(request, reason, attempt):
                job = self._jobs.pop(request)
                self.say(f"tried again: {job.title}, attempt {attempt}: {reason}")

    def _start(self, request: Request) -> None:
        taken = {job.slot for job in self._jobs.values()}
        slot = next(number for number in range(len(taken) + 1) if number not in taken)
        self._jobs[request] = Job(request, slot, self.clock())
        self._slots = max(self._slots, len(self._jobs))

    def _progress(self, request: Request, report: Extracted | Scored | Epoch | Rung) -> None:
        self._jobs[request].update(report)
        if isinstance(report, Extracted):
            self.passes_made += report.made
            self._recent.append((self.clock(), report.made))

    def _end_trial(self, event: TrialEnded) -> None:
        request, evaluation = event.request, event.evaluation
        del self._jobs[request]
        setattr(self, event.state, getattr(self, event.state) + 1)
        if event.state == "complete" and evaluation is not None:
            trial = Trial(request.number, "complete", request.setting, evaluation.validation, scores=evaluation.scores)
            self.best = tuple(sorted((*self.best, trial), key=self._best_first)[:BEST_SHOWN])
        if event.state == "failed":
            self.say(f"failed: {request.setting}: {event.reason}")

    @property
    def _finished(self) -> int:
        return self.complete + self.pruned

    @property
    def _most_finals(self) -> int:
        """The most finals of this run, as far as is known. Each round may make them fewer, and none makes them more."""
        if self._finals_planned or self.workload is None:
            return self._finals_planned + self._finals_later
        return sum(self.workload.rounds) + self.workload.tests

    def _best_first(self, trial: Trial) -> tuple[float, int, int]:
        """Return the sort key of a trial. It breaks ties as `StudyResults.complete` does."""
        estimate = trial.estimate(self.metric)
        return -self.metric.score(estimate.value) if estimate else 0.0, trial.setting.block, trial.number

    def _rate(self) -> float:
        """Return the forward passes per second of all workers together, over the last `RATE_SECONDS`."""
        now = self.clock()
        self._recent = [(moment, made) for moment, made in self._recent if now - moment < RATE_SECONDS]
        if len(self._recent) < 2:
            return 0.0
        return sum(made for _, made in self._recent[1:]) / max(self._recent[-1][0] - self._recent[0][0], 1e-3)

    def _counts(self) -> str:
        rate = f", {self._rate():,.0f} a second" if self._rate() >= 1 else ""
        passes = f"; {self.passes_made:,} passes made{rate}" if self.passes_made else ""
        return f"{self.complete} complete, {self.pruned} pruned, {self.failed} failed{passes}"

    def _left(self) -> str:
        if self._is_paused:
            return "paused"
        now = self.clock()
        seconds = self._estimate.seconds_left(now) if self._estimate else None
        if seconds is not None and self.seconds_left is not None:
            seconds = min(seconds, self.seconds_left - (now - self._began))
        return time_left(seconds)

    # Plain lines.

    def tick(self) -> None:
        """Print a line if something has changed since the last one, but none within `PLAIN_SECONDS` of it."""
        with self._lock:
            silent = self.clock() - self._printed
            if self._live or silent < PLAIN_SECONDS:
                return
            line = self._summary()
            if line == self._last_line and silent < SILENT_SECONDS:
                return
            self._printed, self._last_line = self.clock(), line
            self.say("; ".join(filter(None, (line, self._left()))))

    def _summary(self) -> str:
        """Say how far the run is, and what is at work."""
        facts = [f"{self._phase()}: {self._counts()}"]
        if self.best and (estimate := self.best[0].estimate(self.metric)):
            facts.append(f"best trial {self.metric.labelled_text(estimate.value)} at {self.best[0].setting}")
        jobs = sorted(self._jobs.values(), key=lambda job: job.slot)
        work = list(dict.fromkeys(job.words() for job in jobs[:JOBS_NAMED]))
        if len(jobs) > JOBS_NAMED:
            work.append(f"{len(jobs) - JOBS_NAMED} more at work")
        return "; ".join([*facts, ", ".join(work) or "waiting for workers"])

    def _phase(self) -> str:
        if self._finals_planned:
            what = "testing the answer" if self._is_testing else "comparing candidates"
            return f"{what}, {self._finals_ended} of at most {self._most_finals} fits"
        screening = self._settings_scored < self._settings_planned and not self._finished
        if screening and not any(not isinstance(request, ScreeningRequest) for request in self._jobs):
            return f"screening {self._scored}/{self._settings_planned} settings"
        return f"trial {self._finished}/{self.trials}"

    @property
    def _scored(self) -> int:
        """The settings that are screened so far, those of running parts too."""
        return self._settings_scored + sum(job.scored for job in self._jobs.values())

    # The live table, which is no wider and no higher than the terminal.

    def _drawn(self) -> Group:
        with self._lock:
            return self._table()

    def _table(self) -> Group:
        now = self.clock()
        if not self._live and not self._slots:
            return Group()  # the run ended before anything started: only its error is shown
        bars = PlainTable.grid(padding=(0, 1))
        for row in self._bar_rows(now)[2 - self.console.height :]:  # one line for the counts, and one for the cursor
            bars.add_row(*row)
        counts = Text(self._counts(), no_wrap=True, overflow="ellipsis")
        room = self.console.height - bars.row_count - 2
        best = self._best_rows()
        work = self._work_rows(now, room - min(len(best), 2))
        rows = [*work, *best][: max(room, 0)]
        table = PlainTable(
            Column(justify="right", no_wrap=True, min_width=6),
            Column(ratio=1, no_wrap=True, overflow="ellipsis"),
            Column(no_wrap=True, min_width=22),
            Column(justify="right", no_wrap=True, min_width=7),
            box=None,
            show_header=False,
            collapse_padding=True,
            pad_edge=False,
            width=min(self.console.width, MAX_WIDTH),
        )
        for row in rows:
            table.add_row(*row, style="dim" if row in (WORK_TITLE, self._best_title) else "")
        return Group(bars, counts, table) if rows else Group(bars, counts)

    def _bar_rows(self, now: float) -> list[tuple[RenderableType, ...]]:
        """Return the cells of the run's time, and of a bar for each phase that has some work."""
        left = self._left() if self._live else ""
        time_row = ("run", str(timedelta(seconds=int(now - self._began))), Text(left, "progress.remaining"))
        bars = (
            ("screening", self._scored, self._settings_planned),
            ("trials", self._finished, self.trials),
            ("finals", self._finals_ended, self._most_finals),
        )
        return [time_row, *(_bar(name, done, total) for name, done, total in bars if total)]

    def _work_rows(self, now: float, room: int) -> list[Row]:
        """Return a title and a row for each worker. A worker without a job keeps its row, which is then empty."""
        slots = self._slots
        if not self._live:
            return []
        if not slots:
            return [WORK_TITLE, ("", "starting the workers", "", "")]
        jobs = {job.slot: job for job in list(self._jobs.values())}
        rows: list[Row] = [jobs[slot].row(now) if slot in jobs else ("", "", "", "") for slot in range(slots)]
        if len(rows) >= room > 1:
            rows[room - 2 :] = [("", f"and {len(rows) - room + 2} more", "", "")]
        return [WORK_TITLE, *rows]

    def _best_rows(self) -> list[Row]:
        """Return a title and a row for each of the best trials, with its interval.

        Nothing where the run has ended and the answer was chosen on other splits: it is printed below the table.
        """
        if not self._live and self._finals_ended:
            return []
        rows: list[Row] = [
            (str(trial.number), FittedSetting(trial.setting), terminal_interval(trial_estimate(trial, self.metric)), "")
            for trial in self.best
        ]
        return [self._best_title, *rows] if rows else []

    @property
    def _best_title(self) -> Row:
        title = f"best trials by validation {self.metric.label}"
        if self._finals_planned:
            title = "best trials; the answer is chosen on other splits"
        return "trial", title, "value (95 % interval)", ""


def _bar(name: str, done: int, total: int) -> tuple[RenderableType, ...]:
    """Return the cells of a progress bar."""
    bar = ProgressBar(total=max(total, 1), completed=done, width=24)
    return name, bar, Text(f"{done}/{total}", "progress.download")
