"""The plain results of screening, in which everyone above speaks of it. No torch here, as in `results`."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist, fmean

from objectives.results.metrics import Accuracy, Measured
from spaces import Setting


@dataclass(frozen=True)
class Screened:
    """A setting, scored in closed form: each image by a ridge classifier of all others.

    right: whether it was classified rightly, by image. errors: its squared error over all classes; less is better, 1 is
    what knowing nothing costs. Of more images the first are the same. l2: the strength at which the mean error is
    least. seconds: that scoring took, passes apart.
    """

    setting: Setting
    right: tuple[bool, ...]
    errors: tuple[float, ...]
    l2: float
    seconds: float

    @property
    def accuracy(self) -> Accuracy:
        return Accuracy(sum(self.right), len(self.right))

    @cached_property
    def error(self) -> float:
        """The mean."""
        return fmean(self.errors)

    def behind(self, other: "Screened") -> tuple[float, float]:
        """How much larger its error is than another's, on the images of both: the mean and its standard error."""
        return _paired(self.errors, other.errors)

    def loses(self, other: "Screened") -> Measured:
        """How much of another's accuracy it loses, on the images of both, by a paired normal interval."""
        mean, error = _paired(other.right, self.right)
        half = NormalDist().inv_cdf(0.975) * error
        return Measured(mean, mean - half, mean + half)


def _paired(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """The mean of first less second and its standard error, over as many as both have."""
    differences = [one - other for one, other in zip(first, second, strict=False)]
    mean, count = fmean(differences), len(differences)
    variance = sum((each - mean) ** 2 for each in differences) / max(count - 1, 1)
    return mean, (variance / count) ** 0.5


@dataclass(frozen=True)
class Alternative:
    """cost: its share of the recommended setting's multiply-accumulates for an image. loses: of its accuracy."""

    score: Screened
    cost: float
    loses: Measured


@dataclass(frozen=True)
class Learnt:
    """What a past task came to. task: in words. agreement: rank correlation of what it says with what was screened.
    weight: its share, in [0, 1], of all that past tasks say."""

    task: str
    agreement: float
    weight: float


@dataclass(frozen=True)
class Recommendation:
    """What screening comes to.

    best: the one to use: the cheapest to compute of those that are as good as the least error. tied: the others
    that the images do not tell from the least error, which comes first. cheaper: settings that cost less than `best`,
    each the best for what it costs; the dearest first. screened: of every setting the score on the most images. images:
    that there were to screen. passes: of one image at one timestep, that all scores take. chance: the share of the most
    frequent class among the images screened, which is what guessing reaches. first: of every setting the score on the
    fewest images, which are the same for all; empty where no score is on more. learnt: of past tasks, that which counts
    most first.
    """

    best: Screened
    tied: tuple[Screened, ...]
    cheaper: tuple[Alternative, ...]
    screened: tuple[Screened, ...]
    images: int
    passes: int
    chance: float
    first: tuple[Screened, ...] = ()
    learnt: tuple[Learnt, ...] = ()

    @property
    def comparable(self) -> tuple[Screened, ...]:
        """Of every setting a score on the same images."""
        return self.first or self.screened

    @property
    def interval(self) -> tuple[float, float]:
        """Of the accuracy of `best`."""
        return self.interval_of(self.best)

    def interval_of(self, score: Screened) -> tuple[float, float]:
        """Of its accuracy, wide enough for the best of all that were screened (Bonferroni)."""
        return score.accuracy.interval(1 - 0.05 / len(self.screened))

    @property
    def better_than_chance(self) -> bool:
        return self.interval[0] > self.chance
