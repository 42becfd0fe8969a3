"""The sampler that knows what a trial costs: expected improvement per second (Snoek et al. 2012, section 3.2).

A setting at a timestep whose features exist costs a fit, one at a new timestep a pass of every image. So it looks
around where it is, and moves on when nothing there is worth its seconds any more. What it expects comes from the
trials, and from past tasks and a screening of the same images where there are any.
"""

import random
from collections.abc import Collection, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, final

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState
from scipy.stats import norm

from search.database.parameters import CORE, Params, all_distributions, param_name, to_params, to_setting
from search.surrogates.gaussian_process import Surrogate
from search.surrogates.past_tasks import Array, PastTask, PriorKnowledge, agreement, array_of, reweighted, weights
from search.surrogates.trial_cost import CostModel, TrialCost, cost_of
from spaces import Choice, Setting, Space
from spaces.coordinates import mean_coordinates

STARTUP = 4
"""Trials before anything is expected of one: at one timestep, so that they cost one pass."""

CANDIDATES = 8192
"""Settings of which each time the best is proposed, at random where the space has more."""

AGREE_FROM = 8
"""Trials before past tasks are weighed by them."""

HEADS_APART, OPTION_RANGE = 0.28, 0.4
"""In coordinates in which settings half a unit apart are alike: how far apart are two heads, and an option's values."""

NOISE = 0.02
"""Of a trial's worth, in standard deviations of all. Little, since trials validate on the same images."""

GUESSED = 0.5
"""The same of one that was stopped, whose worth is guessed."""


@final
@dataclass
class CostAwareProposer:
    seed: int
    prior: PriorKnowledge = field(default_factory=PriorKnowledge)
    _field: "_Field | None" = field(default=None, init=False)

    def propose(self, trials: Sequence[FrozenTrial], space: Space, taken: Collection[Setting]) -> Setting | None:
        generator = random.Random(f"{self.seed}/{len(trials)}")
        around = self._field_of(space, taken, generator)
        free = np.array([index for index, each in enumerate(around.settings) if each not in taken], dtype=int)
        if not free.size:
            return None
        tried = [trial for trial in trials if trial.state == TrialState.COMPLETE]
        if len(tried) < STARTUP:
            return around.first(free, generator)
        model = around.costs(trials)
        seconds = np.array([model.seconds(around.settings[index]) for index in free])
        best = int(free[np.argmax(around.improvement(trials, free) / seconds)])
        return around.settings[best]

    def _field_of(self, space: Space, taken: Collection[Setting], generator: random.Random) -> "_Field":
        """Made once, but of a space with too many settings each time of others."""
        large = len(space) > CANDIDATES
        if self._field is None or self._field.space != space or large:
            some = (space.sample(generator) for _ in range(CANDIDATES)) if large else space.settings()
            self._field = _Field(space, tuple(dict.fromkeys([*taken, *some])), self.prior)
        return self._field


