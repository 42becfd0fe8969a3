"""Tables and names on a terminal."""

import sys

from rich.console import Console
from rich.table import Table

PIPED_COLUMNS = 160
"""Width of a table where there is no terminal."""


def print_table(table: Table) -> None:
    """Print a table as wide as the terminal; where there is none, wide enough to keep a row on its line."""
    Console(width=None if sys.stdout.isatty() else PIPED_COLUMNS).print(table)


def printable(text: str) -> str:
    """Escape every character of a name from data that a terminal would obey instead of show."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
