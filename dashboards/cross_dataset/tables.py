"""Tables across datasets: what the best setting of one dataset loses on another, and which blocks are best where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

from dashboards.statistics import mean_difference, paired_difference
from dashboards.study.answer.answer import study_answer
from dashboards.study.answer.tradeoff import gmacs_of
from dashboards.study.tables import finalist_estimate, trial_estimate
from dashboards.tables import Estimate
from objectives.results import ACCURACY, Accuracy, Difference, IntervalEstimate, StudyResults, Trial
from spaces import Setting, Space

NOT_TRIED, STOPPED, FAILED, OUTSIDE = "not tried", "stopped early", "failed", "outside its space"
"""The reasons why a cell is missing. No trial lies outside a dataset's space, and a failed trial is not repeated."""

MEASURABLE = (NOT_TRIED, STOPPED)


@dataclass(frozen=True)
class Task:
    """A dataset with a network, represented by one study that has a complete trial.

    label: distinguishes it from the other tasks. space: of the study. others: how many more studies of it there are.
    """

    label: str
    study: StudyResults
    space: Space
    others: int = 0

    @cached_property
    def best(self) -> Trial:
        """The trial of the study's best setting, or the best trial if that setting has no complete trial."""
        best = study_answer(self.study)
        return next((trial for trial in self.study.complete if best and trial.setting == best.setting), self.tried[0])

    @property
    def tried(self) -> tuple[Trial, ...]:
        """The complete trials, best first."""
        return self.study.complete


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A dataset's best setting with its accuracy, whatever metric the study optimised.

    validation, test: a finalist's means over seeds; otherwise one seed, and no test. images: for training and
    validation. trials: how many have finished. expected_loss: to the best setting tried; None in a study that compared
    no candidates, or by another metric than the accuracy. better_than_chance: as in `Answer`.
    """

    task: Task
    setting: Setting
    validation: Estimate | None
    test: Estimate | None
    gmacs: float | None
    images: int
    trials: int
    expected_loss: IntervalEstimate | None = None
    better_than_chance: bool | None = None


def task_row(task: Task) -> TaskRow:
    study, best, answer = task.study, task.best, study_answer(task.study)
    finalist = next((finalist for finalist in study.finalists if finalist.setting == best.setting), None)
    counts = study.counts
    return TaskRow(
        task,
        best.setting,
        finalist_estimate(finalist, "validation", ACCURACY) if finalist else trial_estimate(best, ACCURACY),
        finalist_estimate(finalist, "test", ACCURACY) if finalist else None,
        gmacs_of(study, best.setting),
        counts["train"] if study.folds else counts["train"] + counts["validation"],
        study.finished,
        answer.expected_loss if answer and answer.setting == best.setting and study.metric == ACCURACY else None,
        answer.better_than_chance if answer and answer.setting == best.setting else None,
    )


@dataclass(frozen=True, slots=True)
class Regret:
    """The accuracy that the best setting of one dataset loses on another, against that dataset's own best setting.

    best_of: the dataset whose best setting this is, head options included. used_on: the dataset on which it is used.
    loss: of validation accuracy, in [-1, 1], on the same images and seed; None if `missing` says why it is unknown, and
    `why` says it in more words. images: of the validation. paired: whether the images were compared one by one.
    """

    best_of: str
    used_on: str
    setting: Setting
    loss: Difference | None
    images: int
    paired: bool
    missing: str | None = None
    why: str = ""

    @property
    def is_own(self) -> bool:
        """Whether both datasets are the same; then the loss is zero by definition."""
        return self.best_of == self.used_on

    @property
    def significant(self) -> bool:
        return self.loss is not None and self.loss.significant


@dataclass(frozen=True, slots=True)
class SharedSetting:
    """One setting used on all datasets: its mean loss, its own dataset included, and the cell of its largest loss."""

    best_of: str
    setting: Setting
    mean: IntervalEstimate
    worst: Regret


@dataclass(frozen=True)
class RegretMatrix:
    """All datasets of one network. cells: by (whose best setting it is, the dataset on which it is used)."""

    tasks: tuple[Task, ...]
    cells: Mapping[tuple[str, str], Regret]

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(task.label for task in self.tasks)

    @cached_property
    def known(self) -> tuple[Regret, ...]:
        """The cells off the diagonal whose loss is known, the largest loss first."""
        losses = [(cell.loss.value, cell) for cell in self.cells.values() if cell.loss is not None and not cell.is_own]
        return tuple(cell for _, cell in sorted(losses, key=lambda pair: -pair[0]))

    @property
    def missing(self) -> tuple[Regret, ...]:
        return tuple(cell for cell in self.cells.values() if cell.loss is None)

    @cached_property
    def shared_settings(self) -> tuple[SharedSetting, ...]:
        """The best settings whose loss is known on all datasets, the least mean loss first."""
        shared = []
        for task in self.tasks:
            cells = [self.cells[task.label, label] for label in self.labels]
            losses = [cell.loss for cell in cells if cell.loss is not None]
            if len(losses) == len(cells):
                worst = max(cells, key=lambda cell: cell.loss.value if cell.loss else 0.0)
                shared.append(SharedSetting(task.label, task.best.setting, mean_difference(losses), worst))
        return tuple(sorted(shared, key=lambda setting: setting.mean.value))


def regret_matrix(tasks: Sequence[Task]) -> RegretMatrix:
    """tasks: of one network, at least one, with distinct labels."""
    pairs = product(tasks, tasks)
    cells = {(source.label, target.label): regret(source, target) for source, target in pairs}
    return RegretMatrix(tuple(tasks), cells)


def regret(source: Task, target: Task) -> Regret:
    """The loss of the best setting of `source` on `target`."""
    setting, best = source.best.setting, target.best
    trial = best if source is target else next((trial for trial in target.tried if trial.setting == setting), None)
    images = best.validation.total if best.validation else 0
    if trial is None:
        missing, why = _missing(setting, target)
        return Regret(source.label, target.label, setting, None, images, False, missing, why)
    if trial is best:
        return Regret(source.label, target.label, setting, Difference(0.0, 0.0, 0.0, 1.0), images, True)
    if best.correct_mask is None or trial.correct_mask is None:
        best_estimate, estimate = (Estimate.from_accuracy(_validated(one)) for one in (best, trial))
        return Regret(source.label, target.label, setting, best_estimate.difference(estimate), images, False)
    paired = paired_difference([best.correct_mask], [trial.correct_mask])
    return Regret(source.label, target.label, setting, paired.difference, images, True)


def _missing(setting: Setting, task: Task) -> tuple[str, str]:
    """Say why the dataset has no complete trial of the setting, in few words and in more."""
    outside = task.space.why_not(setting)
    if outside is not None:
        return OUTSIDE, outside
    last = next((trial for trial in reversed(task.study.trials) if trial.setting == setting), None)
    if last is None or last.state in ("running", "interrupted"):
        return NOT_TRIED, "it has no complete trial"
    return STOPPED if last.state == "pruned" else FAILED, last.reason or "no reason was recorded"


def _validated(trial: Trial) -> Accuracy:
    """The validation accuracy of a complete trial, which has one whatever metric was optimised."""
    if trial.validation is None:
        raise ValueError(f"trial {trial.number} has no validation accuracy")
    return trial.validation


@dataclass(frozen=True, slots=True)
class BlockBest:
    """The best one-tap trial of a dataset at a block. loss: against the best of all blocks, in [0, 1]."""

    block: int
    trial: Trial
    validation: Estimate
    loss: float


def best_by_block(task: Task) -> tuple[BlockBest, ...]:
    """The blocks that were tried, in execution order, each with its most accurate trial."""
    best: dict[int, Trial] = {}
    for trial in task.tried:
        before = best.get(trial.setting.block)
        if not trial.setting.further and (before is None or _validated(trial).value > _validated(before).value):
            best[trial.setting.block] = trial
    estimates = {block: Estimate.from_accuracy(_validated(trial)) for block, trial in sorted(best.items())}
    top = max((estimate.value for estimate in estimates.values()), default=0.0)
    return tuple(BlockBest(block, best[block], estimate, top - estimate.value) for block, estimate in estimates.items())
