"""A bar that counts: drawn on a terminal or in a notebook, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")

PLAIN_SECONDS = 10.0
"""Seconds from one plain line to the next."""


def counted(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Yield the items while a bar counts them. what: their plural, e.g. "images"."""
    with counter(what) as update:
        for number, item in enumerate(items, 1):
            update(number, total)
            yield item


@contextmanager
def counter(what: str, console: Console | None = None, plain: bool = True) -> Iterator[Callable[[int, int], None]]:
    """Yield a function of (done, total) that moves the bar.

    console: standard error by default, because standard output carries the answers. plain: print a line every 10 s
    where nothing can be drawn.
    """
    console = console or Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    printed, printed_done, drawn, beside = time.monotonic(), 0, is_drawn(console), sys.stdout.isatty()
    with Progress(*columns, console=console, disable=not drawn, transient=True, redirect_stdout=beside) as bar:
        task = bar.add_task(what, total=None)

        def update(done: int, total: int) -> None:
            nonlocal printed, printed_done
            bar.update(task, completed=done, total=total)
            if plain and not drawn and done != printed_done and time.monotonic() - printed > PLAIN_SECONDS:
                printed, printed_done = time.monotonic(), done
                console.print(f"{what}: {done:,}/{total:,}", highlight=False)

        yield update


def is_drawn(console: Console) -> bool:
    """Return whether something that moves can be drawn: on a terminal that can go back, or in a notebook."""
    return (console.is_terminal and not console.is_dumb_terminal) or console.is_jupyter
