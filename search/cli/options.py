"""What the commands have in common: where everything lies, which study is meant, how tables and names are printed."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from objectives.results import ACCURACY, SELECTION_METRICS
from spaces.errors import UsageError
from spaces.lookup import check_name

if TYPE_CHECKING:
    from rich.table import Table

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home", metavar="DIR", help="Folder for everything that is kept. [default: $SEARCH_HOME, or the platform's]"
    ),
]

StorageOption = Annotated[
    str | None,
    typer.Option(
        "--storage", metavar="URL", help="Study database, SQLite or PostgreSQL. [default: sqlite in the home folder]"
    ),
]
DatasetOption = Annotated[
    str | None,
    typer.Option("--dataset", metavar="NAME", help="The study of this dataset; the latest where it has several."),
]
StudyOption = Annotated[
    str | None, typer.Option("--study", metavar="NAME", help="A study by its name; see `search status`.")
]

PIPED_COLUMNS = 160

COST = "cost"
"""What may be minimised beside the metric."""


def print_table(table: "Table") -> None:
    """As wide as the terminal; where there is none, wide enough to keep a row on its line."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else PIPED_COLUMNS).print(table)


def printable(text: str) -> str:
    """A name from data, of which a terminal shows every character and obeys none: those that it would are escaped."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def objectives_named(objectives: str | None, metric: str | None) -> tuple[str, bool]:
    """`accuracy,cost` → ("accuracy", True): the metric, and whether the cost is an objective too.

    metric: as given beside, or in place of, the objectives. Raises UnknownNameError and UsageError.
    """
    if objectives is None:
        return metric or ACCURACY.name, False
    first, *others = names = [name.strip() for name in objectives.split(",")]
    for name in names:
        check_name("objective", name, (*SELECTION_METRICS, COST))
    if first == COST or others not in ([], [COST]):
        known = " or ".join(SELECTION_METRICS)
        raise UsageError(f"--objectives takes one metric, {known}, and after it cost if wanted; got {objectives!r}")
    if metric not in (None, first):
        raise UsageError(f"--metric {metric} and --objectives {objectives} name two metrics; leave --metric out")
    return first, others == [COST]


def integers(text: str | None) -> list[int] | None:
    """`13,16-18` → [13, 16, 17, 18]."""
    if text is None:
        return None
    values: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        try:
            values += range(int(first), int(last) + 1) if dash else [int(first)]
        except ValueError:
            raise typer.BadParameter(f"expected numbers and ranges such as 4,13-16, got {text!r}") from None
    return values
