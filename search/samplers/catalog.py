"""Which setting next: Optuna's samplers, random and grid, behind one question. The only file with Optuna samplers.

A proposal depends on nothing but the seed, the trials so far and what is taken, so that a study killed and started
again goes on exactly as it would have, and never repeats itself. The cost-aware sampler goes by what trials took as
well, and by what is known and cached when a run begins.
"""

import math
import random
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, final

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, QMCSampler, TPESampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.database.parameters import DIRECTIONS, Params, param_name, to_setting
from spaces import Choice, Setting, Space
from spaces.lookup import lookup

if TYPE_CHECKING:
    from search.surrogates.past_tasks import PriorKnowledge

optuna.logging.set_verbosity(optuna.logging.WARNING)  # else it tells each study and trial that it makes


class Proposer(Protocol):
    def propose(self, trials: Sequence[FrozenTrial], space: Space, taken: Collection[Setting]) -> Setting | None:
        """An untaken setting of the space, or None where every one is taken.

        trials: all of the study's, in order of their numbers, parameters as `to_params` gives them.
        taken: a set; settings that must not come again.
        """
        ...


def _random_untaken(space: Space, taken: Collection[Setting], generator: random.Random) -> Setting | None:
    """Uniform over the untaken: by rejection while most are free, by listing them at the end."""
    for _ in range(64):
        setting = space.sample(generator)
        if setting not in taken:
            return setting
    free = [setting for setting in space.settings() if setting not in taken]
    return generator.choice(free) if free else None


def _generator(seed: int, trials: Sequence[FrozenTrial]) -> random.Random:
    return random.Random(f"{seed}/{len(trials)}")


@final
@dataclass(frozen=True)
class RandomProposer:
    """Uniform over what is untaken."""

    seed: int

    def propose(self, trials: Sequence[FrozenTrial], space: Space, taken: Collection[Setting]) -> Setting | None:
        return _random_untaken(space, taken, _generator(self.seed, trials))


@final
@dataclass(frozen=True)
class GridProposer:
    """The first untaken, in the order of `Space.settings`."""

    seed: int

    def propose(self, trials: Sequence[FrozenTrial], space: Space, taken: Collection[Setting]) -> Setting | None:
        return next((setting for setting in space.settings() if setting not in taken), None)


@dataclass(frozen=True)
class _Axis:
    """A dimension as a sampler sees it: a line where its values are ordered, else a bag of names.

    On the line a timestep lies at its log-SNR, a block at its number and every other number at its logarithm, so that
    a sampler can learn that block 19 is next to block 20. Optuna's categorical parameters know no order.
    """

    values: tuple[Any, ...]
    positions: tuple[float, ...] | None

    @classmethod
    def of(cls, choice: Choice, space: Space) -> "_Axis":
        if any(isinstance(value, str) for value in choice.values):
            return cls(choice.values, None)
        positions: dict[str, Callable[[Any], float]] = {"timestep": space.architecture.log_snr, "block": float}
        position = positions.get(choice.name.split()[0], math.log)
        return cls(choice.values, tuple(position(value) for value in choice.values))

    @cached_property
    def distribution(self) -> BaseDistribution:
        """Half a gap wider than the outermost values, which else would own half a cell."""
        if self.positions is None:
            return CategoricalDistribution(self.values)
        line = sorted(self.positions)
        return FloatDistribution(line[0] - (line[1] - line[0]) / 2, line[-1] + (line[-1] - line[-2]) / 2)

    def encode(self, value: Any) -> Any:
        return value if self.positions is None else self.positions[self.values.index(value)]

    def decode(self, sampled: Any) -> Any:
        if self.positions is None:
            return sampled
        nearest = min(range(len(self.values)), key=lambda i: abs(self.positions[i] - sampled))  # type: ignore[index]
        return self.values[nearest]


