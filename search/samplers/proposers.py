"""Proposers choose the next setting of a search. Here are those that need no Optuna sampler."""

import math
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol, final

from optuna.trial import FrozenTrial, TrialState

from search.database.optuna_storage.parameters import to_setting
from spaces import Setting, Space


class Proposer(Protocol):
    """Chooses the next setting.

    A proposal depends only on the seed, the trials so far and the taken settings. So a study that is killed and started
    again continues exactly as it would have, and no setting is tried twice. The cost-aware proposer also depends on
    the measured times of trials, and on its prior knowledge.
    """

    def propose(self, trials: Sequence[FrozenTrial], space: Space, taken: Collection[Setting]) -> Setting | None:
        """Return a setting of the space that is not taken, or None where all are taken.

        trials: all trials of the study, in order of their numbers, with parameters as `to_params` returns them.
        taken: a set of settings that must not be proposed.
        """
        ...


def expected_improvement(proposer: Proposer) -> float | None:
    """Return the largest improvement of the score that a proposer expected of any free setting at its last proposal.

    It is infinite before its first prediction, and None for a proposer that predicts no scores.
    """
    if isinstance(proposer, LateProposer):
        return proposer.expected_improvement
    if isinstance(proposer, StartingProposer):
        return expected_improvement(proposer.then)
    expected: float | None = getattr(proposer, "expected_improvement", None)
    return expected


def random_untaken(space: Space, taken: Collection[Setting], generator: random.Random) -> Setting | None:
    """Return a setting that is not taken, each with the same probability; None where all are taken."""
    for _ in range(64):  # rejection sampling is quick while most settings are free
        setting = space.sample(generator)
        if setting not in taken:
            return setting
    free = [setting for setting in space.settings() if setting not in taken]
    return generator.choice(free) if free else None


def random_generator(seed: int, trials: Sequence[FrozenTrial]) -> random.Random:
    """Return a generator that depends on the seed and on the number of trials alone."""
    return random.Random(f"{seed}/{len(trials)}")


@final
@dataclass
class LateProposer:
    """A proposer that is made when the first setting is wanted, from what is known then."""

    make: Callable[[], Proposer]

    def propose(self, trials: Sequence[FrozenTrial], space: Space, taken: Collection[Setting]) -> Setting | None:
        return self._made.propose(trials, space, taken)

    @property
    def expected_improvement(self) -> float | None:
        """The `expected_improvement` of the proposer that is made; infinite before it is made."""
        return expected_improvement(self._made) if "_made" in self.__dict__ else math.inf

    @cached_property
    def _made(self) -> Proposer:
        return self.make()


@final
@dataclass(frozen=True)
class RandomProposer:
    """Proposes each setting that is not taken with the same probability."""

    seed: int

    def propose(self, trials: Sequence[FrozenTrial], space: Space, taken: Collection[Setting]) -> Setting | None:
        return random_untaken(space, taken, random_generator(self.seed, trials))


@final
@dataclass(frozen=True)
class GridProposer:
    """Proposes settings in the order of `Space.settings`."""

    def propose(self, trials: Sequence[FrozenTrial], space: Space, taken: Collection[Setting]) -> Setting | None:
        return next((setting for setting in space.settings() if setting not in taken), None)


@final
@dataclass
class GreedyProposer:
    """Selects taps forward: extends the best settings so far by one tap, and ignores the cost.

    First `base` proposes `BASE_TRIALS` settings with the fewest taps. After that, every second proposal extends the
    best setting that can be extended. The new tap is the one that did best in a setting with the fewest taps, among
    those not yet tried there. Such a tap's features are cached already, so only the fit is new. All other proposals
    come from `base`.

    Source: forward selection of features, as in Hastie, Tibshirani & Friedman 2009, section 3.3.2.
    """

    base: Proposer
    BASE_TRIALS: ClassVar[int] = 20

    def propose(self, trials: Sequence[FrozenTrial], space: Space, taken: Collection[Setting]) -> Setting | None:
        base_space = space.narrow(taps=[min(space.taps)])
        base_trials = [trial for trial in trials if trial.params.get("taps", 1) == base_space.taps[0]]
        extended = (setting for setting in _extended(trials, space) if setting in space and setting not in taken)
        extend_now = len(base_trials) - self.BASE_TRIALS >= len(trials) - len(base_trials)
        return (
            (next(extended, None) if extend_now else None)
            or self.base.propose(base_trials, base_space, taken)
            or next(extended, None)
            or random_untaken(space, taken, random.Random(len(trials)))
        )


def _extended(trials: Sequence[FrozenTrial], space: Space) -> Iterator[Setting]:
    """Yield complete settings with one more tap: the best setting first, and for each the best tap first."""
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    best_first = [to_setting(trial.params) for trial in sorted(complete, key=lambda t: (-t.values[0], t.number))]
    fewest_taps = [setting for setting in best_first if len(setting.taps) == min(space.taps)]
    taps = list(dict.fromkeys(tap for setting in fewest_taps for tap in setting.taps))
    for setting in best_first:
        if len(setting.taps) < max(space.taps):
            yield from (setting.reading(*setting.taps, tap) for tap in taps if tap not in setting.taps)


@final
@dataclass(frozen=True)
class StartingProposer:
    """Proposes some settings first, as far as the space has them, and then what another proposer proposes."""

    start: tuple[Setting, ...]
    then: Proposer

    def propose(self, trials: Sequence[FrozenTrial], space: Space, taken: Collection[Setting]) -> Setting | None:
        untried = (setting for setting in self.start if setting in space and setting not in taken)
        return next(untried, None) or self.then.propose(trials, space, taken)
