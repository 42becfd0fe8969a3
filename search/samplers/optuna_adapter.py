"""Lets an Optuna sampler propose settings of a space, which has conditions and ordered values that Optuna lacks."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, final

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.database.optuna_storage.parameters import Params, param_name, to_setting
from search.database.records import DIRECTIONS
from search.samplers.proposers import random_generator, random_untaken
from spaces import Choice, Setting, Space


@dataclass(frozen=True)
class _Axis:
    """A dimension of the space as a sampler sees it: a line if its values are ordered, otherwise categories.

    The position on the line is the log-SNR of a timestep, the number of a block, and the logarithm of any other number.
    So a sampler can learn that block 19 is next to block 20. Optuna's categorical parameters have no order.
    """

    values: tuple[Any, ...]
    positions: tuple[float, ...] | None

    @classmethod
    def of_choice(cls, choice: Choice, space: Space) -> "_Axis":
        if any(isinstance(value, str) for value in choice.values):
            return cls(choice.values, None)
        positions: dict[str, Callable[[Any], float]] = {"timestep": space.architecture.log_snr, "block": float}
        position = positions.get(choice.name.split()[0], math.log)
        return cls(choice.values, tuple(position(value) for value in choice.values))

    @cached_property
    def distribution(self) -> BaseDistribution:
        """The distribution for Optuna. It ends half a gap beyond the outer values, which would own half a cell else."""
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
class _MirroredStudy:
    """A copy of the study in memory, with parameters on the axes of `_Axis`, which a sampler reads.

    A sampler writes to the storage that it is given, even for a trial that is never run: TPE shares the parameters of
    its running trials, QMC counts its points. In memory that is quick and leaves no trace in the study database.

    fill: whether every trial has every parameter, as GP and QMC need it. Then options of other heads and further taps
    that a trial lacks have their first value. Otherwise the options of each head, and each further tap, are a group of
    their own. A group is sampled after the head and the number of taps, and learnt from the trials that have it.
    objectives: how many values a trial has.
    """

    space: Space
    fill: bool
    objectives: int
    storage: InMemoryStorage = field(default_factory=InMemoryStorage)
    mirrored: dict[int, int] = field(default_factory=dict)
    running: set[int] = field(default_factory=set)
    expected: dict[Setting, int] = field(default_factory=dict)
    NAME: ClassVar[str] = "mirror"

    def __post_init__(self) -> None:
        self.study_id = self.storage.create_new_study(DIRECTIONS[: self.objectives], self.NAME)
        # Suggestions are made for this trial. It is never run, so no sampler learns from it.
        self.blank_id = self.storage.create_new_trial(self.study_id, create_trial(state=TrialState.WAITING))
        self.defaults = {param_name(choice): choice.values[0] for choice in self.space.dimensions}
        self.axes: dict[str, _Axis] = {}
        self.shared: dict[str, _Axis] = {}
        self.groups: dict[str | int, dict[str, _Axis]] = {}
        for choice in self.space.dimensions:
            if len(choice.values) > 1:
                owner = choice.head or (choice.taps if choice.taps > 1 else None)
                group = self.shared if owner is None or self.fill else self.groups.setdefault(owner, {})
                group[param_name(choice)] = self.axes[param_name(choice)] = _Axis.of_choice(choice, self.space)

    def update(self, trials: Sequence[FrozenTrial]) -> None:
        """Copy new trials, and the results of those that ended since.

        A trial with a negative number is expected, and is in no study. The copy of one that is no longer expected is
        failed, since nothing can be deleted.
        """
        expected = {to_setting(trial.params): trial for trial in trials if trial.number < 0}
        for setting in [setting for setting in self.expected if setting not in expected]:
            self.storage.set_trial_state_values(self.expected.pop(setting), TrialState.FAIL)
        for trial in trials:
            if trial.number < 0:
                continue
            if trial.number in self.running and trial.state.is_finished():
                self._finish(trial)
            elif trial.number not in self.mirrored and trial.state != TrialState.FAIL:
                self.mirrored[trial.number] = self._add(trial)
                if not trial.state.is_finished():
                    self.running.add(trial.number)
        for setting, trial in expected.items():
            if setting not in self.expected:
                self.expected[setting] = self._add(trial)

    def _add(self, trial: FrozenTrial) -> int:
        params = self.defaults | trial.params if self.fill else {"taps": 1} | trial.params
        axes = {name: axis for name, axis in self.axes.items() if name in params}
        template = create_trial(
            state=trial.state,
            values=trial.values,
            params={name: axis.encode(params[name]) for name, axis in axes.items()},
            distributions={name: axis.distribution for name, axis in axes.items()},
            intermediate_values=trial.intermediate_values,
        )
        return self.storage.create_new_trial(self.study_id, template)

    def _finish(self, trial: FrozenTrial) -> None:
        mirrored = self.mirrored[trial.number]
        for step, value in trial.intermediate_values.items():
            self.storage.set_trial_intermediate_value(mirrored, step, value)
        self.storage.set_trial_state_values(mirrored, trial.state, trial.values)
        self.running.remove(trial.number)

    def suggestion(self, sampler: BaseSampler) -> Setting:
        """Return the sampler's next setting. It may lie outside the space, and it may have been tried before."""
        study = optuna.load_study(study_name=self.NAME, storage=self.storage, sampler=sampler)
        params: Params = self.defaults | self._sample(sampler, study, self.shared)
        for owner in (str(params["head"]), *range(2, int(params.get("taps", 1)) + 1)):
            params |= self._sample(sampler, study, self.groups.get(owner, {}))
        return to_setting(params)

    def _sample(self, sampler: BaseSampler, study: optuna.Study, axes: Mapping[str, _Axis]) -> Params:
        """Sample jointly what the sampler can, and the rest one by one, as Optuna does within a trial."""
        blank = self.storage.get_trial(self.blank_id)
        sampled = sampler.sample_relative(study, blank, {name: axis.distribution for name, axis in axes.items()})
        for name, axis in axes.items():
            if name not in sampled:
                sampled[name] = sampler.sample_independent(study, blank, name, axis.distribution)
        return {name: axis.decode(sampled[name]) for name, axis in axes.items()}


@final
@dataclass
class SamplerProposer:
    """Proposes what an Optuna sampler suggests.

    A suggestion that is taken or lies outside the space is thrown away, and the sampler is asked again. After the last
    attempt the proposal is random.

    make_sampler: makes a sampler from a new seed and the attempt, 0-based. attempts: how many, by the number of trials.
    fill: see `_MirroredStudy`.
    """

    seed: int
    make_sampler: Callable[[int, int], BaseSampler]
    attempts: Callable[[int], int]
    fill: bool = False
    _mirror: _MirroredStudy | None = field(default=None, init=False)

    def propose(self, trials: Sequence[FrozenTrial], space: Space, taken: Collection[Setting]) -> Setting | None:
        objectives = max((len(trial.values) for trial in trials if trial.values), default=1)
        if self._mirror is None or (self._mirror.space, self._mirror.objectives) != (space, objectives):
            self._mirror = _MirroredStudy(space, self.fill, objectives)
        self._mirror.update(trials)
        generator = random_generator(self.seed, trials)
        for attempt in range(self.attempts(len(trials))):
            sampler = self.make_sampler(generator.randrange(2**32), attempt)
            setting = self._mirror.suggestion(sampler)
            if setting in space and setting not in taken:
                return setting
        return random_untaken(space, taken, generator)
