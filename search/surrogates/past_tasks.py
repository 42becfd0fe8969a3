"""Past tasks: scores of settings on other datasets, and what they predict of the settings of a new task.

A past task holds coordinates, which mean the same on every network (`spaces.coordinates`), and their scores. A smooth
function through the scores predicts the scores at other coordinates. At first a past task counts by the numbers of its
classes and images. Later it counts by how well it ranks the settings that were screened on the new task, in the manner
of Feurer, Letham & Bakshy 2018, "Scalable Meta-Learning for Bayesian Optimization" (arXiv 1802.02219).
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

LENGTH_SCALES = (2.0, 0.35, 1.5)
"""Distances in noise, depth and grid over which scores are alike. Gaussian processes fitted to digits, CUB and flowers
had lengths of this size (docs/benchmarks.md, Selection)."""

NUGGET = 0.05
"""Share of the variance of scores that does not carry over: a setting's own part, and measurement noise."""

MAX_SETTINGS = 500
"""The most settings of a past task that its prediction uses."""


@dataclass(frozen=True)
class PastTask:
    """The scores of settings on another dataset.

    task: its name in words. coordinates, scores: of each setting; more is better, on any scale. classes, images: the
    numbers of classes and of training images. noised: True for a diffusion network. Scores of an encoder predict
    nothing of a diffusion network, nor the other way round.
    """

    task: str
    coordinates: tuple[Coordinates, ...]
    scores: tuple[float, ...]
    classes: int
    images: int
    noised: bool = True

    def predict(self, coordinates: Sequence[Coordinates]) -> Array:
        """Return the (m,) predicted scores at m coordinates, in standard deviations of the task's own scores.

        The prediction is the mean of a Gaussian process (Rasmussen & Williams 2006, equation 2.25).
        """
        own, scores = scaled(self.coordinates), np.array(self.scores)
        if len(own) > MAX_SETTINGS:
            chosen = np.random.default_rng(0).permutation(len(own))[:MAX_SETTINGS]
            own, scores = own[chosen], scores[chosen]
        standardised = (scores - scores.mean()) / (scores.std() or 1.0)
        solved = np.linalg.solve(_kernel(own, own) + NUGGET * np.eye(len(own)), standardised)
        predicted: Array = _kernel(scaled(coordinates), own) @ solved
        return predicted


def scaled(coordinates: Sequence[Coordinates]) -> Array:
    """Return (m, 3) coordinates in units of `LENGTH_SCALES`."""
    return np.array([(point.noise, point.depth, point.grid) for point in coordinates]) / LENGTH_SCALES


def _kernel(one: Array, other: Array) -> Array:
    """Return the mean of two exponential kernels: one of the distance, one averaged over the coordinates.

    The second part lets a few points along single coordinates predict all others.
    """
    joint: Array = np.exp(-cdist(one, other))
    additive: Array = np.mean([np.exp(-cdist(one[:, [k]], other[:, [k]])) for k in range(one.shape[1])], axis=0)
    return (joint + additive) / 2


def initial_weights(past_tasks: Sequence[PastTask], classes: int, images: int) -> Array:
    """Return (j,) weights of the past tasks, summing to 1, before anything is known of the new task's scores.

    A task of another number of classes, or of another number of images a class, counts less. classes, images: of the
    new task.
    """

    def log_ratio(one: float, other: float) -> float:
        return abs(math.log(one / other))

    weights = [
        1 / (1 + log_ratio(task.classes, classes) + log_ratio(task.images / task.classes, images / classes))
        for task in past_tasks
    ]
    return np.array(weights) / (sum(weights) or 1.0)


def rank_correlations(predictions: Array, scores: Array) -> Array:
    """Return the (j,) Spearman correlations in [-1, 1] of each column of `predictions`, (n, j), with `scores`, (n,).

    A correlation is 0 where all predictions or all scores are equal.
    """
    return np.array([_rank_correlation(column, scores) for column in predictions.T])


def _rank_correlation(one: Array, other: Array) -> float:
    if len(np.unique(one)) < 2 or len(np.unique(other)) < 2:
        return 0.0
    return float(spearmanr(rankdata(one), rankdata(other)).statistic)


def updated_weights(weights: Array, correlations: Array) -> Array:
    """Return weights, summing to 1, that also count how each past task ranks the scores of the new task.

    A task that ranks them the other way round gets almost no weight, unless all do.
    """
    updated: Array = weights * np.maximum(correlations, 1e-3) ** 2
    return updated / (updated.sum() or 1.0)


def past_task_of(
    task: str, architecture: Architecture, scores: Sequence[tuple[Setting, float]], classes: int, images: int
) -> PastTask:
    """Return the past task of settings and their scores on a network."""
    coordinates = tuple(mean_coordinates(architecture, setting) for setting, _ in scores)
    return PastTask(task, coordinates, tuple(score for _, score in scores), classes, images, architecture.noised)


def _published(task: str, table: paper.Table, classes: int, images: int) -> PastTask:
    coordinates = tuple(
        Coordinates(
            math.log(linear_schedule_sigma(timestep)),
            relative_depth(block, PAPER_BOTTLENECK, PAPER_BLOCK_COUNT),
            math.log2(pool),
        )
        for timestep, block, pool in table
    )
    return PastTask(f"{task} (arXiv 2307.08702)", coordinates, tuple(table.values()), classes, images)


PUBLISHED_TASKS = (
    _published("ImageNet", paper.IMAGENET, 1000, 1_281_167),
    _published("CUB", paper.CUB, 200, 5_994),
)
"""The past tasks of an empty database: the accuracies that arXiv 2307.08702 published."""


@dataclass(frozen=True)
class PriorKnowledge:
    """The prior knowledge of a task, before its first trial.

    classes, images: the numbers of classes and of training images. past_tasks: see PastTask. start: settings to try
    first. cached_passes: see `CostModel`.
    """

    classes: int = 10
    images: int = 1000
    past_tasks: tuple[PastTask, ...] = PUBLISHED_TASKS
    start: tuple[Setting, ...] = ()
    cached_passes: Mapping[tuple[int | None, bool], float] = field(default_factory=dict)
