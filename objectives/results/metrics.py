"""The metrics of a classifier, and the types that hold its values by them."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, Self

Part = Literal["validation", "test"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A measure of a classifier's quality.

    name: as on the command line and in the database.
    label: the metric's name inside a sentence.
    is_proportion: values lie in [0, 1] and are shown in percent; other values are shown as they are.
    higher_is_better: whether a larger value means a better classifier.
    """

    name: str
    label: str
    is_proportion: bool = True
    higher_is_better: bool = True

    def score(self, value: float) -> float:
        """Turn a value into a score, of which higher is always better; applied to a score, return the value.

        A search maximises the score, and results are ordered by it.
        """
        return value if self.higher_is_better else -value

    @property
    def score_label(self) -> str:
        """The name of the score inside a sentence."""
        return self.label if self.higher_is_better else self.label.removeprefix("negative ")

    @property
    def scale(self) -> float:
        """The factor from a value to the number that is shown: 100 for a proportion."""
        return 100.0 if self.is_proportion else 1.0

    @property
    def unit(self) -> str:
        """The unit of the number that is shown; empty if it has none."""
        return "%" if self.is_proportion else ""

    def number(self, value: float) -> str:
        """Format a value without its unit: the proportion 0.675 becomes "67.5"."""
        return f"{self.scale * value:.{1 if self.is_proportion else 3}f}"

    def text(self, value: float) -> str:
        """Format a value with its unit: "67.5 %"."""
        return f"{self.number(value)} {self.unit}".strip()

    def labelled_text(self, value: float) -> str:
        """Format a value with its label, "mean per-class accuracy 67.5 %"; an accuracy needs none, "67.5 %"."""
        return self.text(value) if self == ACCURACY else f"{self.label} {self.text(value)}"


METRICS = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "accuracy"),
        Metric("top-5", "top-5 accuracy"),
        Metric("mean-per-class", "mean per-class accuracy"),
        Metric("nll", "negative log-likelihood", is_proportion=False, higher_is_better=False),
        Metric("ece", "expected calibration error", higher_is_better=False),
    )
}
SELECTION_METRICS = ("accuracy", "mean-per-class", "nll")
"""Names of the metrics by which a search can select a setting.

The calibration error is not one: a classifier that predicts the classes' frequencies for every image is calibrated.
"""

ACCURACY = METRICS["accuracy"]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Top-1 accuracy as counts: `correct` of `total` images, total ≥ 1."""

    correct: int
    total: int

    @property
    def value(self) -> float:
        """The proportion of correct images, in [0, 1]."""
        return self.correct / self.total

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the Wilson score interval (Wilson 1927) as (low, high), both in [0, 1]."""
        return wilson_interval(self.value, self.total, confidence)


def wilson_interval(p: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval of `Accuracy.interval` at an accuracy that need not be a count, such as a mean.

    p: in [0, 1]. n: number of images.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5 / (1 + z * z / n)
    return max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half))


@dataclass(frozen=True, slots=True)
class CorrectMask:
    """A bit mask over `total` images: bit i of `bits`, from the lowest, is 1 if image i is classified correctly.

    The order of the images is stated where a mask is held.
    """

    total: int
    bits: int

    @property
    def accuracy(self) -> Accuracy:
        return Accuracy(self.bits.bit_count(), self.total)

    def to_bytes(self) -> bytes:
        """Pack the mask into ⌈total / 8⌉ bytes, little-endian."""
        return self.bits.to_bytes((self.total + 7) // 8, "little")

    @classmethod
    def from_bytes(cls, total: int, packed: bytes) -> Self:
        """Unpack what `to_bytes` packed."""
        return cls(total, int.from_bytes(packed, "little"))


@dataclass(frozen=True, slots=True)
class IntervalEstimate:
    """A number and its 95 % interval, low ≤ value ≤ high."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference(IntervalEstimate):
    """A difference with its 95 % interval and the two-sided p-value of "no difference", in [0, 1].

    Both come from one test: the interval excludes 0 if and only if p < 0.05.
    """

    p: float

    @property
    def significant(self) -> bool:
        """Whether p < 0.05."""
        return self.p < 0.05


@dataclass(frozen=True)
class Scores:
    """A classifier's values on `total` images, by the name of each metric; top-5 only for more than 5 classes."""

    total: int
    values: Mapping[str, IntervalEstimate]
