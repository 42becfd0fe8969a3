"""The samplers that a search can use, by name."""

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import GPSampler, QMCSampler, TPESampler

from search.samplers.optuna_adapter import SamplerProposer
from search.samplers.proposers import GreedyProposer, GridProposer, Proposer, RandomProposer, StartingProposer
from spaces import Space
from spaces.lookup import lookup

if TYPE_CHECKING:
    from search.surrogates.past_tasks import PriorKnowledge


def _tpe(seed: int, prior: "PriorKnowledge | None" = None) -> Proposer:
    """The multivariate tree-structured Parzen estimator (Bergstra et al. 2011; Falkner et al. 2018).

    TPE takes the best of 24 candidates. On a finite space that was a taken setting for half of 150 trials, and remained
    one when TPE was asked again. So each further attempt has half the candidates, and settles for another good setting.
    """
    return SamplerProposer(
        seed,
        lambda new_seed, attempt: TPESampler(
            seed=new_seed, multivariate=True, constant_liar=True, n_ei_candidates=max(1, 24 >> attempt)
        ),
        attempts=lambda trials: 16,
    )


def _greedy(seed: int, prior: "PriorKnowledge | None") -> Proposer:
    return GreedyProposer(_tpe(seed))


def _cost_aware(seed: int, prior: "PriorKnowledge | None") -> Proposer:
    from search.samplers.cost_aware import CostAwareProposer
    from search.surrogates.past_tasks import PriorKnowledge

    return CostAwareProposer(seed, prior or PriorKnowledge())


def _qmc(seed: int, prior: "PriorKnowledge | None") -> Proposer:
    """A scrambled Sobol sequence (Sobol 1967; Owen 1998). After a restart it is walked from its start again."""

    def make(new_seed: int, attempt: int) -> QMCSampler:
        # Since Optuna 3.0. `catch_warnings` is not for threads.
        warnings.filterwarnings("ignore", "QMCSampler is experimental", ExperimentalWarning)
        return QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False)

    return SamplerProposer(
        seed,
        make,
        attempts=lambda trials: 16 + 2 * trials,
        fill=True,
    )


def _gp(seed: int, prior: "PriorKnowledge | None") -> Proposer:
    """Optuna's Gaussian process with expected improvement. A proposal takes seconds, and the first one loads torch."""
    return SamplerProposer(
        seed, lambda new_seed, attempt: GPSampler(seed=new_seed), attempts=lambda trials: 2, fill=True
    )


SAMPLERS: dict[str, Callable[[int, "PriorKnowledge | None"], Proposer]] = {
    "tpe": _tpe,
    "greedy": _greedy,
    "cost-aware": _cost_aware,
    "random": lambda seed, prior: RandomProposer(seed),
    "grid": lambda seed, prior: GridProposer(),
    "qmc": _qmc,
    "gp": _gp,
}


def sampler_named(name: str, seed: int, prior: "PriorKnowledge | None" = None) -> Proposer:
    """Return the proposer of that name. It first proposes the starting settings of the prior knowledge.

    Raises UnknownNameError, which lists the names.
    """
    proposer = lookup("sampler", name, SAMPLERS)(seed, prior)
    return StartingProposer(prior.start, proposer) if prior and prior.start else proposer


def default_sampler(space: Space, by_cost: bool = False) -> str:
    """Return the name of the sampler for a space where the user chooses none.

    With several taps it is "greedy": a further tap adds too little to be found among so many settings. by_cost: whether
    cost is an objective too; then it is "tpe", since the cost-aware sampler is for one objective.
    """
    if max(space.taps) > 1:
        return "greedy"
    return "tpe" if by_cost else "cost-aware"
