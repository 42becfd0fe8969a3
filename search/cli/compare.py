"""The command `search compare`: whether one study's answer is better than another's, on the same test images."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from objectives.home import Home
from objectives.results import ACCURACY
from search.cli.options import HomeOption, StorageOption, print_table, printable
from spaces import SearchError
from spaces.errors import UsageError

if TYPE_CHECKING:
    from dashboards.statistics import Paired
    from objectives.results import CorrectMask, Finalist, StudyResults

LINE = 80

LIKELY = 0.05
"""What chance does as often as this is no difference."""

PROTOCOL = (
    "seed",
    "validation fraction",
    "folds",
    "shots",
    "flips",
    "classes weigh",
    "metric",
    "objectives",
    "precision",
)
"""Labels of a study's provenance that say how its classifiers were chosen and fitted."""


def compare(
    first: Annotated[str, typer.Argument(metavar="STUDY", help="A study by its name; see `search status`.")],
    second: Annotated[str, typer.Argument(metavar="STUDY", help="Another of the same images.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
    home: HomeOption = None,
    storage: StorageOption = None,
) -> None:
    """Compare the best settings of two studies of the same images, by a paired test on the same test images."""
    from search.database.store import Store

    with Store.open(storage or Home.at(home).storage) as store:
        names = [store.find_study(name=name) for name in (first, second)]
        found = Comparison.of(*map(store.read_study, names))
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2))
    else:
        found.print()


@dataclass(frozen=True)
class Comparison:
    """Of the best finalists of two studies. differing: by what of their protocols the studies differ."""

    studies: "tuple[StudyResults, StudyResults]"
    paired: "Paired"
    differing: tuple[str, ...]

    @classmethod
    def of(cls, first: "StudyResults", second: "StudyResults") -> Self:
        """Raises UsageError and SearchError where they cannot be compared."""
        from dashboards.statistics import paired

        if first.name == second.name:
            raise UsageError(f"two studies are compared, got {first.name} twice; `search status` lists them")
        if first.provenance["dataset fingerprint"] != second.provenance["dataset fingerprint"]:
            raise SearchError(
                f"studies are compared on the same images, and {first.name} is of {_images(first)}, {second.name} of "
                f"{_images(second)}; `search run` on one dataset makes two that compare"
            )
        answers = _answers(first), _answers(second)
        totals = [each[0].total for each in answers]
        if len(set(totals)) > 1:
            raise SearchError(f"the studies tested on {totals[0]:,} and {totals[1]:,} images, which cannot be the same")
        differing = (label for label in PROTOCOL if first.provenance.get(label) != second.provenance.get(label))
        return cls((first, second), paired(*answers), tuple(differing))

    @property
    def sentence(self) -> str:
        """What follows, in words."""
        found, images = self.paired, self.paired.images
        chance = f"chance alone makes as large a difference {_often(found.p)}"
        if found.p >= LIKELY:
            return f"the test images cannot tell them apart: {chance}"
        better = "first" if found.difference > 0 else "second"
        more = abs(found.difference) * images
        return f"the {better} is better: it has {more:.1f} of {images:,} test images more right, and {chance}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready. paired: see `dashboards.statistics.Paired`, accuracies as shares."""
        studies = [
            {
                "study": study.name,
                "backbone": study.backbone,
                "setting": best.setting.to_dict(),
                "test_accuracy": best.test,
                "test_interval": list(best.test_interval),
                "seeds": sorted(final.seed for final in best.finals),
                "gmacs": _gmacs(study, best),
            }
            for study, best in self._bests
        ]
        differing = list(self.differing)
        return {"studies": studies, "paired": asdict(self.paired), "differing": differing, "sentence": self.sentence}

    def print(self) -> None:
        """For people: a table of the two, and what the test says."""
        from rich.box import SIMPLE_HEAD
        from rich.markup import escape
        from rich.table import Column, Table

        columns = "", Column("first", overflow="fold"), Column("second", overflow="fold")
        table = Table(*columns, box=SIMPLE_HEAD, show_edge=False, padding=(0, 2, 0, 0))
        for name, *cells in zip(
            ("study", "backbone", "setting", "test", "seeds", "GMAC"), *self._columns(), strict=True
        ):
            table.add_row(name, *(escape(printable(cell)) for cell in cells))
        print_table(table)
        typer.echo("\n".join(["", *self._lines()]))

    def _columns(self) -> list[tuple[str, ...]]:
        from dashboards.formatting import gmacs
        from dashboards.study.tables import finalist_estimate
        from search.reports.answer import told

        return [
            (
                study.name,
                study.backbone,
                str(best.setting),
                told(finalist_estimate(best, "test", ACCURACY)),
                str(len(best.finals)),
                gmacs(cost) if (cost := _gmacs(study, best)) is not None else "not kept",
            )
            for study, best in self._bests
        ]

    def _lines(self) -> list[str]:
        found = self.paired
        points = [f"{100 * value:+.1f}" for value in (found.difference, found.low, found.high)]
        seeds = {len(best.finals) for _, best in self._bests}
        counts = "{:.0f}" if seeds == {1} else "{:.1f}"
        cells = [found.both, found.first_only, found.second_only, found.neither]
        both, first, second, neither = map(counts.format, cells)
        test = "McNemar's exact test" if seeds == {1} else "exact paired test"
        lines = [
            f"difference  {points[0]} points, first - second  (95 % interval {points[1]} to {points[2]})",
            f"p           {found.p:.2g}, {test} on {found.images:,} test images",
            f"right       {both} both, {first} the first only, {second} the second only, {neither} neither",
        ]
        if seeds != {1}:
            lines.append("            (images, averaged over pairs of seeds)")
        if self.differing:
            lines += wrap(f"note        their protocols differ too: {', '.join(self.differing)}", LINE)
        if any(study.metric != ACCURACY for study in self.studies):
            lines.append("note        what was chosen by another metric is compared by its accuracy")
        return [*lines, "", *wrap(self.sentence, LINE)]

    @property
    def _bests(self) -> "list[tuple[StudyResults, Finalist]]":
        return [(study, study.finalists[0]) for study in self.studies]


def _answers(study: "StudyResults") -> "Sequence[CorrectMask]":
    """Of each seed of the best finalist."""
    if not study.finalists:
        raise SearchError(
            f"study {study.name} has no finals yet, which read the test images; its `search run` makes them"
        )
    answers = [final.test_correct_mask for final in study.finalists[0].finals]
    kept = [each for each in answers if each is not None]
    if len(kept) < len(answers):
        raise SearchError(
            f"study {study.name} was made before its answers to each image were kept; make it again under another "
            f"home or seed"
        )
    return kept


def _gmacs(study: "StudyResults", best: "Finalist") -> float | None:
    from dashboards.study.tradeoff import gmacs_of

    return gmacs_of(study, best.setting)


def _images(study: "StudyResults") -> str:
    return f"{study.dataset} ({sum(study.counts.values()):,} images)"


def _often(p: float) -> str:
    """ "4 times in 100", "once in 2,500 times"."""
    if p >= 0.015:
        return f"{100 * p:.0f} times in 100"
    return f"once in {1 / p:,.0f} times" if p > 1e-6 else "less than once in a million times"
