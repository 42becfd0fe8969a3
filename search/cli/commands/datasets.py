"""The commands `search datasets`: list them, fetch a published one, and check one before a study uses it."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from objectives.home import Home
from search.cli.flags import HomeOption, JsonOption
from search.cli.output import print_json, print_lines

if TYPE_CHECKING:
    from rich.table import Table

    from objectives.datasets.check import Check, Duplicate
    from objectives.datasets.dataset import Dataset
    from objectives.results import NearDuplicate

app = typer.Typer(help="List datasets, fetch a published one, or check one.")

SHOWN = 5
"""Items of a finding that are printed; --json lists all."""

NONE_FOUND = "no problems found; `--near-duplicates` looks for copies across splits"


@app.callback(invoke_without_command=True)
def datasets(context: typer.Context) -> None:
    """List the known datasets, and how to get each."""
    from search.display.text import PlainTable, print_table

    if context.invoked_subcommand is not None:
        return
    from rich.table import Column

    from objectives.datasets.catalog import DATASETS
    from objectives.datasets.fetch import how_to_get

    table = PlainTable(Column("name", no_wrap=True), "what it is", Column("fetch", no_wrap=True, justify="right"))
    for name, entry in DATASETS.items():
        table.add_row(name, entry.description, how_to_get(name))
    print_table(table)
    print_lines(
        "",
        "`search datasets fetch NAME` downloads a dataset, or explains how to get it by hand",
        "`search datasets check NAME` checks every image; add --data-root for a dataset that was not fetched",
    )


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name from `search datasets`.")],
    into: Annotated[
        Path | None,
        typer.Option(
            "--into",
            metavar="DIR",
            help="Create the folder DIR/NAME. [default: datasets/ in the home folder]",
        ),
    ] = None,
    keep_downloads: Annotated[bool, typer.Option("--keep-downloads", help="Keep the downloaded archives.")] = False,
    home: HomeOption = None,
) -> None:
    """Download, verify and unpack a published dataset.

    If the download is interrupted, the same command continues it.
    """
    from objectives.datasets.catalog import DATASETS
    from objectives.datasets.fetch import fetch as fetch_dataset
    from objectives.datasets.fetch import how_to_get
    from spaces import DatasetError

    if name in DATASETS and not how_to_get(name):
        raise DatasetError(f"there is nothing to fetch for dataset {name}: it is {DATASETS[name].description}")
    folder = fetch_dataset(name, into or Home.at(home).datasets, keep_downloads=keep_downloads)
    words = ["--data-root", str(folder)] if into else ["--home", str(home)] if home else []
    print_lines(f"{folder}: use it as `{shlex.join(['search', 'run', '--dataset', name, *words])}`")


@app.command()
def check(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name from `search datasets`.")],
    data_root: Annotated[
        str | None,
        typer.Option(
            "--data-root",
            metavar="PATH",
            help="Folder of the images, or the hub id of a huggingface dataset. digits and fetched datasets need none.",
        ),
    ] = None,
    near_duplicates: Annotated[
        bool,
        typer.Option(
            "--near-duplicates",
            help="Also find test images that are changed copies of training images, and write a page of them.",
        ),
    ] = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Count a dataset's images, and find problems in it.

    Problems are unreadable files, classes with few images, images that no search can split, and duplicates. The
    command lists them, and ends without an error. A folder layout that cannot be read is an error.
    """
    from objectives.datasets.catalog import load_with_sizes
    from objectives.datasets.check import check as check_dataset
    from search.display.text import print_table

    folder = Home.at(home)
    dataset, sizes = load_with_sizes(name, data_root, fetched=folder.datasets, skip_unreadable=True)
    checked = check_dataset(dataset, sizes)
    copies = CopiesAcrossSplits.of(dataset, folder.reports) if near_duplicates else None
    if as_json:
        print_json(asdict(checked) | (copies.record() if copies else {}))
        return
    print_table(counts_table(checked))
    print_lines("", *findings(checked, copies.lines() if copies else ()))


