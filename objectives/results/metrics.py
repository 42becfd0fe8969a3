"""Metrics, and what a classifier scores by them."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, Self

Part = Literal["validation", "test"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One number that says how good a classifier is.

    name: as on the command line. words: in the middle of a sentence. share: in [0, 1] and told in percent; else told as
    it is. rising: more is better.
    """

    name: str
    words: str
    share: bool = True
    rising: bool = True

    def score(self, value: float) -> float:
        """The more the better: what a search maximises, and how results are ordered. Of a worth, the value."""
        return value if self.rising else -value

    @property
    def score_words(self) -> str:
        return self.words if self.rising else self.words.removeprefix("negative ")

    @property
    def scale(self) -> float:
        """From a value to the number that is told."""
        return 100.0 if self.share else 1.0

    @property
    def unit(self) -> str:
        """Of the number that is told, after it; empty where it has none."""
        return "%" if self.share else ""

    def number(self, value: float) -> str:
        """Without its unit: a share of 0.675 is "67.5"."""
        return f"{self.scale * value:.{1 if self.share else 3}f}"

    def text(self, value: float) -> str:
        """ "67.5 %"."""
        return f"{self.number(value)} {self.unit}".strip()

    def told(self, value: float) -> str:
        """Where nothing else says what it is: "67.5 %" of the accuracy, else "mean per-class accuracy 67.5 %"."""
        return self.text(value) if self == ACCURACY else f"{self.words} {self.text(value)}"


METRICS = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "accuracy"),
        Metric("top-5", "top-5 accuracy"),
        Metric("mean-per-class", "mean per-class accuracy"),
        Metric("nll", "negative log-likelihood", share=False, rising=False),
        Metric("ece", "expected calibration error", rising=False),
    )
}
OPTIMISED = ("accuracy", "mean-per-class", "nll")
"""What a search may choose by. Not calibration: who believes in each class as often as it comes is calibrated."""

ACCURACY = METRICS["accuracy"]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Top-1 accuracy as counts: correct of total images, total ≥ 1."""

    correct: int
    total: int

    @property
    def value(self) -> float:
        """In [0, 1]."""
        return self.correct / self.total

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Wilson score interval (Wilson 1927), (low, high) in [0, 1]."""
        z = NormalDist().inv_cdf((1 + confidence) / 2)
        n, p = self.total, self.value
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5 / (1 + z * z / n)
        return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True, slots=True)
class CorrectMask:
    """Which of `total` images a classifier had right, a bit each: the first image is the lowest bit of `right`."""

    total: int
    right: int

    @property
    def accuracy(self) -> Accuracy:
        return Accuracy(self.right.bit_count(), self.total)

    def to_bytes(self) -> bytes:
        """Little-endian, as many as it takes."""
        return self.right.to_bytes((self.total + 7) // 8, "little")

    @classmethod
    def from_bytes(cls, total: int, kept: bytes) -> Self:
        return cls(total, int.from_bytes(kept, "little"))


@dataclass(frozen=True, slots=True)
class Measured:
    """A number and its 95 % interval, low ≤ value ≤ high."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Scores:
    """What a classifier is worth on `total` images. values: by the name of a metric; top-5 of over 5 classes."""

    total: int
    values: Mapping[str, Measured]
