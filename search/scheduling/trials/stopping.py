"""The two rules that stop a trial early: the median rule after an epoch, successive halving on a rung of images."""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import final

import optuna
from optuna.pruners import BasePruner, MedianPruner
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState


def default_pruner() -> BasePruner:
    """Return the median stopping rule (Golovin et al. 2017, "Google Vizier", section 3.2).

    From its third epoch on a trial is stopped if it is below the median of at least five others at the same epoch.
    Heads that are fitted in one step report no epochs: they are not pruned, and do not count as others.
    """
    return MedianPruner(n_startup_trials=0, n_warmup_steps=3, n_min_trials=5)


@final
class OwnTrialsStudy(optuna.Study):
    """A study as a pruner sees it: with its own trials alone, without those of people and other programs."""

    def __init__(self, study: optuna.Study, storage: BaseStorage, own: Callable[[], Sequence[FrozenTrial]]) -> None:
        super().__init__(study.study_name, storage)
        self._own = own

    def get_trials(self, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        return [trial for trial in self._own() if states is None or trial.state in states]


@final
@dataclass(frozen=True, slots=True)
class Halving:
    """Asynchronous successive halving (Li et al. 2020, "A system for massively parallel hyperparameter tuning").

    A trial continues from a rung if it is among the best 1 / eta of the trials that have reported that rung, itself
    included. It also continues if fewer than `min_others` have reported the rung before.

    Optuna's SuccessiveHalvingPruner does not fit: its rungs are steps of intermediate values, which are epochs here,
    and it stops trials while it waits for others. Nor does its PercentilePruner: it compares with complete trials
    alone, which were the good ones.
    """

    eta: int = 2
    min_others: int = 1

    def stops(self, score: float, others: Sequence[float]) -> bool:
        """Return whether a trial stops at a rung.

        score: of the trial; more is better. others: the scores of the trials that reported the rung before.
        """
        if len(others) < self.min_others:
            return False
        better = sum(other > score for other in others)
        return better >= max(1, (len(others) + 1) // self.eta)
