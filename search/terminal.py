"""What the commands have in common: the option that says where everything lies, and how a table is printed."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home", metavar="DIR", help="Folder for everything that is kept. [default: $SEARCH_HOME, or the platform's]"
    ),
]

PIPED_COLUMNS = 160


def print_table(table: "Table") -> None:
    """As wide as the terminal; where there is none, wide enough to keep a row on its line."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else PIPED_COLUMNS).print(table)
