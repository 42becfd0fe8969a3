"""What accuracy costs: the settings of a study by the multiply-accumulates that they take, as those of `summaries`."""

from dataclasses import dataclass

from dashboards.study.tables import Estimate, finalist_estimate, trial_estimate
from objectives.results import StudyResults, Trial
from spaces import Setting


@dataclass(frozen=True, slots=True)
class CostPoint:
    """A complete trial by the study's metric.

    gmacs: as of `objectives.results.Trial`. validation: of one seed. test: a finalist's mean over seeds, None where the
    setting was not tested.
    """

    trial: int
    setting: Setting
    gmacs: float
    validation: Estimate
    test: Estimate | None


@dataclass(frozen=True, slots=True)
class TradeOff:
    """front: of `StudyResults.pareto_front`, cheapest first and best last; at least one. others: the best first."""

    front: tuple[CostPoint, ...]
    others: tuple[CostPoint, ...]

    @property
    def best(self) -> CostPoint:
        return self.front[-1]

    @property
    def tied(self) -> CostPoint:
        """The cheapest of the front that validation cannot tell from the best; the best where there is no other."""
        return next(point for point in self.front if point.validation.tied_with(self.best.validation))


def trade_off(study: StudyResults) -> TradeOff | None:
    """Of the complete trials whose cost was kept; None where there are none."""
    points = [point for trial in study.complete if (point := _point(trial, study))]
    numbers = {trial.number for trial in study.pareto_front}
    front = sorted((point for point in points if point.trial in numbers), key=lambda point: point.gmacs)
    others = tuple(point for point in points if point.trial not in numbers)
    return TradeOff(tuple(front), others) if front else None


def gmacs_of(study: StudyResults, setting: Setting) -> float | None:
    """A setting's cost by the trial that tried it; None where there is none, or it was not kept."""
    return next((trial.gmacs for trial in study.complete if trial.setting == setting), None)


def _point(trial: Trial, study: StudyResults) -> CostPoint | None:
    validation = trial_estimate(trial, study.metric)
    if trial.gmacs is None or validation is None:
        return None
    tested = next((finalist for finalist in study.finalists if finalist.setting == trial.setting), None)
    test = finalist_estimate(tested, "test", study.metric) if tested else None
    return CostPoint(trial.number, trial.setting, trial.gmacs, validation, test)
