"""A classifier's predictions for images, and their values by every metric of `objectives.results`."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import torch

from objectives.results import ACCURACY, METRICS, Accuracy, Confusion, CorrectMask, IntervalEstimate, Scores

BINS = 15
"""Number of confidence bins of equal width in the expected calibration error (Guo et al. 2017, arXiv 1706.04599)."""

LOGITS_PER_CHUNK = 2**22
"""Logits that are turned into predictions at a time, to bound memory."""

RESAMPLES = 1000
"""Bootstrap resamples of an interval."""

CONFIDENCE = 0.95

DRAWS_PER_CHUNK = 2**21
"""Images that are resampled at a time, to bound memory."""

EXAMPLES = 3
"""Example images that are kept of each pair of confused classes."""

MAX_LOSS = 100.0
"""Upper limit of one image's loss, in nats. Without it one image could make the mean infinite, which orders nothing."""


@dataclass(frozen=True)
class Predictions:
    """The predictions for n ≥ 1 images, reduced to the few numbers per image that the metrics need.

    classes: the number of classes, at least 2.
    labels, predicted: the true and the predicted classes, int64 (n,).
    rank: the number of classes with a higher probability than the true one, int64 (n,); of classes with equal
    probabilities the first comes first.
    loss: −log of the probability of the true class, in nats, float64 (n,), at most `MAX_LOSS`.
    confidence: the probability of the predicted class, float64 (n,), in [0, 1].
    """

    classes: int
    labels: np.ndarray
    predicted: np.ndarray
    rank: np.ndarray
    loss: np.ndarray
    confidence: np.ndarray

    @classmethod
    def of(cls, logits: torch.Tensor, labels: torch.Tensor) -> Self:
        """Reduce the logits of n images to their predictions.

        logits: float (n, classes). labels: int64 (n,), each in [0, classes), on the same device.
        """
        step = max(LOGITS_PER_CHUNK // logits.shape[1], 1)
        parts = zip(torch.split(logits.detach(), step), torch.split(labels, step), strict=True)
        return cls.joined(cls._of_chunk(*part) for part in parts)

    @classmethod
    def _of_chunk(cls, logits: torch.Tensor, labels: torch.Tensor) -> Self:
        own = logits.gather(1, labels[:, None])
        earlier = torch.arange(logits.shape[1], device=logits.device) < labels[:, None]
        rank = ((logits > own) | ((logits == own) & earlier)).sum(dim=1)
        predicted, log_probabilities = logits.argmax(dim=1), logits.log_softmax(dim=1)
        # A head that has diverged has NaN logits. They are wrong for every image, with the largest loss and confidence.
        lost = log_probabilities.isnan().any(dim=1)
        predicted, rank = predicted.where(~lost, (labels + 1) % logits.shape[1]), rank.where(~lost, logits.shape[1] - 1)
        loss = -log_probabilities.gather(1, labels[:, None])[:, 0].nan_to_num(-MAX_LOSS)
        confidence = log_probabilities.amax(dim=1).exp().nan_to_num(1.0)
        columns = (labels, predicted, rank, loss.double().clamp(0, MAX_LOSS), confidence.double())
        return cls(logits.shape[1], *(column.cpu().numpy() for column in columns))

    @classmethod
    def joined(cls, parts: Iterable[Self]) -> Self:
        """Concatenate the predictions for several sets of images, in order."""
        together = list(parts)
        columns = [field.name for field in fields(cls) if field.name != "classes"]
        merged = (np.concatenate([getattr(part, name) for part in together]) for name in columns)
        return cls(together[0].classes, *merged)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def correct(self) -> np.ndarray:
        """Whether each image is classified correctly, bool (n,)."""
        return np.asarray(self.predicted == self.labels)

    @property
    def accuracy(self) -> Accuracy:
        return Accuracy(int(self.correct.sum()), len(self))

    def value(self, metric: str) -> float:
        """Return the value by a metric, without its interval."""
        measures = {
            ACCURACY.name: lambda: self.accuracy.value,
            "top-5": lambda: self._top(5).value,
            "mean-per-class": self._mean_over_classes,
            "nll": lambda: float(self.loss.mean()),
            "ece": self._calibration_error,
        }
        return float(measures[metric]())

    def score(self, metric: str) -> float:
        """Return the score by a metric; higher is better."""
        return METRICS[metric].score(self.value(metric))

    def image_scores(self, metric: str) -> np.ndarray:
        """Return a score for each image, float64 (n,); their mean is the score by the metric.

        metric: one of `SELECTION_METRICS`.
        """
        if metric == "nll":
            return np.asarray(-self.loss)
        correct = self.correct.astype(np.float64)
        if metric == "accuracy":
            return correct
        totals = np.bincount(self.labels, minlength=self.classes)
        weights: np.ndarray = len(self) / ((totals > 0).sum() * totals[self.labels])
        return np.asarray(correct * weights)

    def scores(self) -> Scores:
        """Return the values by every metric with their 95 % intervals; top-5 only for more than 5 classes.

        Proportions have Wilson's interval (Wilson 1927). Other metrics have the percentile interval of a bootstrap over
        images (Efron 1979), which for the mean over classes resamples within each class. The bootstrap is seeded: equal
        predictions have equal intervals.
        """
        values = {
            "accuracy": _proportion(self.accuracy),
            "mean-per-class": self._resampled_within_classes(),
            **self._resampled_over_images(),
        }
        if self.classes > 5:
            values["top-5"] = _proportion(self._top(5))
        return Scores(len(self), {name: values[name] for name in METRICS if name in values})

    @property
    def correct_mask(self) -> CorrectMask:
        """The correctly classified images, in the order of `labels`."""
        return CorrectMask.from_bytes(len(self), np.packbits(self.correct, bitorder="little").tobytes())

    def confused(self, at_most: int, images: np.ndarray | None = None) -> tuple[Confusion, ...]:
        """Return the `at_most` pairs of classes that are confused most often; pairs with equal counts in class order.

        images: the index by which each image is reported as an example, int64 (n,); by default its position.
        """
        wrong = np.flatnonzero(~self.correct)
        most_confident_first = wrong[np.argsort(-self.confidence[wrong], kind="stable")]
        pairs: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        for position in most_confident_first.tolist():
            pairs[int(self.labels[position]), int(self.predicted[position])].append(position)
        ordered = sorted(pairs.items(), key=lambda pair: (-len(pair[1]), pair[0]))
        indices = np.arange(len(self)) if images is None else images
        return tuple(
            Confusion(*classes, len(positions), tuple(indices[positions[:EXAMPLES]].tolist()))
            for classes, positions in ordered[:at_most]
        )

    def _top(self, count: int) -> Accuracy:
        """The accuracy if the true class need only be among the `count` most probable ones."""
        return Accuracy(int((self.rank < count).sum()), len(self))

    def _mean_over_classes(self) -> float:
        """The mean of the classes' accuracies, over the classes that have images."""
        totals, correct = self._by_class()
        return float((correct / totals).mean())

    def _calibration_error(self) -> float:
        """The expected calibration error: the mean over images of their bin's |accuracy − confidence|.

        Guo et al. 2017 (arXiv 1706.04599), section 2.
        """
        sums = np.bincount(self._bins(), self._gaps(), BINS)
        return float(np.abs(sums).sum() / len(self))

    def _resampled_within_classes(self) -> IntervalEstimate:
        """The mean per-class accuracy with its interval; a resample draws each class's correct count binomially."""
        value = self.value("mean-per-class")
        if value in (0.0, 1.0):  # every resample would equal it, and the interval would have no width
            return _proportion(self.accuracy)
        totals, correct = self._by_class()
        generator = np.random.default_rng(0)
        means = generator.binomial(totals, correct / totals, (RESAMPLES, len(totals))) @ (1 / totals) / len(totals)
        return _percentiles(value, means)

    def _by_class(self) -> tuple[np.ndarray, np.ndarray]:
        """The number of images and of correct images of each class that has images."""
        totals = np.bincount(self.labels, minlength=self.classes)
        correct = np.bincount(self.labels[self.correct], minlength=self.classes)
        return totals[totals > 0], correct[totals > 0]

    def _resampled_over_images(self) -> dict[str, IntervalEstimate]:
        """The mean loss and the calibration error, with their intervals."""
        n, generator = len(self), np.random.default_rng(0)
        gaps, bins = self._gaps(), self._bins()
        losses, errors = [], []
        chunk = max(DRAWS_PER_CHUNK // n, 1)
        for start in range(0, RESAMPLES, chunk):
            rounds = min(chunk, RESAMPLES - start)
            rows = generator.integers(0, n, (rounds, n), dtype=np.int32)
            losses.append(self.loss[rows].mean(axis=1))
            cells = bins[rows] + BINS * np.arange(rounds)[:, None]
            sums = np.bincount(cells.ravel(), gaps[rows].ravel(), BINS * rounds).reshape(rounds, BINS)
            errors.append(np.abs(sums).sum(axis=1) / n)
        return {
            "nll": _percentiles(self.value("nll"), np.concatenate(losses)),
            "ece": _percentiles(self.value("ece"), np.concatenate(errors)),
        }

    def _bins(self) -> np.ndarray:
        """Each image's bin, int64 (n,), in [0, BINS): bin m holds the confidences in (m / BINS, (m + 1) / BINS]."""
        return np.asarray(np.clip(np.ceil(self.confidence * BINS).astype(np.int64) - 1, 0, BINS - 1))

    def _gaps(self) -> np.ndarray:
        """Each image's correctness, 0 or 1, minus its confidence, float64 (n,)."""
        return np.asarray(self.correct - self.confidence)


def _proportion(accuracy: Accuracy) -> IntervalEstimate:
    return IntervalEstimate(accuracy.value, *accuracy.interval(CONFIDENCE))


def _percentiles(value: float, resamples: np.ndarray) -> IntervalEstimate:
    """Return the value with the percentiles of its resamples, widened so that they contain it.

    A calibration error can lie below the percentiles of its resamples, because resampling adds to it.
    """
    low, high = np.quantile(resamples, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return IntervalEstimate(value, min(float(low), value), max(float(high), value))
