"""What a classifier's beliefs about images are worth, by every metric of `objectives.results`."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import torch

from objectives.results import ACCURACY, METRICS, Accuracy, Confusion, CorrectMask, Measured, Scores

BINS = 15
"""Of equal width, of the confidence, for the calibration error (Guo et al. 2017)."""

LOGITS_AT_ONCE = 2**22

RESAMPLES = 1000
CONFIDENCE = 0.95
DRAWS_AT_ONCE = 2**21

EXAMPLES = 3
"""Of each pair of classes that is mixed up."""

MOST_LOSS = 100.0
"""Nats for one image: less belief in the truth than exp(-100) is none, and an infinite mean would order nothing."""


@dataclass(frozen=True)
class Predictions:
    """Of n ≥ 1 images all that the metrics need, a few numbers each.

    classes: how many there are, at least 2. labels, predicted: int64 (n,). rank: int64 (n,), how many classes are
    believed in more than the true one; of equals the first comes first. loss: float64 (n,), −log of the belief in the
    truth, at most `MOST_LOSS`. confidence: float64 (n,), the belief in the predicted class, in [0, 1].
    """

    classes: int
    labels: np.ndarray
    predicted: np.ndarray
    rank: np.ndarray
    loss: np.ndarray
    confidence: np.ndarray

    @classmethod
    def of(cls, logits: torch.Tensor, labels: torch.Tensor) -> Self:
        """logits: float (n, classes). labels: int64 (n,), each in [0, classes), on the same device."""
        step = max(LOGITS_AT_ONCE // logits.shape[1], 1)
        parts = zip(torch.split(logits.detach(), step), torch.split(labels, step), strict=True)
        return cls.joined(cls._of_few(*part) for part in parts)

    @classmethod
    def _of_few(cls, logits: torch.Tensor, labels: torch.Tensor) -> Self:
        own = logits.gather(1, labels[:, None])
        earlier = torch.arange(logits.shape[1], device=logits.device) < labels[:, None]
        rank = ((logits > own) | ((logits == own) & earlier)).sum(dim=1)
        predictions = logits.log_softmax(dim=1)
        # A head that has diverged believes in nothing: its NaN are the worst there is.
        loss = -predictions.gather(1, labels[:, None])[:, 0].nan_to_num(-MOST_LOSS)
        confidence = predictions.amax(dim=1).exp().nan_to_num(1.0)
        columns = (labels, logits.argmax(dim=1), rank, loss.double().clamp(0, MOST_LOSS), confidence.double())
        return cls(logits.shape[1], *(column.cpu().numpy() for column in columns))

    @classmethod
    def joined(cls, parts: Iterable[Self]) -> Self:
        """Of all images together, in order."""
        together = list(parts)
        columns = [field.name for field in fields(cls) if field.name != "classes"]
        merged = (np.concatenate([getattr(part, name) for part in together]) for name in columns)
        return cls(together[0].classes, *merged)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def right(self) -> np.ndarray:
        """bool (n,)."""
        return np.asarray(self.predicted == self.labels)

    @property
    def accuracy(self) -> Accuracy:
        return Accuracy(int(self.right.sum()), len(self))

    def value(self, metric: str) -> float:
        """Of one metric, without its interval."""
        measures = {
            ACCURACY.name: lambda: self.accuracy.value,
            "top-5": lambda: self._among_first(5).value,
            "mean-per-class": self._mean_over_classes,
            "nll": lambda: float(self.loss.mean()),
            "ece": self._calibration_error,
        }
        return float(measures[metric]())

    def score(self, metric: str) -> float:
        """The more the better."""
        return METRICS[metric].score(self.value(metric))

    def scores(self) -> Scores:
        """Every metric with its 95 % interval; top-5 only where there are more than 5 classes.

        Proportions have Wilson's; the others the percentiles of a bootstrap over images (Efron 1979), within each
        class for the mean over classes. It is seeded: the same beliefs have the same intervals.
        """
        values = {
            "accuracy": _proportion(self.accuracy),
            "mean-per-class": self._resampled_within_classes(),
            **self._resampled_over_images(),
        }
        if self.classes > 5:
            values["top-5"] = _proportion(self._among_first(5))
        return Scores(len(self), {name: values[name] for name in METRICS if name in values})

    @property
    def correct_mask(self) -> CorrectMask:
        return CorrectMask.from_bytes(len(self), np.packbits(self.right, bitorder="little").tobytes())

    def confused(self, at_most: int, images: np.ndarray | None = None) -> tuple[Confusion, ...]:
        """The pairs of classes that are mixed up most often; of equals the earlier classes first.

        images: int64 (n,), what the examples are called; else by their number.
        """
        wrong = np.flatnonzero(~self.right)
        surest = wrong[np.argsort(-self.confidence[wrong], kind="stable")]
        pairs: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        for at in surest.tolist():
            pairs[int(self.labels[at]), int(self.predicted[at])].append(at)
        ordered = sorted(pairs.items(), key=lambda pair: (-len(pair[1]), pair[0]))
        names = np.arange(len(self)) if images is None else images
        return tuple(
            Confusion(*classes, len(found), tuple(names[found[:EXAMPLES]].tolist()))
            for classes, found in ordered[:at_most]
        )

    def _among_first(self, count: int) -> Accuracy:
        return Accuracy(int((self.rank < count).sum()), len(self))

    def _mean_over_classes(self) -> float:
        """Of those that have images."""
        totals, right = self._by_class()
        return float((right / totals).mean())

    def _calibration_error(self) -> float:
        """Confidence against accuracy, bin by bin, weighted by the images in it (Guo et al. 2017, equation 5)."""
        sums = np.bincount(self._bins(), self._gaps(), BINS)
        return float(np.abs(sums).sum() / len(self))

    def _resampled_within_classes(self) -> Measured:
        """Mean per-class accuracy. Of a resample, each answer is right by the chance of its class."""
        value = self.value("mean-per-class")
        if value in (0.0, 1.0):  # no resample differs from it, which would say that it is certain
            return _proportion(self.accuracy)
        totals, right = self._by_class()
        generator = np.random.default_rng(0)
        means = generator.binomial(totals, right / totals, (RESAMPLES, len(totals))) @ (1 / totals) / len(totals)
        return _percentiles(value, means)

    def _by_class(self) -> tuple[np.ndarray, np.ndarray]:
        """Images and right answers of each class that has images."""
        totals = np.bincount(self.labels, minlength=self.classes)
        right = np.bincount(self.labels[self.right], minlength=self.classes)
        return totals[totals > 0], right[totals > 0]

    def _resampled_over_images(self) -> dict[str, Measured]:
        n, generator = len(self), np.random.default_rng(0)
        gaps, bins = self._gaps(), self._bins()
        likelihoods, errors = [], []
        at_once = max(DRAWS_AT_ONCE // n, 1)
        for start in range(0, RESAMPLES, at_once):
            rounds = min(at_once, RESAMPLES - start)
            drawn = generator.integers(0, n, (rounds, n), dtype=np.int32)
            likelihoods.append(self.loss[drawn].mean(axis=1))
            places = bins[drawn] + BINS * np.arange(rounds)[:, None]
            sums = np.bincount(places.ravel(), gaps[drawn].ravel(), BINS * rounds).reshape(rounds, BINS)
            errors.append(np.abs(sums).sum(axis=1) / n)
        return {
            "nll": _percentiles(self.value("nll"), np.concatenate(likelihoods)),
            "ece": _percentiles(self.value("ece"), np.concatenate(errors)),
        }

    def _bins(self) -> np.ndarray:
        """int64 (n,), in [0, BINS): bin m holds the confidences in (m / BINS, (m + 1) / BINS]."""
        return np.asarray(np.clip(np.ceil(self.confidence * BINS).astype(np.int64) - 1, 0, BINS - 1))

    def _gaps(self) -> np.ndarray:
        """float64 (n,): how much more right an answer is than it was believed to be."""
        return np.asarray(self.right - self.confidence)


def _proportion(counts: Accuracy) -> Measured:
    return _holding(counts.value, *counts.interval(CONFIDENCE))


def _percentiles(value: float, resamples: np.ndarray) -> Measured:
    low, high = np.quantile(resamples, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return _holding(value, float(low), float(high))


def _holding(value: float, low: float, high: float) -> Measured:
    """The value lies a rounding outside of Wilson's interval of a perfect score, and farther below the percentiles of a
    calibration error, which chance adds to."""
    return Measured(value, min(low, value), max(high, value))