@final
@dataclass
class _Mirror:
    """The study's trials in memory, in the coordinates of `_Axis`, for a sampler to look at.

    Samplers write to the storage they are given, even for a trial that is never run: TPE shares the parameters of its
    running trials, QMC counts its points. Here that costs nothing and leaves no trace in the study database.

    filled: every trial has every parameter, those of other heads and of further taps at their first value, as GP and
    QMC want it. Else the options of a head, and each further tap, are a group of their own, sampled after the head and
    the number of taps and learnt from the trials that have them alone. objectives: how many values a trial has.
    """

    space: Space
    filled: bool
    objectives: int
    storage: InMemoryStorage = field(default_factory=InMemoryStorage)
    mirrored: dict[int, int] = field(default_factory=dict)
    running: set[int] = field(default_factory=set)
    NAME: ClassVar[str] = "mirror"

    def __post_init__(self) -> None:
        self.study_id = self.storage.create_new_study(DIRECTIONS[: self.objectives], self.NAME)
        # Suggestions are made for this trial, which waits for ever: no sampler takes it for one of the study's.
        self.blank_id = self.storage.create_new_trial(self.study_id, create_trial(state=TrialState.WAITING))
        self.fixed = {param_name(choice): choice.values[0] for choice in self.space.dimensions}
        self.axes: dict[str, _Axis] = {}
        self.shared: dict[str, _Axis] = {}
        self.own: dict[str | int, dict[str, _Axis]] = {}
        for choice in self.space.dimensions:
            if len(choice.values) > 1:
                owner = choice.head or (choice.taps if choice.taps > 1 else None)
                group = self.shared if owner is None or self.filled else self.own.setdefault(owner, {})
                group[param_name(choice)] = self.axes[param_name(choice)] = _Axis.of(choice, self.space)

    def update(self, trials: Sequence[FrozenTrial]) -> None:
        for trial in trials:
            if trial.number in self.running and trial.state.is_finished():
                self._finish(trial)
            elif trial.number not in self.mirrored and trial.state != TrialState.FAIL:
                self._add(trial)

    def _add(self, trial: FrozenTrial) -> None:
        params = self.fixed | trial.params if self.filled else {"taps": 1} | trial.params
        axes = {name: axis for name, axis in self.axes.items() if name in params}
        template = create_trial(
            state=trial.state,
            values=trial.values,
            params={name: axis.encode(params[name]) for name, axis in axes.items()},
            distributions={name: axis.distribution for name, axis in axes.items()},
            intermediate_values=trial.intermediate_values,
        )
        self.mirrored[trial.number] = self.storage.create_new_trial(self.study_id, template)
        if not trial.state.is_finished():
            self.running.add(trial.number)

    def _finish(self, trial: FrozenTrial) -> None:
        mirrored = self.mirrored[trial.number]
        for step, value in trial.intermediate_values.items():
            self.storage.set_trial_intermediate_value(mirrored, step, value)
        self.storage.set_trial_state_values(mirrored, trial.state, trial.values)
        self.running.remove(trial.number)

    def suggestion(self, sampler: BaseSampler) -> Setting:
        """What the sampler would try next; it may lie outside the space, and it may have been tried."""
        study = optuna.load_study(study_name=self.NAME, storage=self.storage, sampler=sampler)
        params: Params = self.fixed | self._sample(sampler, study, self.shared)
        for owner in (str(params["head"]), *range(2, int(params.get("taps", 1)) + 1)):
            params |= self._sample(sampler, study, self.own.get(owner, {}))
        return to_setting(params)

    def _sample(self, sampler: BaseSampler, study: optuna.Study, axes: Mapping[str, _Axis]) -> Params:
        """Jointly where the sampler can, one by one where it can not (yet), as Optuna does within a trial."""
        blank = self.storage.get_trial(self.blank_id)
        sampled = sampler.sample_relative(study, blank, {name: axis.distribution for name, axis in axes.items()})
        for name, axis in axes.items():
            if name not in sampled:
                sampled[name] = sampler.sample_independent(study, blank, name, axis.distribution)
        return {name: axis.decode(sampled[name]) for name, axis in axes.items()}


@final
@dataclass
class SamplerProposer:
    """An Optuna sampler, asked again where it repeats itself or leaves the space; at last a random untaken setting.

    make: a sampler from a new seed and the attempt, 0-based. attempts: how many, by the number of trials.
    filled: see `_Mirror`.
    """

    seed: int
    make: Callable[[int, int], BaseSampler]
    attempts: Callable[[int], int]
    filled: bool = False
    _mirror: _Mirror | None = field(default=None, init=False)

    def propose(self, trials: Sequence[FrozenTrial], space: Space, taken: Collection[Setting]) -> Setting | None:
        objectives = max((len(trial.values) for trial in trials if trial.values), default=1)
        if self._mirror is None or (self._mirror.space, self._mirror.objectives) != (space, objectives):
            self._mirror = _Mirror(space, self.filled, objectives)
        self._mirror.update(trials)
        generator = _generator(self.seed, trials)
        for attempt in range(self.attempts(len(trials))):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)  # QMC, since Optuna 3.0
                sampler = self.make(generator.randrange(2**32), attempt)
            setting = self._mirror.suggestion(sampler)
            if setting in space and setting not in taken:
                return setting
        return _random_untaken(space, taken, generator)


