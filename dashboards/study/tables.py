"""Tables of numbers computed from a study: the figures draw them and the report prints them."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from dashboards.selection.answer import answer_setting
from dashboards.tables import BlockByTimestep, Cell, Estimate, Group, ascending, grouped
from objectives.results import ACCURACY, Finalist, Metric, Part, StudyResults, Trial
from spaces import Setting

FINALS_PHASE = "finals"


@dataclass(frozen=True, slots=True)
class FinalistRow:
    """A finalist with its means over `seeds`. tied: on validation it does not differ significantly from the best."""

    setting: Setting
    seeds: tuple[int, ...]
    validation: Estimate
    test: Estimate
    tied: bool


def finalists(study: StudyResults) -> tuple[FinalistRow, ...]:
    """The finalists: the answer first, then the others, best mean on validation first. tied: with the best mean."""
    if not study.finalists:
        return ()
    metric, answer = study.metric, answer_setting(study)
    best = _mean(study.finalists[0], "validation", metric)
    return tuple(
        FinalistRow(
            finalist.setting,
            tuple(sorted(final.seed for final in finalist.finals)),
            _mean(finalist, "validation", metric),
            _mean(finalist, "test", metric),
            _mean(finalist, "validation", metric).tied_with(best),
        )
        for finalist in sorted(study.finalists, key=lambda finalist: finalist.setting != answer)
    )


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
    """The best trials.

    complete: how many complete trials there are. tied: how many of them do not differ significantly from the first,
    which is counted too.
    """

    rows: tuple[LeaderboardRow, ...]
    complete: int
    tied: int


def leaderboard(study: StudyResults, top: int = 10) -> Leaderboard:
    rows = tuple(
        LeaderboardRow(
            rank,
            trial.number,
            trial.setting,
            _validation(trial, study.metric),
            sum(trial.seconds.values()),
            trial.passes_made,
        )
        for rank, trial in enumerate(study.complete[:top], start=1)
    )
    tied = sum(_validation(trial, study.metric).tied_with(rows[0].validation) for trial in study.complete)
    return Leaderboard(rows, len(study.complete), tied)


def block_by_timestep(study: StudyResults) -> BlockByTimestep:
    """The complete trials that read one tap, by block and timestep of the space."""
    one_tap = [trial for trial in study.complete if not trial.setting.further]
    groups = grouped(one_tap, lambda trial: (trial.setting.block, trial.setting.timestep))
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
    answer = answer_setting(study)
    return BlockByTimestep(
        tuple(study.architecture.block(number) for number in blocks_of(study)),
        timesteps_of(study),
        cells,
        None if answer is None or answer.further else cells.get((answer.block, answer.timestep)),
        screened=frozenset((setting.block, setting.timestep) for setting in study.screened),
    )


def blocks_of(study: StudyResults) -> tuple[int, ...]:
    """The blocks of the space and those that were tried, ascending; all of the network where the space is not known."""
    tried = (tap.block for trial in study.complete for tap in trial.setting.taps)
    space = study.space.blocks if study.space else (block.number for block in study.architecture.blocks)
    return tuple(sorted({*space, *tried}))


def timesteps_of(study: StudyResults) -> tuple[int | None, ...]:
    """The timesteps of the space and those that were tried, ascending; an encoder has only None."""
    tried = (tap.timestep for trial in study.complete for tap in trial.setting.taps)
    return ascending([*(study.space.timesteps if study.space else ()), *tried])


def pooling_groups(study: StudyResults) -> tuple[Group, ...]:
    """One group for each pool size tried, smallest first; its name is the size."""
    return _groups(study, lambda setting: setting.pool)


def head_groups(study: StudyResults) -> tuple[Group, ...]:
    """One group for each head tried, in alphabetical order."""
    return _groups(study, lambda setting: setting.head)


def tap_groups(study: StudyResults) -> tuple[Group, ...]:
    """One group for each number of taps tried, fewest first; its name is the number."""
    return _groups(study, lambda setting: len(setting.taps))


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """A complete trial's value on validation, and the best value of all complete trials up to it.

    finished: seconds of the study's running time; None if they were not kept.
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
    """The complete trials whose end time is known, in the order in which they ended."""
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
    """Seconds of work in one phase, summed over all trials of all workers. share: of all phases, in [0, 1]."""

    name: str
    seconds: float
    share: float


def time_by_phase(study: StudyResults) -> tuple[Phase, ...]:
    """The phases of all trials, and the re-evaluation of finalists as "finals". Longest first; none of zero seconds."""
    seconds: dict[str, float] = defaultdict(float)
    for trial in study.trials:
        for name, value in trial.seconds.items():
            seconds[name] += value
    seconds[FINALS_PHASE] += sum(final.seconds for final in study.finals)
    seconds[FINALS_PHASE] += sum(reevaluation.seconds for reevaluation in study.reevaluations)
    total = sum(seconds.values())
    longest_first = sorted(seconds.items(), key=lambda phase: -phase[1])
    return tuple(Phase(name, value, value / total) for name, value in longest_first if value > 0)


