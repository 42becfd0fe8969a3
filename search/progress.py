"""What a person sees while a run goes: a live line on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from objectives.results import ACCURACY, Evaluation, Extracted, Final, Metric, Study
from spaces import Setting

T = TypeVar("T")

PLAIN_SECONDS = 10.0
RATE_SECONDS = 20.0


@dataclass
class RunProgress:
    """Counts, rate and best so far; draws them as it is told of events. `trials`: the budget; counts start where the
    study stands. best: the worth by the metric, and the setting."""

    console: Console
    trials: int
    complete: int = 0
    pruned: int = 0
    failed: int = 0
    passes_made: int = 0
    best: tuple[float, Setting] | None = None
    metric: Metric = ACCURACY
    _recent: list[tuple[float, int]] = field(default_factory=list)
    _bar: Progress | None = None
    _tasks: dict[str, TaskID] = field(default_factory=dict)
    _printed: float = 0.0
    _finals: int = 0

    @classmethod
    def of(cls, console: Console, trials: int, study: Study) -> "RunProgress":
        """From where the study stands; failures of former runs are not counted."""
        best, metric = study.complete[0] if study.complete else None, study.metric
        measured = best.measured(metric) if best else None
        return cls(
            console,
            trials,
            complete=study.count("complete"),
            pruned=study.count("pruned"),
            best=(metric.worth(measured.value), best.setting) if best and measured else None,
            metric=metric,
        )

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False)

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Draw while the block runs."""
        if not self.console.is_terminal:
            yield
            return
        columns = (
            TextColumn("{task.description:<7}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[facts]}"),
        )
        with Progress(*columns, console=self.console, refresh_per_second=4) as bar:
            self._bar = bar
            self._tasks["trials"] = bar.add_task("trials", total=self.trials, completed=self._finished, facts="")
            self._tasks["passes"] = bar.add_task("passes", total=None, facts="")
            self._tasks["finals"] = bar.add_task("finals", total=None, facts="", start=False, visible=False)
            try:
                yield
            finally:
                self._draw(force=True)
                self._bar = None

    @property
    def _finished(self) -> int:
        return self.complete + self.pruned

    def extracted(self, report: Extracted) -> None:
        self.passes_made += report.made
        self._recent.append((time.monotonic(), report.made))
        self._draw(passes=f"{self._rate():.0f} images/s  {report.done:,}/{report.total:,} of this setting")

    def trial_ended(self, setting: Setting, state: str, evaluation: Evaluation | None, reason: str | None) -> None:
        setattr(self, state, getattr(self, state) + 1)
        if state == "complete" and evaluation is not None:
            reached = (evaluation.worth, setting)
            self.best = max(self.best or reached, reached, key=lambda pair: pair[0])
        if state == "failed":
            self.say(f"failed: {setting}: {reason}")
        self._draw()

    def expect_finals(self, count: int) -> None:
        """The trials are done, and `count` re-evaluations of finalists follow."""
        self._draw(force=True)
        if count and self._bar is not None:
            self._bar.update(self._tasks["finals"], total=count, visible=True)
            self._bar.start_task(self._tasks["finals"])
        elif count:
            self.say(f"re-evaluating and testing the finalists: {count} fits")

    def final_ended(self, final: Final) -> None:
        if self._bar is not None:
            self._bar.advance(self._tasks["finals"])
        else:
            self._finals += 1
            if time.monotonic() - self._printed > PLAIN_SECONDS:
                self._printed = time.monotonic()
                self.say(f"final {self._finals}: {final.setting}, validation {self._told(final)}")

    def _told(self, final: Final) -> str:
        measured = final.validation_scores.values.get(self.metric.name) if final.validation_scores else None
        return self.metric.told(measured.value) if measured else ACCURACY.told(final.validation.value)

    def _rate(self) -> float:
        """Passes a second over the last while, all workers together."""
        now = time.monotonic()
        self._recent = [(at, made) for at, made in self._recent if now - at < RATE_SECONDS]
        if len(self._recent) < 2:
            return 0.0
        return sum(made for _, made in self._recent[1:]) / max(self._recent[-1][0] - self._recent[0][0], 1e-3)

    def _facts(self) -> str:
        facts = f"{self.complete} done, {self.pruned} pruned, {self.failed} failed"
        if self.best:
            facts += f"; best {self.metric.told(self.metric.worth(self.best[0]))} at {self.best[1]}"
        return facts

    def _draw(self, passes: str | None = None, force: bool = False) -> None:
        if self._bar is not None:
            self._bar.update(self._tasks["trials"], completed=self._finished, facts=self._facts())
            if passes:
                self._bar.update(self._tasks["passes"], completed=self.passes_made, facts=passes)
        elif force or time.monotonic() - self._printed > PLAIN_SECONDS:
            self._printed = time.monotonic()
            rate = f"; {self.passes_made:,} passes made" + (f" ({self._rate():.0f} images/s)" if self._rate() else "")
            self.say(f"trial {self._finished}/{self.trials}: {self._facts()}{rate}")


def counted(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """The items, while a bar on a terminal, or a line now and then elsewhere, tells how many there were."""
    with _counter(what) as tell:
        for number, item in enumerate(items, 1):
            tell(number, total)
            yield item


def extracting(reports: Iterable[Extracted]) -> None:
    """Have everything extracted, while the same tells of the images of all passes."""
    with _counter("passes") as tell:
        for report in reports:
            tell(report.done, report.total)


def followed(items: Iterable[object], what: str, place: Callable[[], tuple[int, int]]) -> None:
    """Have all items made, while the same tells the place, (done, total)."""
    with _counter(what) as tell:
        for _ in items:
            tell(*place())


@contextmanager
def _counter(what: str) -> Iterator[Callable[[int, int], None]]:
    """Within, told (done, total), it draws on the terminal that errors go to; answers may go elsewhere meanwhile."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    printed, shown, beside = time.monotonic(), console.is_terminal, sys.stdout.isatty()
    with Progress(*columns, console=console, disable=not shown, transient=True, redirect_stdout=beside) as bar:
        task = bar.add_task(what, total=None)

        def tell(done: int, total: int) -> None:
            nonlocal printed
            bar.update(task, completed=done, total=total)
            if not shown and time.monotonic() - printed > PLAIN_SECONDS:
                printed = time.monotonic()
                console.print(f"{what}: {done:,}/{total:,}", highlight=False)

        yield tell
