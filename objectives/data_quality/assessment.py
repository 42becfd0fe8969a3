"""Assesses a classifier by its out-of-fold predictions: accuracy by class, mistakes, likely label errors."""

from collections import Counter

import numpy as np

from objectives.data_quality.label_errors import label_errors, label_trial
from objectives.results import Accuracy, Assessment, ClassAccuracy, Confusion, Mistake

LEAST_PRECISION = 1 / 3
"""Label errors are not sought if a smaller share of those that a trial names were changed."""

MISTAKES_KEPT = 100
"""The most mistakes that an assessment holds beside the likely label errors."""


def assess(
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    fits: int = 1,
    tested: tuple[np.ndarray, np.ndarray] | None = None,
) -> Assessment:
    """Assess a classifier.

    images, labels, probabilities, fits: as of `OutOfFold`. tested: the labels and the predicted classes of the test
    images, int64 (m,) each; None if the test split was not read.
    """
    classes = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    trial = label_trial(probabilities, labels)
    doubtful = label_errors(probabilities, labels) if trial.precision >= LEAST_PRECISION else None

    def mistakes(rows: np.ndarray, as_class: np.ndarray) -> tuple[Mistake, ...]:
        return tuple(
            Mistake(
                int(images[row]),
                int(labels[row]),
                int(other),
                float(probabilities[row, other]),
                float(probabilities[row, labels[row]]),
            )
            for row, other in zip(rows.tolist(), as_class.tolist(), strict=True)
        )

    wrong = np.flatnonzero(predicted != labels)
    if doubtful is not None:
        wrong = np.setdiff1d(wrong, doubtful.images)
    confidence = probabilities[wrong, predicted[wrong]]
    wrong = wrong[np.argsort(-confidence, kind="stable")][:MISTAKES_KEPT]
    validation = _by_class(labels, predicted, classes)
    test = _by_class(*tested, classes) if tested else [None] * classes
    pairs = Counter((int(true), int(other)) for true, other in zip(labels, predicted, strict=True) if true != other)
    ordered = sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))
    return Assessment(
        images=len(labels),
        fits=fits,
        accuracy=Accuracy(int((predicted == labels).sum()), len(labels)),
        classes=tuple(map(ClassAccuracy, range(classes), validation, test)),
        confusions=tuple(Confusion(*pair, count) for pair, count in ordered),
        label_trial=trial,
        label_errors=mistakes(doubtful.images, doubtful.suggested) if doubtful else None,
        mistakes=mistakes(wrong, predicted[wrong]),
    )


def _by_class(labels: np.ndarray, predicted: np.ndarray, classes: int) -> list[Accuracy | None]:
    """Return the accuracy on the images of each class; None for a class without images."""
    totals = np.bincount(labels, minlength=classes).tolist()
    correct = np.bincount(labels[labels == predicted], minlength=classes).tolist()
    return [Accuracy(right, total) if total else None for right, total in zip(correct, totals, strict=True)]
