"""The numbers of a classifier's page: classes by their accuracy, and the grid of confused classes."""

from collections.abc import Sequence
from dataclasses import dataclass

from objectives.results import Assessment, ClassAccuracy, Confusion

GRID_CLASSES = 16
"""The most classes of a grid: more cells than these are too small to read on a telephone."""


@dataclass(frozen=True, slots=True)
class ConfusionGrid:
    """The confusions among some classes.

    labels: the classes, by their index. counts: for each true class, in the order of `labels`, the images by predicted
    class, in the same order. others: for each true class, the images that are predicted as a class not shown. covered:
    the mistakes that the cells show. mistakes: all mistakes.
    """

    labels: tuple[int, ...]
    counts: tuple[tuple[int, ...], ...]
    others: tuple[int, ...]
    covered: int
    mistakes: int


def worst_first(assessment: Assessment) -> list[ClassAccuracy]:
    """Return the classes that have validated images, the least accurate first."""
    measured = [row for row in assessment.classes if row.validation is not None]
    return sorted(measured, key=lambda row: (_share(row), -row.validation.total if row.validation else 0, row.label))


def confusion_grid(assessment: Assessment, at_most: int = GRID_CLASSES) -> ConfusionGrid | None:
    """Return the grid of all classes if they are few, else of those that are confused most; None without a mistake."""
    if not assessment.confusions:
        return None
    labels = list(range(len(assessment.classes)))
    if len(labels) > at_most:
        labels = sorted(_most_confused(assessment.confusions, at_most))
    position = {label: index for index, label in enumerate(labels)}
    counts, others = [[0] * len(labels) for _ in labels], [0] * len(labels)
    for index, label in enumerate(labels):
        right = assessment.classes[label].validation
        counts[index][index] = right.correct if right else 0
    for pair in assessment.confusions:
        if pair.true in position and pair.predicted in position:
            counts[position[pair.true]][position[pair.predicted]] = pair.count
        elif pair.true in position:
            others[position[pair.true]] += pair.count
    covered = sum(sum(row) - row[index] for index, row in enumerate(counts))
    mistakes = sum(pair.count for pair in assessment.confusions)
    return ConfusionGrid(tuple(labels), tuple(map(tuple, counts)), tuple(others), covered, mistakes)


def most_taken_for(assessment: Assessment) -> dict[int, Confusion]:
    """Return for each class that has mistakes its most frequent one."""
    return {pair.true: pair for pair in reversed(assessment.confusions)}


def _most_confused(confusions: Sequence[Confusion], at_most: int) -> set[int]:
    """Return the classes of the most frequent pairs, both directions of a pair counted together."""
    together: dict[frozenset[int], int] = {}
    for pair in confusions:
        classes = frozenset((pair.true, pair.predicted))
        together[classes] = together.get(classes, 0) + pair.count
    chosen: set[int] = set()
    for classes in sorted(together, key=lambda classes: (-together[classes], sorted(classes))):
        if len(chosen | classes) <= at_most:
            chosen |= classes
    return chosen


def _share(row: ClassAccuracy) -> float:
    return row.validation.value if row.validation else 0.0
