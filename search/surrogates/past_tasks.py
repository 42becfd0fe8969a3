"""What past tasks say of the settings of a new one.

A past task is a set of places, which mean the same on every network (`spaces.coordinates`), and their scores. It
is carried to the places of the new task by a smooth function through what was found, and counts for as much as it is
like the new task: at first by a weak guess from the numbers of classes and images, then by how alike both rank what
was screened on the new one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import rankdata, spearmanr

from objectives import published_results as paper
from spaces import Architecture, Setting
from spaces.coordinates import Coordinates, mean_coordinates, relative_depth
from spaces.presets import PAPER_BLOCK_COUNT, PAPER_BOTTLENECK, linear_schedule_sigma

Array = np.ndarray[Any, np.dtype[np.float64]]

ALIKE = (2.0, 0.35, 1.5)
"""In noise, depth and grid: how far apart settings are alike; what was found on digits, CUB and flowers has lengths of
this size (docs/benchmarks.md, Selection)."""

UNEVEN = 0.05
"""Share of a surface's variance that is not carried: a setting's own, and what its measurement added."""

MOST_PLACES = 500


@dataclass(frozen=True)
class PastTask:
    """task: in words. worth: of each place, more is better, on any scale. classes: their number. images: of training.
    noised: of a diffusion network; surfaces of encoders say nothing of one, nor the other way round."""

    task: str
    places: tuple[Coordinates, ...]
    score: tuple[float, ...]
    classes: int
    images: int
    noised: bool = True

    def at(self, places: Sequence[Coordinates]) -> Array:
        """What it says of other places, in standard deviations of its own worth."""
        mine, score = array_of(self.places), np.array(self.score)
        if len(mine) > MOST_PLACES:
            some = np.random.default_rng(0).permutation(len(mine))[:MOST_PLACES]
            mine, score = mine[some], score[some]
        standard = (score - score.mean()) / (score.std() or 1.0)
        known = np.linalg.solve(_likeness(mine, mine) + UNEVEN * np.eye(len(mine)), standard)
        carried: Array = _likeness(array_of(places), mine) @ known
        return carried


def array_of(places: Sequence[Coordinates]) -> Array:
    """(m, 3), each column in lengths over which settings are alike."""
    return np.array([(place.noise, place.depth, place.grid) for place in places]) / ALIKE


def _likeness(one: Array, other: Array) -> Array:
    """Half of it along each coordinate by itself, so that a few points on lines tell of a whole surface."""
    apart: Array = np.exp(-cdist(one, other))
    alone: Array = np.mean([np.exp(-cdist(one[:, [k]], other[:, [k]])) for k in range(one.shape[1])], axis=0)
    return (apart + alone) / 2


def weights(past_tasks: Sequence[PastTask], classes: int, images: int) -> Array:
    """(j,), summing to 1: a weak guess, less for a task of other size."""

    def apart(one: float, other: float) -> float:
        return abs(math.log(one / other))

    alike = [
        1 / (1 + apart(each.classes, classes) + apart(each.images / each.classes, images / classes))
        for each in past_tasks
    ]
    return np.array(alike) / (sum(alike) or 1.0)


def agreement(past: Array, score: Array) -> Array:
    """(j,) rank correlations in [-1, 1] of the columns of `past` (n, j) with what was found, (n,)."""
    return np.array([_correlation(column, score) for column in past.T])


def _correlation(one: Array, other: Array) -> float:
    if len(np.unique(one)) < 2 or len(np.unique(other)) < 2:
        return 0.0
    return float(spearmanr(rankdata(one), rankdata(other)).statistic)


def reweighted(prior: Array, agreements: Array) -> Array:
    """By evidence: a task that ranks otherwise counts for nothing, unless all do."""
    found: Array = prior * np.maximum(agreements, 1e-3) ** 2
    return found / (found.sum() or 1.0)


def past_task_of(
    task: str, architecture: Architecture, found: Sequence[tuple[Setting, float]], classes: int, images: int
) -> PastTask:
    """Of settings and what they were worth."""
    places = tuple(mean_coordinates(architecture, setting) for setting, _ in found)
    return PastTask(task, places, tuple(score for _, score in found), classes, images, architecture.noised)


def _published(task: str, table: paper.Table, classes: int, images: int) -> PastTask:
    places = tuple(
        Coordinates(
            math.log(linear_schedule_sigma(timestep)),
            relative_depth(block, PAPER_BOTTLENECK, PAPER_BLOCK_COUNT),
            math.log2(pool),
        )
        for timestep, block, pool in table
    )
    return PastTask(f"{task} (arXiv 2307.08702)", places, tuple(table.values()), classes, images)


PUBLISHED = (
    _published("ImageNet", paper.IMAGENET, 1000, 1_281_167),
    _published("CUB", paper.CUB, 200, 5_994),
)
"""What there is to go by with an empty database."""


@dataclass(frozen=True)
class PriorKnowledge:
    """What there is to go by before the first trial.

    past: surfaces. classes, images: of the task, of training. start: settings to try first. cached: as in `CostModel`.
    """

    classes: int = 10
    images: int = 1000
    past: tuple[PastTask, ...] = PUBLISHED
    start: tuple[Setting, ...] = ()
    cached: Mapping[int | None, float] = field(default_factory=dict)
