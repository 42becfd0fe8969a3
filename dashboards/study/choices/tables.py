"""Tables of how much each choice matters, and how two choices depend on each other."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from dashboards.selection.answer import answer_setting
from dashboards.study.tables import trial_estimate
from dashboards.tables import Estimate, ascending
from objectives.results import StudyResults, Trial
from spaces import Setting

CHOICES = ("block", "timestep", "pool", "head", "draws")
"""The choices that every setting makes. Head options are left out: each belongs to one head."""


@dataclass(frozen=True, slots=True)
class Importance:
    """The importance of one choice among the settings that were tried.

    shares: by an evaluator's name, each in [0, 1]; empty if it cannot be told. An evaluator's shares of all choices sum
    to 1. intervals: 95 % intervals of the shares, (low, high). withheld: why it cannot be told, "2 of 8 values tried".
    """

    choice: str
    shares: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    withheld: str | None = None

    @property
    def mean(self) -> float:
        """The mean of the shares; 0 if there are none."""
        return fmean(self.shares.values()) if self.shares else 0.0


def varied(study: StudyResults) -> dict[str, tuple[int | str | None, ...]]:
    """The choices with more than one value among the complete one-tap trials, and those values in ascending order."""
    tried = {
        choice: _ascending(value_of(trial.setting, choice) for trial in one_tap_trials(study)) for choice in CHOICES
    }
    return {choice: values for choice, values in tried.items() if len(values) > 1}


def one_tap_trials(study: StudyResults) -> list[Trial]:
    """The complete trials that read one tap, best first."""
    return [trial for trial in study.complete if not trial.setting.further]


def value_of(setting: Setting, choice: str) -> int | str | None:
    value: int | str | None = getattr(setting, choice)
    return value


@dataclass(frozen=True, slots=True)
class Pair:
    """The best of the `count` trials at one value of each of two choices."""

    trial: int
    setting: Setting
    best: Estimate
    count: int


@dataclass(frozen=True)
class Interaction:
    """Two choices, `row` and `column`, and the values of each in the space, ascending. Untried pairs are missing.

    answer: the (row, column) values of the answer, where it reads one tap.
    """

    row: str
    column: str
    rows: tuple[int | str | None, ...]
    columns: tuple[int | str | None, ...]
    cells: Mapping[tuple[int | str | None, int | str | None], Pair]
    answer: tuple[int | str | None, int | str | None] | None = None

    @property
    def framed(self) -> tuple[int | str | None, int | str | None]:
        """The pair that a figure frames: that of the answer, else that of the best trial."""
        return self.answer if self.answer is not None and self.answer in self.cells else self.best

    @property
    def best(self) -> tuple[int | str | None, int | str | None]:
        """The (row, column) values of the best trial."""
        return next(iter(self.cells))

    def exceptions(self) -> tuple[list[int | str | None], int]:
        """The rows where the best trial's column is significantly worse than another, and how many rows allow the
        comparison: those in which both it and another column were tried."""
        _, favourite = self.best
        behind: list[int | str | None] = []
        compared = 0
        for row in self.rows:
            mine = self.cells.get((row, favourite))
            others = [self.cells[row, c].best for c in self.columns if c != favourite and (row, c) in self.cells]
            if mine is not None and others:
                compared += 1
                best = max(others, key=lambda estimate: estimate.score)
                if best.score > mine.best.score and not best.tied_with(mine.best):
                    behind.append(row)
        return behind, compared


def interaction(study: StudyResults, importances: Sequence[Importance]) -> Interaction | None:
    """The two choices that matter most, together; None if fewer than two were varied.

    Block and timestep have a figure of their own. If they are the first two, the less important one makes room for the
    third choice.
    """
    tried = varied(study)
    first = [row.choice for row in sorted(importances, key=lambda row: -row.mean) if row.choice in tried]
    if len(first) > 2 and {*first[:2]} == {"block", "timestep"}:
        first.pop(1)
    if len(first) < 2:
        return None
    # Values of the space that were not tried have their place too.
    spaces = {choice: _of_space(study, choice, tried[choice]) for choice in first[:2]}
    # The choice with more values goes to the rows, which have room for long labels.
    column, row = sorted(first[:2], key=lambda choice: len(spaces[choice]))
    cells: dict[tuple[int | str | None, int | str | None], list[Trial]] = {}
    for trial in one_tap_trials(study):
        cells.setdefault((value_of(trial.setting, row), value_of(trial.setting, column)), []).append(trial)
    pairs = {}
    for key, trials in cells.items():
        estimate = trial_estimate(trials[0], study.metric)
        assert estimate is not None  # complete trials have one
        pairs[key] = Pair(trials[0].number, trials[0].setting, estimate, len(trials))
    answer = answer_setting(study)
    framed = (value_of(answer, row), value_of(answer, column)) if answer and not answer.further else None
    return Interaction(row, column, spaces[row], spaces[column], pairs, framed)


def _of_space(study: StudyResults, choice: str, tried: Iterable[int | str | None]) -> tuple[int | str | None, ...]:
    """The values of a choice in the study's space, and those tried, ascending."""
    values = next((covered.values for covered in study.coverage if covered.choice == choice), ())
    return _ascending([*values, *tried])


def _ascending(values: Iterable[int | str | None]) -> tuple[int | str | None, ...]:
    """The distinct values, numbers before words; an encoder's None comes first."""
    distinct = set(values)
    words = sorted(value for value in distinct if isinstance(value, str))
    return (*ascending(value for value in distinct if not isinstance(value, str)), *words)
