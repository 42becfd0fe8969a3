"""How much each choice matters, and how two of them depend on each other: tables as those of `summaries`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from dashboards.study.tables import Estimate, rising, trial_estimate
from objectives.results import StudyResults, Trial
from spaces import Setting

CHOICES = ("block", "timestep", "pool", "head", "draws")
"""That every setting makes; options belong to one head each."""


@dataclass(frozen=True, slots=True)
class Importance:
    """Of one choice among the settings that were tried. shares: by an evaluator's name, each in [0, 1]; an evaluator's
    shares of all choices sum to 1."""

    choice: str
    shares: Mapping[str, float]

    @property
    def mean(self) -> float:
        return fmean(self.shares.values())


def varied(study: StudyResults) -> dict[str, tuple[int | str | None, ...]]:
    """The choices of which complete trials that read one tap have tried more than one value, with those, rising."""
    tried = {choice: _rising(value_of(trial.setting, choice) for trial in alone(study)) for choice in CHOICES}
    return {choice: values for choice, values in tried.items() if len(values) > 1}


def alone(study: StudyResults) -> list[Trial]:
    """The complete trials that read one tap, the best first."""
    return [trial for trial in study.complete if not trial.setting.further]


def value_of(setting: Setting, choice: str) -> int | str | None:
    found: int | str | None = getattr(setting, choice)
    return found


@dataclass(frozen=True, slots=True)
class Pair:
    """The best of the `count` trials at one value of each of two choices."""

    trial: int
    setting: Setting
    best: Estimate
    count: int


@dataclass(frozen=True)
class Interaction:
    """Two choices, `row` and `column`, with the values tried of each, rising; a pair that was not tried is missing."""

    row: str
    column: str
    rows: tuple[int | str | None, ...]
    columns: tuple[int | str | None, ...]
    cells: Mapping[tuple[int | str | None, int | str | None], Pair]

    @property
    def best(self) -> tuple[int | str | None, int | str | None]:
        """The values of the best trial of all."""
        return next(iter(self.cells))

    def exceptions(self) -> tuple[list[int | str | None], int]:
        """The rows in which the column of the best trial is behind another by more than the noise, and of how many:
        those in which both it and another were tried."""
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
    """Of the two choices that matter most; but of block and timestep, which a figure of their own shows, the one that
    matters more and the next choice. None where fewer than two were varied."""
    tried = varied(study)
    first = [each.choice for each in sorted(importances, key=lambda each: -each.mean) if each.choice in tried]
    if len(first) > 2 and {*first[:2]} == {"block", "timestep"}:
        first.pop(1)
    if len(first) < 2:
        return None
    # The choice of more values has the rows, where labels are long and room is to be had.
    column, row = sorted(first[:2], key=lambda choice: len(tried[choice]))
    cells: dict[tuple[int | str | None, int | str | None], list[Trial]] = {}
    for trial in alone(study):
        cells.setdefault((value_of(trial.setting, row), value_of(trial.setting, column)), []).append(trial)
    pairs = {}
    for key, trials in cells.items():
        estimate = trial_estimate(trials[0], study.metric)
        assert estimate is not None  # complete trials have one
        pairs[key] = Pair(trials[0].number, trials[0].setting, estimate, len(trials))
    return Interaction(row, column, tried[row], tried[column], pairs)


def _rising(values: Iterable[int | str | None]) -> tuple[int | str | None, ...]:
    """Each once; an encoder's None first."""
    found = set(values)
    words = sorted(value for value in found if isinstance(value, str))
    return (*rising(value for value in found if not isinstance(value, str)), *words)
