"""A table of accuracy against cost: the settings of a study by their multiply-accumulates for an image."""

from dataclasses import dataclass

from dashboards.study.tables import finalist_estimate, trial_estimate
from dashboards.tables import Estimate
from objectives.results import StudyResults, Trial
from spaces import Setting


@dataclass(frozen=True, slots=True)
class CostPoint:
    """A complete trial with its cost and its values by the study's metric.

    gmacs: 1e9 multiply-accumulates to classify an image. validation: on one seed. test: a finalist's mean over seeds;
    None if the setting was not tested.
    """

    trial: int
    setting: Setting
    gmacs: float
    validation: Estimate
    test: Estimate | None


@dataclass(frozen=True, slots=True)
class TradeOff:
    """All complete trials whose cost is known.

    pareto_front: at least one, the cheapest first and the best last. others: the best first.
    """

    pareto_front: tuple[CostPoint, ...]
    others: tuple[CostPoint, ...]

    @property
    def best(self) -> CostPoint:
        return self.pareto_front[-1]

    @property
    def tied(self) -> CostPoint:
        """The cheapest on the Pareto front that does not differ significantly from the best; the best if none is."""
        return next(point for point in self.pareto_front if point.validation.tied_with(self.best.validation))


def trade_off(study: StudyResults) -> TradeOff | None:
    """None if no complete trial has a known cost."""
    points = [point for trial in study.complete if (point := _point(trial, study))]
    numbers = {trial.number for trial in study.pareto_front}
    front = sorted((point for point in points if point.trial in numbers), key=lambda point: point.gmacs)
    others = tuple(point for point in points if point.trial not in numbers)
    return TradeOff(tuple(front), others) if front else None


def gmacs_of(study: StudyResults, setting: Setting) -> float | None:
    """The cost of a setting from a trial that tried it; None if there is no such trial, or its cost was not kept."""
    return next((trial.gmacs for trial in study.complete if trial.setting == setting), None)


def _point(trial: Trial, study: StudyResults) -> CostPoint | None:
    validation = trial_estimate(trial, study.metric)
    if trial.gmacs is None or validation is None:
        return None
    tested = next((finalist for finalist in study.finalists if finalist.setting == trial.setting), None)
    test = finalist_estimate(tested, "test", study.metric) if tested else None
    return CostPoint(trial.number, trial.setting, trial.gmacs, validation, test)
