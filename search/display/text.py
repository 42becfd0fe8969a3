"""Prints tables and lines on a terminal. Names from the data mean nothing there."""

import sys
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from spaces.text import one_line

PIPED_COLUMNS = 160
"""Characters of a table's row where there is no terminal."""


class PlainTable(Table):
    """A table whose cells are plain text: `[red]` is no colour, and control characters are printed as escapes."""

    def add_row(self, *cells: RenderableType | None, **style: Any) -> None:
        """Add a row. A cell that is a string is printed as it is, on one line; other cells as rich draws them."""
        super().add_row(*(Text(one_line(cell)) if isinstance(cell, str) else cell for cell in cells), **style)


def lines_cell(lines: list[str]) -> Text:
    """Return a cell of several lines of plain text."""
    return Text("\n".join(map(one_line, lines)))


def print_plain(console: Console, *lines: str) -> None:
    """Print lines of plain text on a console."""
    console.print("\n".join(map(one_line, lines)), highlight=False, markup=False, emoji=False)


def print_table(table: Table) -> None:
    """Print a table as wide as the terminal. Without a terminal it is wide enough for each row to fit on one line."""
    Console(width=None if sys.stdout.isatty() else PIPED_COLUMNS).print(table)
