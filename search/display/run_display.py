"""Shows a run: the dataset, the plan, and the live table or plain lines while it works."""

import logging
from contextlib import ExitStack
from types import TracebackType
from typing import IO, Self

from rich.console import Console

from dashboards.formatting import count, duration, image_counts
from search.display.counter import is_drawn
from search.display.live_table import RunProgress
from search.display.text import print_plain
from search.estimate import RunEstimate
from search.events import Event, Notice, RunFinished, RunPrepared, SearchEnded, SearchStarted
from search.workload import Workload


class RunDisplay:
    """Draws or prints the events of a run. Use it as a context manager, so that it always removes an unfinished bar.

    plain: print lines where no table can be drawn; otherwise show nothing there.
    """

    def __init__(self, console: Console | None = None, plain: bool = True) -> None:
        self.console = console or Console()
        self.plain = plain
        self._shown = plain or is_drawn(self.console)
        self._drawn = ExitStack()
        self._progress: RunProgress | None = None

    @classmethod
    def on_file(cls, file: IO[str]) -> Self:
        """Print plain lines on a file, such as a log."""
        return cls(Console(file=file, soft_wrap=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._drawn.__exit__(kind, error, traceback)

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if not self._shown:
            if isinstance(event, Notice):
                logging.getLogger(__name__).warning("%s", event.text)
            return
        match event:
            case Notice(text):
                self._say(text)
            case RunPrepared():
                self._show_prepared(event)
            case SearchStarted(results, trials, plan, workload, seconds_left):
                self._say(f"{plan}; {_in_all(workload, seconds_left)}")
                if workload.settings:
                    self._say("screening the settings first")
                self._progress = RunProgress.of(self.console, trials, results, workload, seconds_left)
                self._drawn.enter_context(self._progress.showing())
            case SearchEnded():
                self._drawn.close()
            case RunFinished(_, reason, _):
                self._drawn.close()
                self._say(reason, "")
            case _ if self._progress is not None:
                self._progress(event)

    def _show_prepared(self, event: RunPrepared) -> None:
        folds = str(event.folds) if event.folds else None
        self._say(
            f"{event.dataset}: {event.images:,} images of {event.classes} classes ({image_counts(event.counts, folds)})"
        )
        for phrase in event.left_out:
            self._say(f"left out: {phrase}")
        self._say(f"study {event.study}: {count(event.settings, 'setting')}, {count(event.workers, 'worker')}")
        for note in event.notes:
            self._say(f"note: {note}")

    def _say(self, *lines: str) -> None:
        print_plain(self.console, *lines)


def _in_all(workload: Workload, limit: float | None) -> str:
    """Say how long a run is expected to take, from the start of its workers to its report. limit: its time left."""
    seconds = RunEstimate(workload, 0.0).seconds_left(0.0)
    words = f"about {duration(seconds)} in all"
    if limit is not None and limit < seconds:
        words = f"it ends within {duration(limit)}" if limit >= 1 else "its time is up"
    return words.replace("\N{NO-BREAK SPACE}", " ")
