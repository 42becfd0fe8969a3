"""Tables of numbers computed from a study: what the figures draw and the report prints. No drawing, no words."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from math import hypot
from typing import Self, TypeVar

from objectives.results import ACCURACY, Accuracy, Finalist, IntervalEstimate, Metric, Part, StudyResults, Trial
from spaces import Block, Setting

FINALS_PHASE = "finals"

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric's value and its 95 % interval; `images` is how many it was measured on."""

    value: float
    low: float
    high: float
    images: int
    metric: Metric = ACCURACY

    @classmethod
    def of(cls, accuracy: Accuracy) -> Self:
        return cls(accuracy.value, *accuracy.interval(), accuracy.total)

    @classmethod
    def measured(cls, measured: IntervalEstimate, images: int, metric: Metric) -> Self:
        return cls(measured.value, measured.low, measured.high, images, metric)

    @property
    def score(self) -> float:
        """The more the better."""
        return self.metric.score(self.value)

    def tied_with(self, other: Self) -> bool:
        """Whether the interval of the difference holds zero, whichever of the two is the better.

        The interval is built of the two (Newcombe 1998, method 10, of Wilson's; Zou and Donner 2008, of any). It takes
        the images as independent; where both were measured on the same ones it is too wide, so it rather calls a tie.
        """
        more, less = (self, other) if self.value >= other.value else (other, self)
        return more.value - less.value <= hypot(more.value - more.low, less.high - less.value)


@dataclass(frozen=True, slots=True)
class FinalistRow:
    """A finalist with its means over `seeds`. `tied`: on validation it cannot be told from the chosen one."""

    setting: Setting
    seeds: tuple[int, ...]
    validation: Estimate
    test: Estimate
    tied: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """The setting to use: the best finalist by the mean on validation, or else the best trial.

    validation, test: by the study's metric. trial: the number of the trial that found it, None where the study no
    longer holds one. seeds and test: of the finalist, empty and None for a trial. tied: the other finalists that
    validation cannot tell from it.
    """

    setting: Setting
    trial: int | None
    validation: Estimate
    test: Estimate | None
    seeds: tuple[int, ...]
    tied: tuple[Setting, ...]

    @property
    def final(self) -> bool:
        """Whether it was re-evaluated over seeds and tested; a best trial alone is biased upwards."""
        return self.test is not None


def finalists(study: StudyResults) -> tuple[FinalistRow, ...]:
    """The finalists, best mean on validation first; the first is the chosen one."""
    if not study.finalists:
        return ()
    metric = study.metric
    best = _mean(study.finalists[0], "validation", metric)
    return tuple(
        FinalistRow(
            finalist.setting,
            tuple(sorted(final.seed for final in finalist.finals)),
            _mean(finalist, "validation", metric),
            _mean(finalist, "test", metric),
            _mean(finalist, "validation", metric).tied_with(best),
        )
        for finalist in study.finalists
    )


def answer(study: StudyResults) -> Answer | None:
    """None where no trial is complete and nothing was re-evaluated."""
    rows = finalists(study)
    if rows:
        best, *others = rows
        found = next((trial.number for trial in study.complete if trial.setting == best.setting), None)
        tied = tuple(row.setting for row in others if row.tied)
        return Answer(best.setting, found, best.validation, best.test, best.seeds, tied)
    if study.complete:
        trial = study.complete[0]
        return Answer(trial.setting, trial.number, _validation(trial, study.metric), None, (), ())
    return None


@dataclass(frozen=True, slots=True)
class LeaderboardRow:
    rank: int
    trial: int
    setting: Setting
    validation: Estimate
    seconds: float
    passes_made: int


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """The best trials. `complete`: of how many. `tied`: how many cannot be told from the first, itself included."""

    rows: tuple[LeaderboardRow, ...]
    complete: int
    tied: int


def leaderboard(study: StudyResults, top: int = 10) -> Leaderboard:
    rows = tuple(
        LeaderboardRow(rank, t.number, t.setting, _validation(t, study.metric), _seconds(t), t.passes_made)
        for rank, t in enumerate(study.complete[:top], start=1)
    )
    tied = sum(_validation(trial, study.metric).tied_with(rows[0].validation) for trial in study.complete)
    return Leaderboard(rows, len(study.complete), tied)


