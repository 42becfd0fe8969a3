"""Shows downloads: a line when one begins and, on a terminal, a bar with the bytes and the time left."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from objectives.downloads import reporting_to
from spaces.text import one_line

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


@final
@dataclass
class DownloadDisplay:
    """A `DownloadListener` that prints and draws on standard error."""

    _bar: "Progress | None" = None
    _task: "tuple[str, TaskID] | None" = None

    def begins(self, line: str) -> None:
        """Print the line that announces a download."""
        from rich.console import Console

        from search.display.text import print_plain

        print_plain(Console(stderr=True, soft_wrap=True), line)

    def progresses(self, name: str, done: int, total: int) -> None:
        """Move the bar of a file. done, total: bytes. Without a terminal it draws nothing."""
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        if not console.is_terminal:
            return
        if self._bar is None:
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                DownloadColumn(),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, console=console)
            self._bar.start()
        if self._task is None or self._task[0] != name:
            self._task = name, self._bar.add_task(one_line(name))
        self._bar.update(self._task[1], completed=done, total=total)
        if done >= total:
            self.close()

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
        self._bar = self._task = None


@contextmanager
def showing_downloads() -> Iterator[None]:
    """Show the downloads of the `with` block."""
    display = DownloadDisplay()
    with reporting_to(display):
        try:
            yield
        finally:
            display.close()
