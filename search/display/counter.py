"""Counts with a progress bar on a terminal or in a notebook, and with a line from time to time elsewhere."""

import importlib.util
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from search.display.text import print_plain

T = TypeVar("T")

PLAIN_SECONDS = 10.0
"""The least seconds between two plain lines."""


class MoveBar(Protocol):
    """Moves a bar."""

    def __call__(self, done: int, total: int, what: str | None = None) -> None:
        """Show `done` of `total` items. what: their plural noun, where it changes."""
        ...


def counted(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Yield the items while a bar counts them. what: the plural noun of the items, e.g. "images"."""
    with counter(what) as update:
        for number, item in enumerate(items, 1):
            update(number, total)
            yield item


@contextmanager
def counter(what: str, console: Console | None = None, plain: bool = True) -> Iterator[MoveBar]:
    """Yield a function that moves the bar.

    console: the default is standard error, because results go to standard output. plain: print a line every 10 s where
    no bar can be drawn; otherwise show nothing there.
    """
    console = console or Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    printed, printed_done, drawn = time.monotonic(), 0, is_drawn(console)
    # Results that are printed to the same terminal appear above the bar.
    redirect = sys.stdout.isatty()
    with Progress(*columns, console=console, disable=not drawn, transient=True, redirect_stdout=redirect) as bar:
        task = bar.add_task(what, total=None)

        items = what

        def update(done: int, total: int, what: str | None = None) -> None:
            nonlocal printed, printed_done
            bar.update(task, completed=done, total=total, description=what or items)
            if plain and not drawn and done != printed_done and time.monotonic() - printed > PLAIN_SECONDS:
                printed, printed_done = time.monotonic(), done
                print_plain(console, f"{what or items}: {done:,}/{total:,}")

        yield update


def is_drawn(console: Console) -> bool:
    """Return whether the console can draw a bar: a terminal that can move its cursor, or a notebook with ipywidgets."""
    if console.is_jupyter:
        return importlib.util.find_spec("ipywidgets") is not None  # rich draws with it, and warns without it
    return console.is_terminal and not console.is_dumb_terminal
