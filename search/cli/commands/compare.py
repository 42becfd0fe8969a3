"""The command `search compare`: tests whether the best setting of one study is better than that of another."""

from contextlib import suppress
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated

import typer

from objectives.home import Home
from objectives.results import ACCURACY
from search.cli.flags import HomeOption, JsonOption, StorageOption
from search.cli.output import chosen_study, print_json, print_lines
from spaces import StorageError, UsageError
from spaces.errors import shown
from spaces.text import one_line

if TYPE_CHECKING:
    from dashboards.comparison import StudyComparison
    from search.database.store import Store

LINE = 80
"""Characters of a printed line."""


def compare(
    studies: Annotated[
        list[str] | None,
        typer.Argument(metavar="STUDY STUDY", help="Names of two studies of the same images, or of their datasets."),
    ] = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
    storage: StorageOption = None,
) -> None:
    """Compare the best settings of two studies of the same images.

    A paired test on the test images decides whether the difference in accuracy is significant.
    """
    from dashboards.comparison import StudyComparison
    from search.database.store import Store

    if studies is None or len(studies) != 2:
        got = "none" if not studies else ", ".join(map(shown, studies))
        raise UsageError(f"`search compare` takes the names of two studies, got {got}; `search status` lists them all")
    with Store.open(storage or Home.at(home).storage, reading=True) as store:
        names = [_study_named(store, word) for word in studies]
        comparison = StudyComparison.of(*map(store.read_study, names))
    if as_json:
        print_json(comparison.to_dict())
    else:
        _print(comparison)


def _study_named(store: "Store", word: str) -> str:
    """Return the study of this name, or else the one that stands for the dataset of this name."""
    if word not in store.names():
        with suppress(StorageError):
            return chosen_study(store, word, None)
    return store.find_study(name=word)


def _print(comparison: "StudyComparison") -> None:
    """Print a table of the two studies, and the result of the test."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Column

    from search.display.text import PlainTable, print_table

    columns = "", Column("first", overflow="fold"), Column("second", overflow="fold")
    table = PlainTable(*columns, box=SIMPLE_HEAD, show_edge=False, padding=(0, 2, 0, 0))
    names = "study", "backbone", "setting", "test", "seeds", "GMAC"
    for name, *cells in zip(names, *_columns(comparison), strict=True):
        table.add_row(name, *cells)
    print_table(table)
    print_lines("", *_lines(comparison))


def _columns(comparison: "StudyComparison") -> list[tuple[str, ...]]:
    """Return the cells of each study, in the order of the table's rows."""
    from dashboards.formatting import gmacs, terminal_interval
    from dashboards.study.answer.tradeoff import gmacs_of
    from dashboards.study.tables import finalist_estimate

    return [
        (
            study.name,
            study.backbone,
            str(best.setting),
            terminal_interval(finalist_estimate(best, "test", ACCURACY)),
            str(len(best.finals)),
            gmacs(cost) if (cost := gmacs_of(study, best.setting)) is not None else "unknown",
        )
        for study, best in comparison.finalists
    ]


def _lines(comparison: "StudyComparison") -> list[str]:
    """Return the result of the test as lines for people."""
    from dashboards.statistics import p_text

    paired, difference = comparison.paired, comparison.paired.difference
    points = [f"{100 * value:+.1f}" for value in (difference.value, difference.low, difference.high)]
    one_seed = all(len(best.finals) == 1 for _, best in comparison.finalists)
    count = "{:.0f}" if one_seed else "{:.1f}"
    both, first, second, neither = map(
        count.format, (paired.both, paired.first_only, paired.second_only, paired.neither)
    )
    test = "mid-p McNemar test" if one_seed else "mid-p sign-flip test"
    lines = [
        f"difference  {points[0]} points, first - second  (95 % interval {points[1]} to {points[2]})",
        f"test        {p_text(difference.p)}, {test} on {paired.images:,} test images",
        f"correct     {both} by both, {first} only by the first, {second} only by the second, {neither} by neither",
    ]
    if not one_seed:
        lines.append("            (images, averaged over pairs of seeds)")
    if comparison.differing:
        lines += wrap(f"note        their protocols differ too: {', '.join(comparison.differing)}", LINE)
    if any(study.metric != ACCURACY for study in comparison.studies):
        lines.append("note        a study chose its setting by another metric than accuracy, which is compared here")
    return [*lines, "", *wrap(one_line(comparison.sentence), LINE)]
