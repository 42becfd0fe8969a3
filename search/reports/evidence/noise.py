"""Tests whether the values of a choice differ by more than the noise of the validation images."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from objectives.results import ACCURACY, CorrectMask, Metric, Trial

FLIPS = 999
"""Draws of the noise. The least p-value is 1 / (FLIPS + 1)."""

Array = np.ndarray[Any, np.dtype[np.float64]]


def noise_p_value(
    trials: Sequence[Trial], values: Mapping[str, Sequence[Hashable]], choice: str, metric: Metric
) -> float:
    """Return the probability that images alone make the values of a choice differ by as much as they do.

    trials: complete ones. values: choice → its value in each trial. The statistic is the sum of squares that the choice
    explains beside all other choices, in a model that adds the effects of choices up.

    All trials see the same images, and similar settings classify the same images correctly. So trials cannot be
    permuted. But if no setting is better than another, then an image's results, less their mean over the trials, are as
    likely with the opposite sign, in all trials together. Random signs of the images make the scores that chance would
    (a randomisation test by sign changes, Fisher 1935, section 21). Where results by image are not known, every value
    of the choice gets noise of its own, of the size of the trials' intervals; that is more than images shared by all
    trials would make.
    """
    generator = np.random.default_rng(0)
    masks = [trial.correct_mask for trial in trials]
    known = [mask for mask in masks if mask is not None]
    if metric == ACCURACY and len(known) == len(masks) and len({mask.total for mask in known}) == 1:
        results = _results(known)
        results -= results.mean(axis=1, keepdims=True)
        observed = results.mean(axis=0)
        noise = generator.choice((-1.0, 1.0), (FLIPS, len(results))) @ results / len(results)
    else:
        estimates = [estimate for trial in trials if (estimate := trial.estimate(metric)) is not None]
        observed = np.array([metric.score(estimate.value) for estimate in estimates])
        errors = np.array([(estimate.high - estimate.low) / (2 * 1.96) for estimate in estimates])
        columns = _columns(values[choice])
        noise = generator.standard_normal((FLIPS, columns.shape[1])) @ columns.T * np.sqrt(np.mean(errors**2))
    others = np.hstack([np.ones((len(trials), 1)), *(_columns(values[name]) for name in values if name != choice)])
    own = _columns(values[choice])
    beside = own - others @ np.linalg.lstsq(others, own, rcond=None)[0]
    left, strengths, _ = np.linalg.svd(beside, full_matrices=False)
    basis = left[:, strengths > 1e-8]
    if not basis.shape[1]:
        return 1.0  # the other choices say all that this one does
    explained = np.square(noise @ basis).sum(axis=1)
    return float((1 + np.sum(explained >= np.square(observed @ basis).sum() - 1e-15)) / (1 + FLIPS))


def _columns(values: Sequence[Hashable]) -> Array:
    """Return a column of zeros and ones for each distinct value: float64 (trials, values)."""
    return np.array([[float(value == other) for other in dict.fromkeys(values)] for value in values])


def _results(masks: Sequence[CorrectMask]) -> Array:
    """Return 1 for each correct image of each trial, else 0: float64 (images, trials)."""
    rows = [
        np.unpackbits(np.frombuffer(mask.to_bytes(), np.uint8), count=mask.total, bitorder="little") for mask in masks
    ]
    return np.array(rows, np.float64).T
