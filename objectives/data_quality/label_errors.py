"""Finds likely label errors by confident learning (Northcutt et al. 2021, arXiv 1911.00068).

The probabilities must be out of fold: of each image, by a classifier that was not fitted on it. The definition is that
of cleanlab's `find_label_issues(filter_by="confident_learning", return_indices_ranked_by="self_confidence")`. It is
written out here because cleanlab would bring pandas for these few lines, and takes seconds to import.
"""

from dataclasses import dataclass

import numpy as np

from objectives.results import LabelTrial

TOLERANCE = 1e-6
"""A probability this far below a threshold counts as reaching it, as in cleanlab."""


@dataclass(frozen=True)
class LabelErrors:
    """The images whose label is probably wrong, the least credible label first.

    images: their rows in the probabilities, int64 (m,). suggested: the class that each probably has, int64 (m,).
    joint: the confident joint, int64 (classes, classes): the number of images by their label and by the class that they
    confidently belong to.
    """

    images: np.ndarray
    suggested: np.ndarray
    joint: np.ndarray


CHANGED = 0.05
"""The share of the labels that a trial changes."""


def label_trial(probabilities: np.ndarray, labels: np.ndarray, seed: int = 0) -> LabelTrial:
    """Change some labels at random, and count which of them `label_errors` names.

    The probabilities stay, as if the classifiers had been fitted on the right labels: that makes the trial a little
    optimistic (docs/reports.md gives figures). probabilities, labels: as of `label_errors`, at least 2 classes.
    """
    n, classes = probabilities.shape
    generator = np.random.default_rng(seed)
    rows = generator.permutation(n)[: max(round(CHANGED * n), 1)]
    changed = labels.copy()
    changed[rows] = (labels[rows] + generator.integers(1, classes, len(rows))) % classes
    named = label_errors(probabilities, changed).images
    return LabelTrial(len(rows), len(named), int(np.isin(named, rows).sum()))


def label_errors(probabilities: np.ndarray, labels: np.ndarray) -> LabelErrors:
    """Find the images whose label is probably wrong.

    probabilities: out of fold, float (n, classes). labels: int64 (n,), in [0, classes).

    The threshold of a class is the mean probability of that class over the images that are labelled so (equation 2 of
    the paper). An image confidently belongs to the class whose threshold its probability reaches; if it reaches
    several, to the most probable class (equation 1, as cleanlab computes it). If that is not its label, nor is its
    label the most probable class, the label is probably wrong. The images are ordered by self-confidence: the
    probability of their label.
    """
    n, classes = probabilities.shape
    own = probabilities[np.arange(n), labels].astype(np.float64)
    counts = np.bincount(labels, minlength=classes)
    # A class without images has a threshold that no probability reaches.
    thresholds = np.where(counts > 0, np.bincount(labels, own, classes) / np.maximum(counts, 1), 2.0)
    reached = probabilities >= thresholds - TOLERANCE
    predicted, counted = probabilities.argmax(axis=1), reached.any(axis=1)
    confident = np.where(reached.sum(axis=1) > 1, predicted, reached.argmax(axis=1))
    joint = np.zeros((classes, classes), np.int64)
    np.add.at(joint, (labels[counted], confident[counted]), 1)
    wrong = np.flatnonzero(counted & (confident != labels) & (predicted != labels))
    wrong = wrong[np.argsort(own[wrong], kind="stable")]
    return LabelErrors(wrong, confident[wrong], joint)
