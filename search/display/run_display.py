"""Shows a run: the dataset and plan, a bar during the screening, and the live table during the search."""

from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from rich.console import Console

from dashboards.formatting import count, image_counts
from search.display.counter import counter, is_drawn
from search.display.live_table import RunProgress
from search.events import Event, RunFinished, RunPrepared, ScreeningProgressed, SearchEnded, SearchStarted
from search.prepare import left_out_phrases


class RunDisplay:
    """Draws or prints the events of a run. Use it as a context manager, so that it always removes an unfinished bar.

    plain: print lines where no table can be drawn; otherwise show nothing there.
    """

    def __init__(self, console: Console | None = None, plain: bool = True) -> None:
        self.console = console or Console()
        self.plain = plain
        self._shown = plain or is_drawn(self.console)
        self._drawn = ExitStack()
        self._count_screening: Callable[[int, int], None] | None = None
        self._progress: RunProgress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._drawn.__exit__(kind, error, traceback)

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if not self._shown:
            return
        match event:
            case RunPrepared():
                self._show_prepared(event)
            case ScreeningProgressed(done, total):
                if self._count_screening is None:
                    self._say("screening the settings first")
                    self._count_screening = self._drawn.enter_context(counter("passes", plain=self.plain))
                self._count_screening(done, total)
            case SearchStarted(results, trials):
                self._drawn.close()
                self._progress = RunProgress.of(self.console, trials, results)
                self._drawn.enter_context(self._progress.showing())
            case SearchEnded():
                self._drawn.close()
            case RunFinished(_, reason, _):
                self._drawn.close()
                self._say(f"{reason}\n")
            case _ if self._progress is not None:
                self._progress(event)

    def _show_prepared(self, event: RunPrepared) -> None:
        run = event.run
        dataset, space = run.probe.spec.dataset, run.probe.space
        folds = str(run.options.folds) if run.options.folds else None
        self._say(
            f"{run.options.dataset}: {len(dataset):,} images of {len(dataset.classes)} classes "
            f"({image_counts(run.counts, folds)})"
        )
        for phrase in left_out_phrases(dataset):
            self._say(f"left out: {phrase}")
        self._say(f"study {event.study}: {count(len(space), 'setting')}, {count(run.resources.workers, 'worker')}")
        self._say(run.plan.words(run.resources.workers))

    def _say(self, line: str) -> None:
        self.console.print(line, highlight=False, markup=False)
