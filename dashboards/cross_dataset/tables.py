"""What datasets make of each other's best settings: tables as those of `summaries`, computed across studies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import hypot, sqrt
from statistics import NormalDist, fmean

from dashboards.study.tables import Estimate, answer, finalist_estimate, trial_estimate
from dashboards.study.tradeoff import gmacs_of
from objectives.results import ACCURACY, Accuracy, CorrectMask, IntervalEstimate, StudyResults, Trial
from spaces import Setting, Space

Z = NormalDist().inv_cdf(0.975)

NOT_TRIED, STOPPED, FAILED, OUTSIDE = "not tried", "stopped early", "failed", "outside its space"
"""Why a cell is missing. Outside of a dataset's space there can be no trial, and one that failed gets no other."""

MEASURABLE = (NOT_TRIED, STOPPED)


@dataclass(frozen=True)
class Task:
    """A dataset with a network, by the study that stands for it, which has a complete trial.

    label: tells it from the others. space: of the study. others: how many more studies of it there are.
    """

    label: str
    study: StudyResults
    space: Space
    others: int = 0

    @cached_property
    def best(self) -> Trial:
        """Of the setting that its study says to use; where no complete trial is of it, the best one."""
        found = answer(self.study)
        return next((trial for trial in self.study.complete if found and trial.setting == found.setting), self.tried[0])

    @property
    def tried(self) -> tuple[Trial, ...]:
        """The complete trials, best first."""
        return self.study.complete


@dataclass(frozen=True, slots=True)
class Row:
    """A dataset's best setting by its accuracy, whatever the study optimised.

    images: to train and to validate on. validation, test: means over seeds of a finalist; else of one seed, and no
    test. trials: that have finished.
    """

    task: Task
    setting: Setting
    validation: Estimate | None
    test: Estimate | None
    gmacs: float | None
    images: int
    trials: int


def row(task: Task) -> Row:
    study, best = task.study, task.best
    final = next((each for each in study.finalists if each.setting == best.setting), None)
    counts = study.counts
    return Row(
        task,
        best.setting,
        finalist_estimate(final, "validation", ACCURACY) if final else trial_estimate(best, ACCURACY),
        finalist_estimate(final, "test", ACCURACY) if final else None,
        gmacs_of(study, best.setting),
        counts["train"] if study.folds else counts["train"] + counts["validation"],
        study.finished,
    )


@dataclass(frozen=True, slots=True)
class Regret:
    """What the best setting of one dataset, head options included, loses on another to that one's own best.

    loses: validation accuracy, in [-1, 1], on the same images of the same seed; None where `missing` says why not,
    and `why` in more words. images: of the validation. paired: the interval goes by each image.
    """

    of: str
    on: str
    setting: Setting
    loses: IntervalEstimate | None
    images: int
    paired: bool
    missing: str | None = None
    why: str = ""

    @property
    def own(self) -> bool:
        """Zero by definition."""
        return self.of == self.on

    @property
    def clear(self) -> bool:
        """Whether it is more than the noise."""
        return self.loses is not None and not self.loses.low <= 0 <= self.loses.high


@dataclass(frozen=True, slots=True)
class Together:
    """One setting for all datasets: what that of one loses on average, its own included, and the cell where most."""

    of: str
    setting: Setting
    mean: IntervalEstimate
    worst: Regret


@dataclass(frozen=True)
class Matrix:
    """All datasets of one network. cells: by (whose best setting, the dataset that it is used on)."""

    tasks: tuple[Task, ...]
    cells: Mapping[tuple[str, str], Regret]

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(task.label for task in self.tasks)

    @cached_property
    def known(self) -> tuple[Regret, ...]:
        """Of other datasets, the largest loss first."""
        found = [(cell.loses.value, cell) for cell in self.cells.values() if cell.loses is not None and not cell.own]
        return tuple(cell for _, cell in sorted(found, key=lambda pair: -pair[0]))

    @property
    def missing(self) -> tuple[Regret, ...]:
        return tuple(cell for cell in self.cells.values() if cell.loses is None)

    @cached_property
    def together(self) -> tuple[Together, ...]:
        """Of the settings that are known on all datasets; the least mean first."""
        found = []
        for task in self.tasks:
            cells = [self.cells[task.label, on] for on in self.labels]
            losses = [cell.loses for cell in cells if cell.loses is not None]
            if len(losses) == len(cells):
                worst = max(cells, key=lambda cell: cell.loses.value if cell.loses else 0.0)
                found.append(Together(task.label, task.best.setting, mean_of(losses), worst))
        return tuple(sorted(found, key=lambda each: each.mean.value))


