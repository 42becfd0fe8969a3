"""Calibration: fits on validation images the one number that turns a head's scores into predicted probabilities.

Both losses are convex. The minimum is the root of the slope, or an end of the range if there is none. The slope is NaN
if a score is NaN; the number is then an end of the range, and the metrics show that the head has failed.
"""

import math

import torch
from scipy.optimize import brentq

INVERSE_TEMPERATURES = (1e-3, 1e4)
"""Limits of the inverse temperature, for scores whose differences are of the order of 1."""


def fit_inverse_temperature(scores: torch.Tensor, labels: torch.Tensor) -> float:
    """Fit the factor, within `INVERSE_TEMPERATURES`, by which scores become the likeliest logits of the labels.

    scores: float (m, classes). labels: int64 (m,). The method is temperature scaling (Guo et al. 2017, arXiv
    1706.04599, section 4.2); the factor is the inverse of the temperature. Labels are smoothed: each is the target with
    the weight (m + 1) / (m + 2), and the rest is uniform over the classes (after Platt 2000). Without smoothing, m
    images that are all correct would let the factor grow without limit.
    """
    label_smoothing = 1 / (len(labels) + 2)
    scores = scores.double()
    own = scores.gather(1, labels[:, None]).squeeze(1)
    expected = (1 - label_smoothing) * own + label_smoothing * scores.mean(dim=1)

    def slope(log_factor: float) -> float:
        probabilities = (math.exp(log_factor) * scores).softmax(dim=1)
        return float(((probabilities * scores).sum(dim=1) - expected).mean())

    low, high = map(math.log, INVERSE_TEMPERATURES)
    if not slope(high) > 0:
        return INVERSE_TEMPERATURES[1]
    if not slope(low) < 0:
        return INVERSE_TEMPERATURES[0]
    return math.exp(brentq(slope, low, high))


def fit_smoothing(shares: torch.Tensor, labels: torch.Tensor) -> float:
    """Fit the weight, at most 0.99, of the uniform distribution in the mixture that makes the labels likeliest.

    shares: the classes' shares of the votes, float (m, classes), whose rows sum to 1. labels: int64 (m,). The mixture
    is that of `smooth`. The weight is at least 1 / (m + 2), because m images that are all correct do not show that no
    image could be wrong (Laplace's rule of succession). It is less than 1, so that the order of the classes remains.
    """
    own = shares.double().gather(1, labels[:, None])
    uniform = 1 / shares.shape[1]

    def slope(weight: float) -> float:
        return float(((own - uniform) / ((1 - weight) * own + weight * uniform)).mean())

    low, high = min(1 / (len(labels) + 2), 0.5), 0.99
    if not slope(low) < 0:
        return low
    if not slope(high) > 0:
        return high
    return float(brentq(slope, low, high))


def smooth(shares: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Mix shares (n, classes) with the uniform distribution; the largest share stays the largest.

    smoothing: the weight of the uniform distribution, in [0, 1] (linear interpolation, Jelinek and Mercer 1980).
    """
    return (1 - smoothing) * shares + smoothing / shares.shape[1]
