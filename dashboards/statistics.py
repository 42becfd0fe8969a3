"""Two studies' classifiers on the same test images: what their difference is, and whether chance would do it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import lcm
from statistics import NormalDist

import numpy as np
from scipy.fft import irfft, next_fast_len

from objectives.results import CorrectMask


@dataclass(frozen=True, slots=True)
class Paired:
    """Of `images` images, of which the classifiers of the first and of the second were asked.

    difference: of the mean accuracies, first − second, in [−1, 1]. low, high: its 95 % interval. p: how likely one as
    large is, in either direction, were the two as good; in [0, 1].
    both, first_only, second_only, neither: images that were answered right, averaged over all pairs of a classifier of
    the first and one of the second, so that they add up to `images`, and their middle two differ as the accuracies do.
    """

    images: int
    difference: float
    low: float
    high: float
    p: float
    both: float
    first_only: float
    second_only: float
    neither: float


def paired(first: Sequence[CorrectMask], second: Sequence[CorrectMask]) -> Paired:
    """Each: the answers of one setting's classifiers, one a seed, to the same images in the same order; at least one.

    An image counts by how much larger the share of the first's classifiers that had it right is than that of the
    second's. What is said is said of further images of this kind, for these classifiers: of other training images, or
    of which setting another search would have chosen, it says nothing.

    interval: the adjusted Wald interval of Bonett and Price (2012), which counts two images more, one that only the
    first had right and one that only the second had.
    p: the exact test that flips signs, Fisher's (1935, section 21): were the two as good, each image might as well have
    favoured the other by as much. With one seed each it is McNemar's exact test. Within 1e-12.

    Raises ValueError where the images cannot be the same.
    """
    totals = {answers.total for answers in (*first, *second)}
    if len(totals) != 1:
        raise ValueError(f"answers to the same images are of one number of them, got {sorted(totals)}")
    images = totals.pop()
    right, other = _times_right(first), _times_right(second)
    unit = lcm(len(first), len(second))
    margins = unit // len(first) * right - unit // len(second) * other
    a, b = right / len(first), other / len(second)
    low, high = _interval(a - b)
    return Paired(
        images=images,
        difference=float(margins.sum()) / (unit * images),
        low=low,
        high=high,
        p=_flipped(margins),
        both=float((a * b).sum()),
        first_only=float((a * (1 - b)).sum()),
        second_only=float(((1 - a) * b).sum()),
        neither=float(((1 - a) * (1 - b)).sum()),
    )


def _times_right(answers: Sequence[CorrectMask]) -> np.ndarray:
    """How many had each image right, int64 (images,)."""
    bits = [np.unpackbits(np.frombuffer(each.to_bytes(), np.uint8), bitorder="little") for each in answers]
    counts: np.ndarray = np.stack(bits).sum(axis=0, dtype=np.int64)
    return counts[: answers[0].total]


def _interval(differences: np.ndarray) -> tuple[float, float]:
    """95 %, of the mean of differences in [−1, 1]."""
    more = np.concatenate([differences, [1.0, -1.0]])
    half = NormalDist().inv_cdf(0.975) * more.std() / len(more) ** 0.5
    return max(-1.0, float(more.mean() - half)), min(1.0, float(more.mean() + half))


def _flipped(margins: np.ndarray) -> float:
    """The share, of all ways to choose the signs of these whole numbers, in which their sum is as far from zero."""
    sizes, counts = np.unique(np.abs(margins[margins != 0]), return_counts=True)
    furthest, reached = int(sizes @ counts), abs(int(margins.sum()))
    if reached == 0:
        return 1.0
    # The characteristic function of the sum is a product of cosines; its Fourier transform is the distribution.
    length = next_fast_len(2 * furthest + 1, real=True)
    angles = 2 * np.pi * np.arange(length // 2 + 1) / length
    function = np.ones_like(angles)
    for size, count in zip(sizes, counts, strict=True):
        function *= np.cos(size * angles) ** count
    shares = irfft(function, length)
    return float(np.clip(2 * shares[reached : furthest + 1].sum(), 0.0, 1.0))