STAGE_ORDER = ("start", "screening", "trials", "finals", "end")

NOT_KEPT = "not kept"
"""The running time whose stage was not kept: of runs that were killed, and of runs before schema 0009."""


def stages(study: StudyResults) -> tuple[Phase, ...]:
    """The running time by what the runs were doing, in that order; it adds up. Empty where no run kept its stages."""
    seconds = {name: study.stages[name] for name in STAGE_ORDER if name in study.stages}
    if not seconds:
        return ()
    rest = study.wall_seconds - sum(seconds.values())
    if rest > max(1.0, 0.01 * study.wall_seconds):
        seconds[NOT_KEPT] = rest
    total = sum(seconds.values())
    return tuple(Phase(name, value, value / total) for name, value in seconds.items())


@dataclass(frozen=True, slots=True)
class Passes:
    """Forward passes of one image each.

    made: all that were made for the study. needed: those of a plain script, which makes its own for each trial and
    final. screening, unfinished: how many of those made were for the screening, and for trials that did not finish.
    """

    made: int
    needed: int
    screening: int = 0
    unfinished: int = 0

    @property
    def saved(self) -> int:
        return self.needed - self.made


def passes(study: StudyResults) -> Passes:
    return Passes(study.passes_made, study.passes_needed, study.screening_passes, study.unfinished_passes)


@dataclass(frozen=True, slots=True)
class TrialCounts:
    """waiting, others: trials that no number of the study counts, see StudyResults. interrupted: see TrialState."""

    complete: int
    pruned: int
    failed: int
    running: int
    waiting: int = 0
    others: int = 0
    interrupted: int = 0

    @property
    def total(self) -> int:
        return self.complete + self.pruned + self.failed + self.running + self.interrupted


@dataclass(frozen=True, slots=True)
class Failure:
    """The failed trials that gave the same reason."""

    reason: str
    trials: tuple[int, ...]


def trial_counts(study: StudyResults) -> TrialCounts:
    states = study.count("complete"), study.count("pruned"), study.count("failed"), study.count("running")
    return TrialCounts(*states, study.waiting, study.others, study.count("interrupted"))


def failures(study: StudyResults) -> tuple[Failure, ...]:
    """The most frequent reason first."""
    failed = (trial for trial in study.trials if trial.state == "failed")
    groups = grouped(failed, lambda trial: trial.reason or "no reason was recorded")
    rows = [Failure(reason, tuple(sorted(trial.number for trial in trials))) for reason, trials in groups.items()]
    return tuple(sorted(rows, key=lambda row: (-len(row.trials), row.trials)))


def trial_estimate(trial: Trial, metric: Metric) -> Estimate | None:
    """A trial's value on validation; None if it was not kept."""
    measured, images = trial.estimate(metric), trial.validation.total if trial.validation else 0
    return Estimate.from_measured(measured, images, metric) if measured else None


def finalist_estimate(finalist: Finalist, part: Part, metric: Metric) -> Estimate | None:
    """A finalist's mean over seeds; None if it was not kept."""
    measured, first = finalist.estimate(part, metric), finalist.finals[0]
    images = first.validation.total if part == "validation" else first.test.total
    return Estimate.from_measured(measured, images, metric) if measured else None


def _validation(trial: Trial, metric: Metric) -> Estimate:
    """A complete trial's value on validation."""
    estimate = trial_estimate(trial, metric)
    if estimate is None:
        raise ValueError(f"trial {trial.number} has no validation {metric.label}")
    return estimate


def _mean(finalist: Finalist, part: Part, metric: Metric) -> Estimate:
    """A finalist's mean by the study's metric, which every final of the study has kept."""
    estimate = finalist_estimate(finalist, part, metric)
    if estimate is None:
        raise ValueError(f"the finalist {finalist.setting} has no {part} {metric.label}")
    return estimate


def _groups(study: StudyResults, key: Callable[[Setting], Any]) -> tuple[Group, ...]:
    """One group for each value of a choice, in ascending order. Each has its trials best first."""
    groups = grouped(study.complete, lambda trial: key(trial.setting))
    answer = answer_setting(study)
    return tuple(
        Group(
            str(value),
            trials[0].setting,
            _validation(trials[0], study.metric),
            tuple(_validation(trial, study.metric).value for trial in trials),
            answer is not None and key(answer) == value,
        )
        for value, trials in sorted(groups.items())
    )
