"""Which trials earn more images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True, slots=True)
class Halving:
    """Asynchronous successive halving (Li et al. 2020, "A system for massively parallel hyperparameter tuning").

    A trial goes on from a rung if it is among the best 1 / eta of those that have reported the rung, itself included;
    where fewer than `others` have before it, in any case.

    Optuna's SuccessiveHalvingPruner takes its rungs from the steps of intermediate values, which here are epochs, and
    while it waits for others it stops trials rather than let them go on. Its PercentilePruner compares with complete
    trials alone: those that had been good enough.
    """

    eta: int = 2
    others: int = 1

    def stops(self, score: float, others: Sequence[float]) -> bool:
        """worth: of the trial; others: of those that reported the rung before. The more the better."""
        if len(others) < self.others:
            return False
        better = sum(other > score for other in others)
        return better >= max(1, (len(others) + 1) // self.eta)