@final
@dataclass
class GreedyProposer:
    """Forward selection: after `ALONE` settings of the fewest taps, every second time a tap joins the best of those
    that may grow. Of the taps not tried there yet it is the one that did best alone, so that nothing but a fit is new.
    All other times `alone` looks among settings of the fewest taps.
    """

    alone: Proposer
    ALONE: ClassVar[int] = 20

    def propose(self, trials: Sequence[FrozenTrial], space: Space, taken: Collection[Setting]) -> Setting | None:
        small = space.narrow(taps=[min(space.taps)])
        mine = [trial for trial in trials if trial.params.get("taps", 1) == small.taps[0]]
        grown = (setting for setting in _grown(trials, space) if setting in space and setting not in taken)
        due = next(grown, None) if len(mine) - self.ALONE >= len(trials) - len(mine) else None
        return (
            due
            or self.alone.propose(mine, small, taken)
            or next(grown, None)
            or _random_untaken(space, taken, random.Random(len(trials)))
        )


def _grown(trials: Sequence[FrozenTrial], space: Space) -> Iterator[Setting]:
    """Every complete setting with one tap more, best first, by the best results of that tap among the fewest; whatever
    either costs."""
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    ordered = [to_setting(trial.params) for trial in sorted(complete, key=lambda t: (-t.values[0], t.number))]
    fewest = [setting for setting in ordered if len(setting.taps) == min(space.taps)]
    taps = list(dict.fromkeys(tap for setting in fewest for tap in setting.taps))
    for setting in ordered:
        if len(setting.taps) < max(space.taps):
            yield from (setting.reading(*setting.taps, tap) for tap in taps if tap not in setting.taps)


@final
@dataclass(frozen=True)
class StartingProposer:
    """First these settings, as far as the space has them, then another's proposals."""

    start: tuple[Setting, ...]
    then: Proposer

    def propose(self, trials: Sequence[FrozenTrial], space: Space, taken: Collection[Setting]) -> Setting | None:
        left = (setting for setting in self.start if setting in space and setting not in taken)
        return next(left, None) or self.then.propose(trials, space, taken)


def _tpe(seed: int, prior: "PriorKnowledge | None" = None) -> Proposer:
    """Multivariate TPE (Bergstra et al. 2011; Falkner et al. 2018).

    It tries the best of 24 candidates, which on a finite space was a repeat for half of 150 trials, and remained one
    when asked again. With ever fewer candidates to choose from it settles for another good setting.
    """
    return SamplerProposer(
        seed,
        lambda fresh, attempt: TPESampler(
            seed=fresh, multivariate=True, constant_liar=True, n_ei_candidates=max(1, 24 >> attempt)
        ),
        attempts=lambda trials: 16,
    )


def _qmc(seed: int, prior: "PriorKnowledge | None") -> Proposer:
    """A scrambled Sobol sequence; after a restart it is walked from its start, past all that has been tried."""
    return SamplerProposer(
        seed,
        lambda fresh, attempt: QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False),
        attempts=lambda trials: 16 + 2 * trials,
        filled=True,
    )


def _gp(seed: int, prior: "PriorKnowledge | None") -> Proposer:
    """A Gaussian process with expected improvement: seconds a proposal, and loads torch at the first."""
    return SamplerProposer(seed, lambda fresh, attempt: GPSampler(seed=fresh), attempts=lambda trials: 2, filled=True)


def _cost_aware(seed: int, prior: "PriorKnowledge | None") -> Proposer:
    from search.samplers.cost_aware import CostAwareProposer
    from search.surrogates.past_tasks import PriorKnowledge

    return CostAwareProposer(seed, prior or PriorKnowledge())


SAMPLERS: dict[str, Callable[[int, "PriorKnowledge | None"], Proposer]] = {
    "tpe": _tpe,
    "greedy": lambda seed, prior: GreedyProposer(_tpe(seed)),
    "cost-aware": _cost_aware,
    "random": lambda seed, prior: RandomProposer(seed),
    "grid": lambda seed, prior: GridProposer(seed),
    "qmc": _qmc,
    "gp": _gp,
}


def sampler_named(name: str, seed: int, prior: "PriorKnowledge | None" = None) -> Proposer:
    """The proposer of that name, which begins with what is known to be good. Raises UnknownNameError, which lists those
    there are."""
    proposer = lookup("sampler", name, SAMPLERS)(seed, prior)
    return StartingProposer(prior.start, proposer) if prior and prior.start else proposer


def default_sampler(space: Space, by_cost: bool = False) -> str:
    """Of a space of several taps forward selection: what they add is too little to be found among so many settings.

    by_cost: what a setting costs at inference is an objective too, which TPE minds; the cost-aware sampler is for one.
    """
    if max(space.taps) > 1:
        return "greedy"
    return "tpe" if by_cost else "cost-aware"
