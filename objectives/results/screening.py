"""The plain results of screening."""

from dataclasses import dataclass
from functools import cached_property
from math import exp, log, log2
from statistics import fmean

from objectives.results.metrics import Accuracy, Difference, IntervalEstimate, wilson_interval
from spaces import Setting

NOMINAL_CONFIDENCE = 0.995
"""Confidence of Wilson's interval of an accuracy that is to contain the truth 95 times in 100.

The classifiers of leave-one-out share their images, and the truth depends on these images too. So the accuracy varies
more than that of independent images. On digits and CUB, intervals at 95 % contained the truth 84 times in 100, and at
99.5 % 97 times (docs/benchmarks.md, Recommendation, judges it on other tasks).
"""


@dataclass(frozen=True)
class ScreenedSetting:
    """A setting and its leave-one-out results: each image is classified by a ridge classifier of all other images.

    correct: for each image, whether it is classified correctly.
    errors: for each image, the squared error over all classes; lower is better, and 1 is the error without knowledge.
    A setting that is screened on more images keeps the first ones in the same order.
    l2: the ridge strength with the least mean error.
    seconds: the time that scoring took, without forward passes.
    effective_rank: over how many directions the variance of the features is spread, at least 1; None where it is not
    known. It needs no labels.
    """

    setting: Setting
    correct: tuple[bool, ...]
    errors: tuple[float, ...]
    l2: float
    seconds: float
    effective_rank: float | None = None

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


@dataclass(frozen=True, slots=True)
class Scored:
    """Progress of a screening: `done` of the `total` settings of a part are scored."""

    done: int
    total: int


@dataclass(frozen=True)
class ScreenedPart:
    """The scores of the settings that a worker screened together, in their order."""

    scores: tuple[ScreenedSetting, ...]


@dataclass(frozen=True)
class ComparedSetting:
    """A setting beside the recommended one.

    cost: its multiply-accumulates per image, as a share of the recommended setting's, above 0.
    accuracy_loss: the recommended setting's accuracy minus this one's, on the images that both were screened on. The
    intervals and p-values of all compared settings hold together, whichever of them is recommended.
    """

    screened: ScreenedSetting
    cost: float
    accuracy_loss: Difference

    @property
    def tied(self) -> bool:
        """Whether the images cannot tell the two settings apart."""
        return not self.accuracy_loss.significant


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
    compared: its rivals at the same timestep, on the same images; the least expected error first.
    cheaper: those of `compared` that cost less than `best`, each the best at its cost, in descending order of cost.
    more_taps: settings with further taps at the same timestep, each chosen to extend the one before it.
    other_timesteps: the best setting of each other timestep, on the images that all settings were screened on.
    screened: every screened setting, on the most images that it was scored on.
    images: the number of training images of the dataset.
    passes: the number of forward passes, of one image at one timestep, that all scores need.
    chance: the share of the most frequent class among the screened images, which is the accuracy of guessing.
    optimism: by how much choosing the best on the images raises its accuracy on them, at least 0.
    measuring: of `passes`, those that came after the choice of the timestep. A classifier needs them anyway.
    on_half: `best` on half of its images, where not all images were screened.
    on_fewest_images: every screened setting on the fewest images, which are the same for all; empty if no setting was
    scored on more.
    past_tasks: the past tasks that contributed, in descending order of weight.
    """

    best: ScreenedSetting
    compared: tuple[ComparedSetting, ...]
    cheaper: tuple[ComparedSetting, ...]
    screened: tuple[ScreenedSetting, ...]
    images: int
    passes: int
    chance: float
    optimism: float = 0.0
    more_taps: tuple[ComparedSetting, ...] = ()
    other_timesteps: tuple[ComparedSetting, ...] = ()
    measuring: int = 0
    on_half: ScreenedSetting | None = None
    on_fewest_images: tuple[ScreenedSetting, ...] = ()
    past_tasks: tuple[PastTaskWeight, ...] = ()

    @property
    def tied(self) -> tuple[ComparedSetting, ...]:
        """Those of `compared` that the images cannot tell apart from `best`."""
        return tuple(other for other in self.compared if other.tied)

    @property
    def comparable(self) -> tuple[ScreenedSetting, ...]:
        """Every screened setting, all on the same images."""
        return self.on_fewest_images or self.screened

    def interval_of(self, screened: ScreenedSetting) -> tuple[float, float]:
        """Return a simultaneous 95 % interval of a setting's accuracy, (low, high) in [0, 1].

        It is Wilson's, with Bonferroni's correction for the number of screened settings, so that it holds for the best
        of them too.
        """
        return screened.accuracy.interval(1 - 0.05 / len(self.screened))

    @property
    def corrected(self) -> IntervalEstimate:
        """The leave-one-out accuracy of `best`, less the optimism, with Wilson's interval at `NOMINAL_CONFIDENCE`."""
        value = max(self.best.accuracy.value - self.optimism, 0.0)
        return IntervalEstimate(value, *wilson_interval(value, self.best.accuracy.total, NOMINAL_CONFIDENCE))

    @cached_property
    def expected(self) -> IntervalEstimate:
        """The accuracy of `best` with a ridge head that is fitted on all training images, with its 95 % interval.

        It is `corrected`. If not all images were screened, and a setting is better than chance, it is extrapolated: the
        log-odds of the accuracy grow with each doubling of the images by as much as they grew from half of the screened
        images to all of them. Learning curves bend downwards from there. So the lower end of the interval has no
        growth, and the upper end has the most growth that the paired results on half of the images allow.
        """
        corrected = self.corrected
        if self.on_half is None or not self.better_than_chance:
            return corrected
        growth, most = _growth(self.best, self.on_half)
        doublings = log2(self.images / len(self.best.correct))
        value, high = _grown(corrected.value, growth * doublings), _grown(corrected.high, most * doublings)
        return IntervalEstimate(value, corrected.low, high)

    @property
    def better_than_chance(self) -> bool:
        """Whether both the interval of `corrected` and the simultaneous one of `best` lie above chance.

        The first is the narrower one, but it does not know how often few images are all correct by luck.
        """
        return min(self.corrected.low, self.interval_of(self.best)[0]) > self.chance


def _growth(screened: ScreenedSetting, on_half: ScreenedSetting) -> tuple[float, float]:
    """Return by how much the log-odds of the accuracy grew from half of the images, and the upper end of 95 %.

    Both accuracies are of the same images, so that their difference has little noise. Neither number is below 0.
    """
    half = len(on_half.correct)
    after, before = (
        (sum(correct[:half]) + 0.5) / (half + 1) for correct in (screened.correct, on_half.correct)
    )  # half an image more, so that no odds are infinite
    changed = sum(one != other for one, other in zip(screened.correct, on_half.correct, strict=False)) + 1
    growth = log(after / (1 - after)) - log(before / (1 - before))
    error = changed**0.5 / half / (after * (1 - after))
    return max(growth, 0.0), max(growth, 0.0) + 1.96 * error


def _grown(accuracy: float, growth: float) -> float:
    """Add to the log-odds of an accuracy in [0, 1]."""
    if accuracy in (0.0, 1.0):
        return accuracy
    return 1 / (1 + (1 - accuracy) / accuracy * exp(-growth))
