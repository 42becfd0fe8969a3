"""Prints tables on a terminal."""

import sys

from rich.console import Console
from rich.table import Table

PIPED_COLUMNS = 160
"""Characters of a table's row where there is no terminal."""


def print_table(table: Table) -> None:
    """Print a table as wide as the terminal. Without a terminal it is wide enough for each row to fit on one line."""
    Console(width=None if sys.stdout.isatty() else PIPED_COLUMNS).print(table)