@dataclass(frozen=True)
class CopiesAcrossSplits:
    """The near-duplicates across splits, by the names of their files. page: shows them; None if there are none."""

    pairs: "tuple[NearDuplicate, ...]"
    names: dict[int, str]
    test_images: int
    page: Path | None

    @classmethod
    def of(cls, dataset: "Dataset", reports: Path) -> "CopiesAcrossSplits":
        """Find them, and write their page into a folder of reports."""
        from objectives.data_quality.near_duplicates import near_duplicates
        from search.reports.evidence.near_duplicates import write_near_duplicates_page

        pairs = near_duplicates(dataset)
        names = {image: dataset.images.name(image) for pair in pairs for image in (pair.train, pair.test)}
        path = reports / f"{dataset.name}-{dataset.fingerprint[:8]}-near-duplicates.html"
        page = write_near_duplicates_page(dataset, pairs, path) if pairs else None
        return cls(pairs, names, int(dataset.is_test.sum()), page)

    def record(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        pairs = [
            {**asdict(pair), "train": self.names[pair.train], "test": self.names[pair.test]} for pair in self.pairs
        ]
        return {"near_duplicates": pairs, "near_duplicates_page": self.page}

    def lines(self) -> list[str]:
        """Return lines for people."""
        from dashboards.formatting import count

        if not self.pairs:
            return [f"none of {count(self.test_images, 'test image')} looks like a changed copy of a training image"]
        rows = [
            f"{self.names[pair.train]} ~ {self.names[pair.test]} "
            f"({'same bytes' if pair.identical else f'cosine {pair.similarity:.3f}'}{', mirrored' * pair.mirrored})"
            for pair in self.pairs
        ]
        look = "looks like a changed copy" if len(self.pairs) == 1 else "look like changed copies"
        found = f"{len(self.pairs):,} of {count(self.test_images, 'test image')} {look} of a training image"
        return [*_finding(found, rows), f"see them in {self.page}"]


def counts_table(checked: "Check") -> "Table":
    """Return a table with a row for each split: its images, and the fewest, median and most images of a class."""
    from rich.table import Column

    from search.display.text import PlainTable

    names = ("images", "fewest per class", "median", "most")
    table = PlainTable("split", *(Column(name, justify="right") for name in names))
    for split, images, spread in (
        ("train", checked.train, checked.train_per_class),
        ("test", checked.test, checked.test_per_class),
    ):
        table.add_row(split, f"{images:,}", f"{spread.least:,}", f"{spread.median:,g}", f"{spread.most:,}")
    return table


def findings(checked: "Check", copies: Sequence[str] = ()) -> list[str]:
    """Return lines for people: image sizes and the fingerprint, then the problems.

    copies: lines about near-duplicates; none where they were not looked for.
    """
    from objectives.datasets.check import SMALL_CLASS

    side = checked.shorter_side
    lines = [
        f"{checked.dataset}: {checked.train + checked.test:,} images of {_count(checked.classes, 'class', 'classes')}",
        f"shorter sides {side.least:,} to {side.most:,} pixels, median {side.median:,g}",
        f"fingerprint {checked.fingerprint}",
    ]
    small = [f"{count.name} ({count.train})" for count in checked.small]
    lines += _finding(f"{_count(small, 'class has', 'classes have')} fewer than {SMALL_CLASS} training images", small)
    untested = [count.name for count in checked.untested]
    lines += _finding(f"{_count(untested, 'class has', 'classes have')} no test image", untested)
    pairs = [f"{first}: did you mean {', '.join(map(repr, others))}?" for first, *others in checked.same_but_case]
    lines += _finding(f"{_count(pairs, 'class name differs', 'class names differ')} from another in case alone", pairs)
    unreadable = checked.unreadable
    reasons = checked.unreadable_because
    refused = "a run refuses the dataset; with `--skip-unreadable` it leaves such files out"
    lines += _finding(f"{_count(unreadable, 'file is', 'files are')} not readable as an image; {refused}", reasons)
    lines += [f"no search can use these images: {checked.no_split}"] if checked.no_split else []
    lines += [f"left out: {phrase}" for phrase in checked.left_out]
    leaks = [_copies(group) for group in checked.leaks]
    lines += _finding(f"{_count(leaks, 'image is', 'images are')} in both train and test", leaks)
    mislabelled = [f"{_copies(group)} as {', '.join(group.classes)}" for group in checked.contradictions]
    wrong = "a run uses every copy with its own label, of which at most one is right"
    lines += _finding(f"{_count(mislabelled, 'image has', 'images have')} more than one label; {wrong}", mislabelled)
    others = [_copies(group) for group in checked.duplicates if group not in checked.leaks + checked.contradictions]
    lines += _finding(f"{_count(others, 'other image occurs', 'other images occur')} more than once", others)
    return [*lines, *(copies if copies or len(lines) > 3 else [NONE_FOUND])]


def _finding(title: str, items: Sequence[str]) -> list[str]:
    """Return the title and the first few items below it, or no lines if there are no items."""
    if not items:
        return []
    more = [f"  and {len(items) - SHOWN:,} more; --json lists all"] if len(items) > SHOWN else []
    return [f"{title}:", *(f"  {item}" for item in items[:SHOWN]), *more]


def _count(items: Sequence[object], one: str, several: str) -> str:
    """Return the number of items with the words for one item or for several."""
    return f"{len(items):,} {one if len(items) == 1 else several}"


def _copies(group: "Duplicate") -> str:
    return " = ".join(group.train + group.test)
