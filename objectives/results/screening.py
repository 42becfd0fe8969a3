"""The plain results of screening."""

from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from objectives.results.metrics import Accuracy, Difference
from spaces import Setting


@dataclass(frozen=True)
class ScreenedSetting:
    """A setting and its leave-one-out results: each image is classified by a ridge classifier of all other images.

    correct: for each image, whether it is classified correctly.
    errors: for each image, the squared error over all classes; lower is better, and 1 is the error without knowledge.
    A setting that is screened on more images keeps the first ones in the same order.
    l2: the ridge strength with the least mean error.
    seconds: the time that scoring took, without forward passes.
    """

    setting: Setting
    correct: tuple[bool, ...]
    errors: tuple[float, ...]
    l2: float
    seconds: float

    @property
    def accuracy(self) -> Accuracy:
        return Accuracy(sum(self.correct), len(self.correct))

    @cached_property
    def error(self) -> float:
        """The mean of `errors`."""
        return fmean(self.errors)

    def error_gap(self, other: "ScreenedSetting") -> tuple[float, float]:
        """Return the mean of this setting's error minus the other's, on the images of both, and its standard error."""
        gaps = [error - other_error for error, other_error in zip(self.errors, other.errors, strict=False)]
        mean, count = fmean(gaps), len(gaps)
        variance = sum((gap - mean) ** 2 for gap in gaps) / max(count - 1, 1)
        return mean, (variance / count) ** 0.5


@dataclass(frozen=True)
class CheaperSetting:
    """A setting that costs less at inference than the recommended one.

    cost: its multiply-accumulates per image, as a share of the recommended setting's, in (0, 1).
    accuracy_loss: the recommended setting's accuracy minus this one's.
    """

    screened: ScreenedSetting
    cost: float
    accuracy_loss: Difference


@dataclass(frozen=True)
class PastTaskWeight:
    """The influence of a past task on a recommendation.

    task: a description for people.
    agreement: the rank correlation, in [-1, 1], of the past task's predictions with what was screened.
    weight: the task's share, in [0, 1], of what all past tasks contribute.
    """

    task: str
    agreement: float
    weight: float


@dataclass(frozen=True)
class ScreeningResults:
    """The outcome of screening.

    best: the recommended setting: the cheapest at inference of those whose error is as low as the least.
    tied: the other settings whose error the images cannot distinguish from the least; the least error comes first.
    cheaper: settings that cost less than `best`, each the best at its cost, in descending order of cost.
    screened: every screened setting, on the most images that it was scored on.
    images: the number of images available for screening.
    passes: the number of forward passes, of one image at one timestep, that all scores need.
    chance: the share of the most frequent class among the screened images, which is the accuracy of guessing.
    on_fewest_images: every screened setting on the fewest images, which are the same for all; empty if no setting was
    scored on more.
    past_tasks: the past tasks that contributed, in descending order of weight.
    """

    best: ScreenedSetting
    tied: tuple[ScreenedSetting, ...]
    cheaper: tuple[CheaperSetting, ...]
    screened: tuple[ScreenedSetting, ...]
    images: int
    passes: int
    chance: float
    on_fewest_images: tuple[ScreenedSetting, ...] = ()
    past_tasks: tuple[PastTaskWeight, ...] = ()

    @property
    def comparable(self) -> tuple[ScreenedSetting, ...]:
        """Every screened setting, all on the same images."""
        return self.on_fewest_images or self.screened

    @property
    def interval(self) -> tuple[float, float]:
        """The interval of the accuracy of `best`, as by `interval_of`."""
        return self.interval_of(self.best)

    def interval_of(self, screened: ScreenedSetting) -> tuple[float, float]:
        """Return a simultaneous 95 % interval of a setting's accuracy, (low, high) in [0, 1].

        It is Wilson's, with Bonferroni's correction for the number of screened settings, so that it holds for the best
        of them too.
        """
        return screened.accuracy.interval(1 - 0.05 / len(self.screened))

    @property
    def better_than_chance(self) -> bool:
        return self.interval[0] > self.chance