def matrix(tasks: Sequence[Task]) -> Matrix:
    """tasks: of one network, at least one, each label once."""
    pairs = product(tasks, tasks)
    return Matrix(tuple(tasks), {(of.label, on.label): regret(of, on) for of, on in pairs})


def regret(of: Task, on: Task) -> Regret:
    setting, best = of.best.setting, on.best
    trial = best if of is on else next((each for each in on.tried if each.setting == setting), None)
    images = best.validation.total if best.validation else 0
    if trial is None:
        missing, why = _missing(setting, on)
        return Regret(of.label, on.label, setting, None, images, False, missing, why)
    if trial is best:
        return Regret(of.label, on.label, setting, IntervalEstimate(0.0, 0.0, 0.0), images, True)
    if best.correct_mask is None or trial.correct_mask is None:
        unpaired = apart(Estimate.of(_validated(best)), Estimate.of(_validated(trial)))
        return Regret(of.label, on.label, setting, unpaired, images, False)
    return Regret(of.label, on.label, setting, paired(best.correct_mask, trial.correct_mask), images, True)


def _missing(setting: Setting, on: Task) -> tuple[str, str]:
    """Why no complete trial of a dataset is of the setting, in a few words and in more."""
    outside = on.space.why_not(setting)
    if outside is not None:
        return OUTSIDE, outside
    last = next((trial for trial in reversed(on.study.trials) if trial.setting == setting), None)
    if last is None or last.state == "running" or (last.reason or "").startswith("interrupted"):
        return NOT_TRIED, "no trial of it is complete"
    return STOPPED if last.state == "pruned" else FAILED, last.reason or "no reason was recorded"


def _validated(trial: Trial) -> Accuracy:
    """Of a complete trial, which has it whatever was optimised."""
    if trial.validation is None:
        raise ValueError(f"trial {trial.number} has no validation accuracy")
    return trial.validation


def paired(more: CorrectMask, less: CorrectMask) -> IntervalEstimate:
    """Accuracy of one less that of another on the same images, in [-1, 1].

    The interval is Wald's, of the images that one of both had right and the other not, with half an image added to each
    of the four counts (Agresti & Min 2005, Statistics in Medicine 24:729-740): so it holds its level where few images
    are answered otherwise.
    """
    gained, lost = (more.bits & ~less.bits).bit_count(), (less.bits & ~more.bits).bit_count()
    first, second, images = gained + 0.5, lost + 0.5, more.total + 2
    centre = (first - second) / images
    half = Z * sqrt(first + second - (first - second) ** 2 / images) / images
    return IntervalEstimate((gained - lost) / more.total, max(centre - half, -1.0), min(centre + half, 1.0))


def apart(more: Estimate, less: Estimate) -> IntervalEstimate:
    """The same of different images, or of who knows which (Newcombe 1998, method 10)."""
    value = more.value - less.value
    low = value - hypot(more.value - more.low, less.high - less.value)
    return IntervalEstimate(value, low, value + hypot(more.high - more.value, less.value - less.low))


def mean_of(losses: Sequence[IntervalEstimate]) -> IntervalEstimate:
    """Of independent ones, whose intervals make that of the mean (Zou & Donner 2008, Statistics in Medicine 27:1693,
    section 2); one that is known for certain adds none."""
    value, count = fmean(each.value for each in losses), len(losses)
    low = hypot(*(each.value - each.low for each in losses)) / count
    return IntervalEstimate(value, value - low, value + hypot(*(each.high - each.value for each in losses)) / count)


@dataclass(frozen=True, slots=True)
class AtBlock:
    """The best one-tap trial of a dataset at a block, and what it loses to the best of all blocks, in [0, 1]."""

    block: int
    trial: Trial
    validation: Estimate
    loses: float


def by_block(task: Task) -> tuple[AtBlock, ...]:
    """Of the blocks that were tried, in their order, by accuracy."""
    best: dict[int, Trial] = {}
    for trial in task.tried:
        before = best.get(trial.setting.block)
        if not trial.setting.further and (before is None or _validated(trial).value > _validated(before).value):
            best[trial.setting.block] = trial
    found = {block: Estimate.of(_validated(trial)) for block, trial in sorted(best.items())}
    top = max((estimate.value for estimate in found.values()), default=0.0)
    return tuple(AtBlock(block, best[block], each, top - each.value) for block, each in found.items())
