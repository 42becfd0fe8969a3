"""Turns scores that order the classes into logits whose softmax can be believed, by one factor."""

import math

import torch

RANGE = (1e-3, 1e4)
"""Of the factor, for scores whose differences are of the order of 1."""


def fitted_factor(scores: torch.Tensor, labels: torch.Tensor) -> float:
    """The factor in `RANGE` that makes scores (m, classes) the likeliest logits of labels, int64 (m,).

    Guo et al. 2017 call its inverse the temperature. Each label counts as m + 1 of m + 2 answers and the rest is
    shared by all classes (after Platt 2000): m images that are all right do not show that none could be wrong. With
    that the loss has a minimum, and is convex; its slope is bisected.
    """
    label_smoothing = 1 / (len(labels) + 2)
    scores = scores.double()
    own = scores.gather(1, labels[:, None]).squeeze(1)
    expected = (1 - label_smoothing) * own + label_smoothing * scores.mean(dim=1)
    low, high = map(math.log, RANGE)
    for _ in range(30):
        middle = (low + high) / 2
        predict = (math.exp(middle) * scores).softmax(dim=1)
        too_much = float(((predict * scores).sum(dim=1) - expected).mean()) > 0
        low, high = (low, middle) if too_much else (middle, high)
    return math.exp((low + high) / 2)