@dataclass(frozen=True)
class _Field:
    """Settings as numbers."""

    space: Space
    settings: tuple[Setting, ...]
    prior: PriorKnowledge

    def first(self, free: np.ndarray[Any, Any], generator: random.Random) -> Setting:
        """At the timestep, and the number of draws and taps, of which past tasks expect most; there at random."""
        expected = self._past @ self._weights
        left: list[Setting] = [self.settings[index] for index in free]
        best = left[int(np.argmax(expected[free]))]
        alike = [each for each in left if (each.passes.keys(), each.draws) == (best.passes.keys(), best.draws)]
        return generator.choice(alike)

    def costs(self, trials: Sequence[FrozenTrial]) -> CostModel:
        cached = dict(self.prior.cached)
        spent: list[TrialCost] = []
        for trial in trials:
            if trial.state == TrialState.FAIL:
                continue
            setting = to_setting(trial.params)
            for timestep in setting.passes:
                cached[timestep] = max(cached.get(timestep, 0.0), setting.draws)
            # One that was stopped took less than what a trial takes that may turn out the best.
            if trial.state == TrialState.COMPLETE and (found := cost_of(trial)) is not None:
                spent.append(found)
        return CostModel(self.space, self.prior.images, cached, tuple(spent))

    def improvement(self, trials: Sequence[FrozenTrial], free: np.ndarray[Any, Any]) -> Array:
        """Expected of each of these, over the best that was tried. Trials that run come out as expected."""
        index = self._index
        prior = [(trial, index[s]) for trial in trials if (s := to_setting(trial.params)) in index]
        complete = [(trial, place) for trial, place in prior if trial.state == TrialState.COMPLETE]
        pruned = [(trial, place) for trial, place in prior if trial.state == TrialState.PRUNED]
        running = [place for trial, place in prior if trial.state == TrialState.RUNNING]
        at = [place for _, place in complete]
        scores = np.array([trial.values[0] for trial, _ in complete])
        first = self._weights
        counted = reweighted(first, agreement(self._past[at], scores)) if len(at) >= AGREE_FROM else first
        values = np.array([*scores, *(_guessed(trial, complete) for trial, _ in pruned)])
        noise = np.array([NOISE] * len(complete) + [GUESSED] * len(pruned)) * scores.std()
        tried = [*at, *(place for _, place in pruned)]
        posterior = Surrogate(self._coordinates, self._past, counted).posterior(tried, values, noise**2)
        if running:
            posterior = posterior.believing(running)
        best = posterior.mean[at].max()
        mean, deviation = posterior.mean[free], np.maximum(posterior.deviation[free], 1e-12)
        z = (mean - best) / deviation
        better: Array = deviation * (z * norm.cdf(z) + norm.pdf(z))
        return better

    @cached_property
    def _index(self) -> dict[Setting, int]:
        return {setting: index for index, setting in enumerate(self.settings)}

    @cached_property
    def _weights(self) -> Array:
        return weights(self._surfaces, self.prior.classes, self.prior.images)

    @cached_property
    def _surfaces(self) -> tuple[PastTask, ...]:
        return tuple(each for each in self.prior.past if each.noised == self.space.architecture.noised)

    @cached_property
    def _past(self) -> Array:
        """(m, j): a surface says the same of every head."""
        places = [mean_coordinates(self.space.architecture, setting) for setting in self.settings]
        distinct = {place: row for row, place in enumerate(dict.fromkeys(places))}
        rows = [distinct[place] for place in places]
        columns = [past_task.at([*distinct])[rows] for past_task in self._surfaces]
        return np.array(columns).reshape(len(columns), len(places)).T

    @cached_property
    def _coordinates(self) -> Array:
        """(m, k): where it reads; draws and taps; which head; the head's options."""
        architecture, heads = self.space.architecture, self.space.heads
        where = array_of([mean_coordinates(architecture, setting) for setting in self.settings]) / 2
        columns = [*where.T]
        counts = [[each.draws for each in self.settings], [len(each.taps) for each in self.settings]]
        columns += [np.log(values) / 2 for values in counts if len(set(values)) > 1]
        if len(heads) > 1:
            columns += [HEADS_APART * np.array([each.head == head for each in self.settings]) for head in heads]
        columns += [self._option(choice) for choice in self.space.dimensions if choice.head and len(choice.values) > 1]
        return np.column_stack(columns).astype(np.float64)

    def _option(self, choice: Choice) -> Array:
        """Its place among the choice's values; other heads lie in the middle."""
        last = len(choice.values) - 1
        chosen = [dict(each.options).get(choice.name) if each.head == choice.head else None for each in self.settings]
        return OPTION_RANGE * np.array(
            [0.5 if value is None else choice.values.index(value) / last for value in chosen]
        )


def _guessed(pruned: FrozenTrial, complete: Sequence[tuple[FrozenTrial, int]]) -> float:
    """What a stopped trial would have come to: as far behind the median of its head as it was when it was stopped;
    where that is not known, the lower quartile, since it was behind half of them."""
    alike = [trial for trial, _ in complete if trial.params["head"] == pruned.params["head"]]
    step = max(pruned.intermediate_values, default=None)
    passed = [trial for trial in alike if step in trial.intermediate_values]
    if step is not None and passed:
        behind = pruned.intermediate_values[step] - np.median([trial.intermediate_values[step] for trial in passed])
        return float(np.median([trial.values[0] for trial in passed]) + behind)
    return float(np.quantile([trial.values[0] for trial in alike or [trial for trial, _ in complete]], 0.25))


@final
class CostAwareSampler(BaseSampler):
    """A sampler for any Optuna study of one objective.

    Its function gets a setting from `suggest_setting`.

    Costs are learnt from what trials took, by their attributes "seconds" and "passes" where they have them.
    """

    def __init__(self, space: Space, seed: int = 0, prior: PriorKnowledge | None = None) -> None:
        self.space = space
        self._proposer = CostAwareProposer(seed, prior or PriorKnowledge())
        self._independent = RandomSampler(seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return all_distributions(self.space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Raises ValueError in a study of several objectives."""
        if len(study.directions) > 1:
            raise ValueError(f"the cost-aware sampler is for one objective, got {len(study.directions)}")
        others = [each for each in study.get_trials(deepcopy=False) if each.number != trial.number]
        trials = [each for each in others if each.params.keys() >= {*CORE}]
        if study.direction == StudyDirection.MINIMIZE:
            trials = [_turned(each) for each in trials]
        taken = {to_setting(each.params) for each in trials if each.state != TrialState.FAIL}
        setting = self._proposer.propose(trials, self.space, taken)
        return {} if setting is None else to_params(setting)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._independent.sample_independent(study, trial, param_name, param_distribution)


def _turned(trial: FrozenTrial) -> FrozenTrial:
    """With more being better."""
    turned = copy(trial)
    if trial.values is not None:
        turned.values = [-value for value in trial.values]
    return turned


def suggest_setting(trial: Trial, space: Space) -> Setting:
    """Return the setting that a trial suggests to an objective function of your own.

    The setting may lie outside the space, unless the sampler of the study is the CostAwareSampler. `Space.why_not` says
    why.
    """
    params: Params = {}
    for choice in space.dimensions:
        if choice.head in (None, params.get("head")) and choice.taps <= params.get("taps", 1):
            params[param_name(choice)] = trial.suggest_categorical(param_name(choice), choice.values)
    return to_setting(params)
