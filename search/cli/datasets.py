"""The commands `search datasets`: which there are, a published one fetched, and a look at one before it is used."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from objectives.home import Home
from search.cli.flags import HomeOption

if TYPE_CHECKING:
    from rich.table import Table

    from objectives.datasets.check import Check, Duplicate

app = typer.Typer(help="List datasets, fetch a published one, check one before it is used.")

SHOWN = 5  # of a list that may be long; --json gives all of it


@app.callback(invoke_without_command=True)
def datasets(context: typer.Context) -> None:
    """List the datasets that are known by name, and how each is had."""
    from search.display.text import print_table

    if context.invoked_subcommand is not None:
        return
    from rich.markup import escape
    from rich.table import Column, Table

    from objectives.datasets.catalog import DATASETS
    from objectives.datasets.fetch import how_to_get

    table = Table(Column("name", no_wrap=True), "what it is", Column("fetch", no_wrap=True, justify="right"))
    for name, entry in DATASETS.items():
        table.add_row(name, escape(entry.description), how_to_get(name))
    print_table(table)
    typer.echo("\n`search datasets fetch NAME` downloads one, or says how it is had by hand")
    typer.echo("`search datasets check NAME` looks at every image; what was not fetched needs its --data-root")


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A name that `search datasets` lists.")],
    into: Annotated[
        Path | None,
        typer.Option("--into", metavar="DIR", help="DIR/NAME is made. [default: datasets/ in the home folder]"),
    ] = None,
    keep_downloads: Annotated[
        bool, typer.Option("--keep-downloads", help="Leave the downloaded archives beside it.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Download a published dataset, check it and unpack it. The same command goes on where it broke off."""
    from objectives.datasets.catalog import DATASETS
    from objectives.datasets.fetch import fetch as fetch_dataset
    from objectives.datasets.fetch import how_to_get
    from spaces import DatasetError

    if name in DATASETS and not how_to_get(name):
        raise DatasetError(f"there is nothing to fetch for dataset {name}: it is {DATASETS[name].description}")
    folder = fetch_dataset(name, into or Home.at(home).datasets, keep_downloads=keep_downloads)
    words = ["--data-root", str(folder)] if into else ["--home", str(home)] if home else []
    typer.echo(f"{folder}: use it as `{shlex.join(['search', 'run', '--dataset', name, *words])}`")


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="A name that `search datasets` lists.")],
    data_root: Annotated[
        str | None,
        typer.Option(
            "--data-root",
            metavar="PATH",
            help="Where the images lie, or a hub id for huggingface; digits and what was fetched need none.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object with everything found, for programs.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Count a dataset's images, and find what would spoil a study: unreadable files, tiny classes, duplicates.

    What is found is told, and is no error; a layout that cannot be read is one.
    """
    from objectives.datasets.catalog import load_with_sizes
    from objectives.datasets.check import check as check_dataset
    from search.display.text import print_table

    found = check_dataset(*load_with_sizes(name, data_root, fetched=Home.at(home).datasets, skip_unreadable=True))
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2, ensure_ascii=False))
        return
    print_table(counts_table(found))
    typer.echo("\n".join(["", *findings(found)]))


def counts_table(found: "Check") -> "Table":
    """Images, and how evenly they are shared between the classes."""
    from rich.table import Column, Table

    names = ("images", "least of a class", "median", "most")
    table = Table("split", *(Column(name, justify="right") for name in names))
    for split, images, spread in (
        ("train", found.train, found.train_per_class),
        ("test", found.test, found.test_per_class),
    ):
        table.add_row(split, f"{images:,}", f"{spread.least:,}", f"{spread.median:,g}", f"{spread.most:,}")
    return table


def findings(found: "Check") -> list[str]:
    """Lines for people: sizes and the fingerprint, then what would spoil a study."""
    from objectives.datasets.check import SMALL_CLASS

    side = found.shorter_side
    lines = [
        f"{found.dataset}: {found.train + found.test:,} images of {len(found.classes):,} classes",
        f"shorter sides {side.least:,} to {side.most:,} pixels, median {side.median:,g}",
        f"fingerprint {found.fingerprint}",
    ]
    small = [f"{each.name} ({each.train})" for each in found.small]
    lines += _told(f"{_n(small, 'class', 'classes')} of fewer than {SMALL_CLASS} training images", small)
    untested = [each.name for each in found.untested]
    lines += _told(f"{_n(untested, 'class', 'classes')} without a test image", untested)
    lines += _told(f"{_n(found.unreadable, 'unreadable file', 'unreadable files')}", found.unreadable)
    leaks = [_group(each) for each in found.leaks]
    lines += _told(f"{_n(leaks, 'image lies', 'images lie')} in both train and test", leaks)
    wrong = [f"{_group(each)} as {', '.join(each.classes)}" for each in found.contradictions]
    lines += _told(f"{_n(wrong, 'image goes', 'images go')} by more than one label", wrong)
    others = [_group(each) for each in found.duplicates if each not in found.leaks + found.contradictions]
    lines += _told(f"{_n(others, 'other image is', 'other images are')} there more than once", others)
    return lines if len(lines) > 3 else [*lines, "nothing was found that would spoil a study"]


def _told(what: str, items: Sequence[str]) -> list[str]:
    """A heading and the first few items below it; nothing where there are none."""
    if not items:
        return []
    more = [f"  and {len(items) - SHOWN:,} more; --json lists all"] if len(items) > SHOWN else []
    return [f"{what}:", *(f"  {item}" for item in items[:SHOWN]), *more]


def _n(items: Sequence[object], one: str, several: str) -> str:
    return f"{len(items):,} {one if len(items) == 1 else several}"


def _group(group: "Duplicate") -> str:
    return " = ".join(group.train + group.test)