@dataclass(frozen=True, slots=True)
class Cell:
    """The best of the `count` settings tried at one block and timestep, over pooling, head and the rest.

    trial: the number of the one that tried it; None outside a study, where settings are not tried in trials.
    """

    block: Block
    timestep: int | None
    count: int
    trial: int | None
    setting: Setting
    best: Estimate


@dataclass(frozen=True)
class BlockByTimestep:
    """Of settings that read one tap. blocks: the whole block table, in execution order. timesteps: those tried, rising;
    an encoder's is None.

    cells: by (block number, timestep); a pair that was not tried is missing, never zero. best: the cell of the setting
    to use, in a study that of the best trial; None where there is none. measured: how, as before "accuracy".
    """

    blocks: tuple[Block, ...]
    timesteps: tuple[int | None, ...]
    cells: Mapping[tuple[int, int | None], Cell]
    best: Cell | None
    measured: str = "validation"


def block_by_timestep(study: StudyResults) -> BlockByTimestep:
    alone = [trial for trial in study.complete if not trial.setting.further]
    groups = _grouped(alone, lambda trial: (trial.setting.block, trial.setting.timestep))
    cells = {
        (number, timestep): Cell(
            study.architecture.block(number),
            timestep,
            len(trials),
            trials[0].number,
            trials[0].setting,
            _validation(trials[0], study.metric),
        )
        for (number, timestep), trials in groups.items()
    }
    best = next(iter(cells.values()), None)  # trials come best first, and so do their groups
    return BlockByTimestep(study.architecture.blocks, rising(timestep for _, timestep in cells), cells, best)


def rising(timesteps: Iterable[int | None]) -> tuple[int | None, ...]:
    """Each once; an encoder's None before all."""
    return tuple(sorted(set(timesteps), key=lambda timestep: -1 if timestep is None else timestep))


@dataclass(frozen=True, slots=True)
class Group:
    """What was tried of one choice: the complete trials of a study. values: of theirs by the metric, best first."""

    name: str
    setting: Setting
    best: Estimate
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        middle = len(self.values) // 2
        return (self.values[middle] + self.values[-1 - middle]) / 2


def by_pooling(study: StudyResults) -> tuple[Group, ...]:
    """One group for each pool size tried, smallest first; its name is the size."""
    groups = _grouped(study.complete, lambda trial: trial.setting.pool)
    return tuple(_group(str(pool), trials, study.metric) for pool, trials in sorted(groups.items()))


def by_head(study: StudyResults) -> tuple[Group, ...]:
    """One group for each head tried, in alphabetical order."""
    groups = _grouped(study.complete, lambda trial: trial.setting.head)
    return tuple(_group(head, trials, study.metric) for head, trials in sorted(groups.items()))


def by_taps(study: StudyResults) -> tuple[Group, ...]:
    """One group for each number of taps tried, fewest first; its name is the number."""
    groups = _grouped(study.complete, lambda trial: len(trial.setting.taps))
    return tuple(_group(str(taps), trials, study.metric) for taps, trials in sorted(groups.items()))


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """One complete trial's value on validation, and the best of all complete trials up to it.

    finished: as of a `Trial`.
    """

    trial: int
    setting: Setting
    value: float
    best: float
    metric: Metric = ACCURACY
    finished: float | None = None


def history(study: StudyResults) -> tuple[HistoryPoint, ...]:
    """The complete trials in the order of their numbers."""
    return _history(study, sorted(study.complete, key=lambda trial: trial.number))


def history_by_time(study: StudyResults) -> tuple[HistoryPoint, ...]:
    """Those of which it is known when they ended, in that order."""
    timed = [trial for trial in study.complete if trial.finished is not None]
    return _history(study, sorted(timed, key=lambda trial: trial.finished or 0.0))


def _history(study: StudyResults, trials: Iterable[Trial]) -> tuple[HistoryPoint, ...]:
    points: list[HistoryPoint] = []
    for trial in trials:
        value = _validation(trial, study.metric).value
        best = max([value, *(point.best for point in points[-1:])], key=study.metric.score)
        points.append(HistoryPoint(trial.number, trial.setting, value, best, study.metric, trial.finished))
    return tuple(points)


@dataclass(frozen=True, slots=True)
class Phase:
    """Seconds of work in one phase, summed over all trials of all workers; share in [0, 1] of all phases."""

    name: str
    seconds: float
    share: float


def time_by_phase(study: StudyResults) -> tuple[Phase, ...]:
    """The phases that trials reported, and the re-evaluation of finalists as "finals"; longest first, none of zero."""
    seconds: dict[str, float] = defaultdict(float)
    for trial in study.trials:
        for name, value in trial.seconds.items():
            seconds[name] += value
    seconds[FINALS_PHASE] += sum(final.seconds for final in study.finals)
    total = sum(seconds.values())
    longest_first = sorted(seconds.items(), key=lambda phase: -phase[1])
    return tuple(Phase(name, value, value / total) for name, value in longest_first if value > 0)


@dataclass(frozen=True, slots=True)
class Passes:
    """U-Net passes over one image each: made, and needed had nothing been cached."""

    made: int
    needed: int

    @property
    def saved(self) -> int:
        return self.needed - self.made


def passes(study: StudyResults) -> Passes:
    return Passes(study.passes_made, study.passes_needed)


@dataclass(frozen=True, slots=True)
class TrialCounts:
    complete: int
    pruned: int
    failed: int
    running: int

    @property
    def total(self) -> int:
        return self.complete + self.pruned + self.failed + self.running


@dataclass(frozen=True, slots=True)
class Failure:
    """The failed trials that gave one reason."""

    reason: str
    trials: tuple[int, ...]


def trial_counts(study: StudyResults) -> TrialCounts:
    return TrialCounts(study.count("complete"), study.count("pruned"), study.count("failed"), study.count("running"))


def failures(study: StudyResults) -> tuple[Failure, ...]:
    """The most frequent reason first."""
    failed = (trial for trial in study.trials if trial.state == "failed")
    groups = _grouped(failed, lambda trial: trial.reason or "no reason was recorded")
    rows = [Failure(reason, tuple(sorted(trial.number for trial in trials))) for reason, trials in groups.items()]
    return tuple(sorted(rows, key=lambda row: (-len(row.trials), row.trials)))


def _validation(trial: Trial, metric: Metric) -> Estimate:
    """Of a complete trial."""
    found = trial_estimate(trial, metric)
    if found is None:
        raise ValueError(f"trial {trial.number} has no validation {metric.label}")
    return found


def trial_estimate(trial: Trial, metric: Metric) -> Estimate | None:
    """On validation; None where it was not kept."""
    measured, images = trial.estimate(metric), trial.validation.total if trial.validation else 0
    return Estimate.measured(measured, images, metric) if measured else None


def _mean(finalist: Finalist, part: Part, metric: Metric) -> Estimate:
    """By the study's metric, which every final of it has kept."""
    found = finalist_estimate(finalist, part, metric)
    if found is None:
        raise ValueError(f"the finalist {finalist.setting} has no {part} {metric.label}")
    return found


def finalist_estimate(finalist: Finalist, part: Part, metric: Metric) -> Estimate | None:
    """The mean over seeds; None where it was not kept."""
    measured, first = finalist.estimate(part, metric), finalist.finals[0]
    images = first.validation.total if part == "validation" else first.test.total
    return Estimate.measured(measured, images, metric) if measured else None


def _seconds(trial: Trial) -> float:
    return sum(trial.seconds.values())


def _group(name: str, trials: list[Trial], metric: Metric) -> Group:
    """Of trials that come best first, as `Study.complete` has them."""
    values = tuple(_validation(trial, metric).value for trial in trials)
    return Group(name, trials[0].setting, _validation(trials[0], metric), values)


def _grouped(trials: Iterable[Trial], key: Callable[[Trial], Key]) -> dict[Key, list[Trial]]:
    """The trials by key, each list in the order given."""
    groups: dict[Key, list[Trial]] = defaultdict(list)
    for trial in trials:
        groups[key(trial)].append(trial)
    return groups
