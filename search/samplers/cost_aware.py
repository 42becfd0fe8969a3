"""The cost-aware sampler: maximises the expected improvement per second (Snoek, Larochelle & Adams 2012, section 3.2).

A setting at a timestep whose features are cached costs a fit. One at a new timestep costs a forward pass of every
image. So the sampler explores the cached timesteps, and pays for a new one when nothing there is worth its seconds any
more. It predicts scores from the trials, from past tasks, and from a screening of the same images.
"""

import math
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
from optuna.trial import BaseTrial, FrozenTrial, TrialState
from scipy.stats import norm

from search.database.optuna_storage.parameters import (
    Params,
    all_distributions,
    param_name,
    setting_or_none,
    to_params,
    to_setting,
)
from search.options.option import check_type
from search.surrogates.gaussian_process import GaussianProcess, Posterior
from search.surrogates.past_tasks import (
    Array,
    PastTask,
    PriorKnowledge,
    initial_weights,
    rank_correlations,
    scaled,
    updated_weights,
)
from search.surrogates.trial_cost import OVERHEAD_SECONDS, CostModel, TrialCost, measured_cost
from spaces import Choice, Setting, Space, UsageError
from spaces.coordinates import mean_coordinates
from spaces.errors import shown

STARTUP_TRIALS = 4
"""Trials before scores are predicted. They are at one timestep, so that they cost one forward pass of each image."""

MAX_CANDIDATES = 8192
"""Settings that are compared for a proposal. A larger space is sampled at random."""

MIN_RANKED = 8
"""Complete trials before past tasks are weighed by how they rank them."""

HEAD_DISTANCE, OPTION_RANGE = 0.28, 0.4
"""Distance between two heads, and between the first and last value of a head option, in the coordinates of a
GaussianProcess, where settings half a unit apart are alike."""

CLEAN_DISTANCE = 0.5
"""The distance there between a clean pass and one of noised images, which at little noise may be alike."""

NOISE = 0.02
"""Standard deviation of a trial's noise, as a share of that of all scores. It is small, since all trials validate on
the same images."""

EXTRAPOLATION_NOISE = 0.5
"""The same for a pruned trial, whose final score is extrapolated."""


@final
@dataclass
class CostAwareProposer:
    """Proposes the setting with the largest expected improvement per second.

    expected_improvement: the largest one of any free setting, at the last proposal that followed from predictions;
    infinite before.
    """

    seed: int
    prior: PriorKnowledge = field(default_factory=PriorKnowledge)
    expected_improvement: float = field(default=math.inf, init=False)
    _candidates: "_Candidates | None" = field(default=None, init=False)

    def propose(self, trials: Sequence[FrozenTrial], space: Space, taken: Collection[Setting]) -> Setting | None:
        candidates = self._candidates_of(space, taken, sum(trial.state.is_finished() for trial in trials))
        free = candidates.free(taken)
        if not free.size:
            return None
        if sum(trial.state == TrialState.COMPLETE for trial in trials) < STARTUP_TRIALS:
            return candidates.startup_setting(free, random.Random(f"{self.seed}/{len(trials)}"))
        seconds = candidates.seconds(candidates.cost_model(trials))[free]
        improvement = candidates.expected_improvement(trials, free)
        self.expected_improvement = float(improvement.max())
        best = int(free[np.argmax(improvement / seconds)])
        return candidates.settings[best]

    def _candidates_of(self, space: Space, taken: Collection[Setting], ended: int) -> "_Candidates":
        """Return all settings of the space, kept from call to call; of a large space random ones.

        They are other ones when a further trial has ended.
        """
        large, known = len(space) > MAX_CANDIDATES, self._candidates
        if known is None or known.space != space or (large and not (known.ended == ended and known.include(taken))):
            generator = random.Random(f"{self.seed}/{ended}")
            sampled = (space.sample(generator) for _ in range(MAX_CANDIDATES)) if large else space.settings()
            known = _Candidates(space, tuple(dict.fromkeys([*taken, *sampled])), self.prior, ended)
            self._candidates = known
        return known


@dataclass(frozen=True)
class _Candidates:
    """The m settings that are compared, and what is predicted of them.

    ended: how many trials had ended when they were chosen. posteriors: the last posterior without pending trials and
    the last one with some, each with what it follows from. Proposals that are made together need one fit.
    """

    space: Space
    settings: tuple[Setting, ...]
    prior: PriorKnowledge
    ended: int
    posteriors: dict[str, tuple[tuple[Any, ...], Posterior]] = field(default_factory=dict, compare=False)

    def include(self, settings: Collection[Setting]) -> bool:
        return all(setting in self._index for setting in settings)

    def free(self, taken: Collection[Setting]) -> np.ndarray[Any, Any]:
        """Return the indices of the candidates that are not taken."""
        free = np.ones(len(self.settings), dtype=bool)
        free[[self._index[setting] for setting in taken if setting in self._index]] = False
        return np.flatnonzero(free)

    def startup_setting(self, free: np.ndarray[Any, Any], generator: random.Random) -> Setting:
        """Return a random setting that shares timesteps and draws with the one that past tasks predict to be best."""
        predicted = self._past @ self._initial_weights
        settings: list[Setting] = [self.settings[index] for index in free]
        best = settings[int(np.argmax(predicted[free]))]
        same_passes = [
            setting
            for setting in settings
            if (setting.passes.keys(), setting.draws) == (best.passes.keys(), best.draws)
        ]
        return generator.choice(same_passes)

    def cost_model(self, trials: Sequence[FrozenTrial]) -> CostModel:
        cached_passes = dict(self.prior.cached_passes)
        costs: list[TrialCost] = []
        for trial in trials:
            if trial.state == TrialState.FAIL:
                continue
            setting = to_setting(trial.params)
            for kind in ((timestep, setting.draws == 0) for timestep in setting.passes):
                cached_passes[kind] = max(cached_passes.get(kind, 0.0), setting.passes_per_timestep)
            # A pruned trial took less time than one that may turn out to be the best.
            if trial.state == TrialState.COMPLETE and (cost := measured_cost(trial)) is not None:
                costs.append(cost)
        return CostModel(self.space, self.prior.images, cached_passes, tuple(costs))

    def seconds(self, costs: CostModel) -> Array:
        """Return the (m,) predicted seconds of each candidate, as `CostModel.seconds` does."""
        (by_passes, same_passes), (by_fit, same_fit) = self._alike
        missing = np.array([costs.missing_passes(setting) for setting in by_passes])[same_passes]
        fits = np.array([costs.fit_seconds(setting) for setting in by_fit])[same_fit]
        seconds: Array = OVERHEAD_SECONDS + missing * costs.seconds_per_pass + fits
        return seconds

    @cached_property
    def _alike(self) -> "tuple[_Groups, _Groups]":
        """The candidates that need the same passes, and those whose fits are of one head and one width."""
        block = self.space.architecture.block
        widths = [sum(block(tap.block).channels for tap in setting.taps) * setting.pool**2 for setting in self.settings]
        return (
            _grouped(self.settings, [(*setting.passes, setting.draws) for setting in self.settings]),
            _grouped(
                self.settings, [(setting.head, width) for setting, width in zip(self.settings, widths, strict=True)]
            ),
        )

    def expected_improvement(self, trials: Sequence[FrozenTrial], free: np.ndarray[Any, Any]) -> Array:
        """Return the expected improvement of each free candidate on the best predicted mean of the complete trials.

        The formula is equation 15 of Jones, Schonlau & Welch 1998, "Efficient Global Optimization".
        """
        complete, pruned, running = (
            self._with_index(trials, state) for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
        )
        posterior = self._with_pending(self._posterior(complete, pruned), [index for _, index in running])
        best = posterior.mean[[index for _, index in complete]].max()
        mean, deviation = posterior.mean[free], np.maximum(posterior.deviation[free], 1e-12)
        z = (mean - best) / deviation
        improvement: Array = deviation * (z * norm.cdf(z) + norm.pdf(z))
        return improvement

    def _posterior(self, complete: "list[IndexedTrial]", pruned: "list[IndexedTrial]") -> Posterior:
        """Return the posterior of all candidates, given the complete and the pruned trials."""
        given = tuple((trial.number, index, trial.values, trial.state) for trial, index in (*complete, *pruned))
        if "observed" not in self.posteriors or self.posteriors["observed"][0] != given:
            self.posteriors["observed"] = given, self._conditioned(complete, pruned)
        return self.posteriors["observed"][1]

    def _with_pending(self, posterior: Posterior, pending: list[int]) -> Posterior:
        """Return the posterior with some pending candidates. It grows from the last one where that had the first."""
        (first, *before), last = self.posteriors.get("pending", ((None,), posterior))
        if first is not posterior or pending[: len(before)] != before:
            before, last = [], posterior
        for index in pending[len(before) :]:
            last = last.with_pending([index])
        self.posteriors["pending"] = (posterior, *pending), last
        return last

    def _conditioned(self, complete: "list[IndexedTrial]", pruned: "list[IndexedTrial]") -> Posterior:
        observed = [index for _, index in complete]
        scores = np.array([trial.values[0] for trial, _ in complete])
        weights = self._initial_weights
        if len(observed) >= MIN_RANKED:
            weights = updated_weights(weights, rank_correlations(self._past[observed], scores))
        values = np.array([*scores, *(_extrapolated(trial, complete) for trial, _ in pruned)])
        noise = np.array([NOISE] * len(complete) + [EXTRAPOLATION_NOISE] * len(pruned)) * scores.std()
        observed += [index for _, index in pruned]
        return GaussianProcess(self._coordinates, self._past, weights).posterior(observed, values, noise**2)

    def _with_index(self, trials: Sequence[FrozenTrial], state: TrialState) -> "list[IndexedTrial]":
        """Return the trials in a state whose settings are candidates, each with the index of its candidate."""
        index = self._index
        return [
            (trial, index[setting])
            for trial in trials
            if trial.state == state and (setting := to_setting(trial.params)) in index
        ]

    @cached_property
    def _index(self) -> dict[Setting, int]:
        return {setting: index for index, setting in enumerate(self.settings)}

    @cached_property
    def _initial_weights(self) -> Array:
        return initial_weights(self._past_tasks, self.prior.classes, self.prior.images)

    @cached_property
    def _past_tasks(self) -> tuple[PastTask, ...]:
        return tuple(task for task in self.prior.past_tasks if task.noised == self.space.architecture.noised)

    @cached_property
    def _past(self) -> Array:
        """(m, j): what each past task predicts of each candidate, the same for all heads."""
        coordinates = [mean_coordinates(self.space.architecture, setting) for setting in self.settings]
        distinct = {point: row for row, point in enumerate(dict.fromkeys(coordinates))}
        rows = [distinct[point] for point in coordinates]
        columns = [task.predict([*distinct])[rows] for task in self._past_tasks]
        return np.array(columns).reshape(len(columns), len(coordinates)).T

    @cached_property
    def _coordinates(self) -> Array:
        """(m, k): coordinates of the taps; passes, number of taps, whether clean; the head; the options of the head."""
        architecture, heads = self.space.architecture, self.space.heads
        taps = scaled([mean_coordinates(architecture, setting) for setting in self.settings]) / 2
        columns = [*taps.T]
        counts = [[s.passes_per_timestep for s in self.settings], [len(s.taps) for s in self.settings]]
        columns += [np.log(values) / 2 for values in counts if len(set(values)) > 1]
        if len({setting.draws == 0 for setting in self.settings}) > 1:
            columns.append(CLEAN_DISTANCE * np.array([setting.draws == 0 for setting in self.settings]))
        if len(heads) > 1:
            columns += [HEAD_DISTANCE * np.array([setting.head == head for setting in self.settings]) for head in heads]
        columns += [self._option(choice) for choice in self.space.dimensions if choice.head and len(choice.values) > 1]
        return np.column_stack(columns).astype(np.float64)

    def _option(self, choice: Choice) -> Array:
        """(m,): the position of each setting's option among the values. Settings with other heads are in the middle."""
        last = len(choice.values) - 1
        options = [
            dict(setting.options).get(choice.name) if setting.head == choice.head else None for setting in self.settings
        ]
        return OPTION_RANGE * np.array(
            [0.5 if value is None else choice.values.index(value) / last for value in options]
        )


def _grouped(settings: Sequence[Setting], keys: Sequence[Any]) -> "_Groups":
    first: dict[Any, int] = {}
    for index, key in enumerate(keys):
        first.setdefault(key, index)
    rows = {key: row for row, key in enumerate(first)}
    return [settings[index] for index in first.values()], np.array([rows[key] for key in keys])


_Groups = tuple[list[Setting], np.ndarray[Any, Any]]
"""The first setting of each group of settings, and of each setting its group."""

IndexedTrial = tuple[FrozenTrial, int]
"""A trial, and the index of its setting among the candidates."""


def _extrapolated(pruned: FrozenTrial, complete: Sequence[IndexedTrial]) -> float:
    """Return the score that a pruned trial would have reached.

    It is as far from the median of its head as it was at its last epoch. Without an epoch it is the lower quartile: the
    trial was behind half of the others.
    """
    same_head = [trial for trial, _ in complete if trial.params["head"] == pruned.params["head"]]
    epoch = max(pruned.intermediate_values, default=None)
    with_epoch = [trial for trial in same_head if epoch in trial.intermediate_values]
    if epoch is not None and with_epoch:
        median = np.median([trial.intermediate_values[epoch] for trial in with_epoch])
        gap = pruned.intermediate_values[epoch] - median
        return float(np.median([trial.values[0] for trial in with_epoch]) + gap)
    return float(np.quantile([trial.values[0] for trial in same_head or [trial for trial, _ in complete]], 0.25))


@final
class CostAwareSampler(BaseSampler):
    """The cost-aware sampler for an Optuna study of your own, which must have one objective.

    The objective function gets its setting from `suggest_setting`. The sampler learns costs from the attributes
    "seconds" and "passes" of trials, or else from their durations. It ignores trials whose parameters are no setting
    of the space, and values that are infinite. Raises UsageError for arguments of another type.
    """

    def __init__(self, space: Space, seed: int = 0, prior: PriorKnowledge | None = None) -> None:
        _check_is("space", space, Space)
        check_type("seed", seed, int)
        _check_is("prior", prior, PriorKnowledge | None)
        self.space = space
        self._proposer = CostAwareProposer(seed, prior or PriorKnowledge())
        self._independent = RandomSampler(seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return all_distributions(self.space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the parameters of the next setting. Raises ValueError in a study of several objectives."""
        if len(study.directions) > 1:
            raise ValueError(f"the cost-aware sampler is for one objective, got {len(study.directions)}")
        trials = [
            other
            for other in study.get_trials(deepcopy=False)
            if other.number != trial.number and setting_or_none(other.params) in self.space
        ]
        taken = {to_setting(other.params) for other in trials if other.state != TrialState.FAIL}
        trials = [other for other in trials if other.values is None or math.isfinite(other.values[0])]
        if study.direction == StudyDirection.MINIMIZE:
            trials = [_negated(other) for other in trials]
        setting = self._proposer.propose(trials, self.space, taken)
        return {} if setting is None else to_params(setting)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._independent.sample_independent(study, trial, param_name, param_distribution)


def _negated(trial: FrozenTrial) -> FrozenTrial:
    """Return a copy of a trial to be minimised, with values of which more is better."""
    negated = copy(trial)
    if trial.values is not None:
        negated.values = [-value for value in trial.values]
    return negated


def suggest_setting(trial: BaseTrial, space: Space) -> Setting:
    """Return the setting that a trial suggests to an objective function of your own.

    The setting may lie outside the space, unless the sampler of the study is the CostAwareSampler. `Space.why_not` says
    why. Raises UsageError where the arguments are no trial and no space.
    """
    _check_is("trial", trial, BaseTrial)
    _check_is("space", space, Space)
    params: Params = {}
    for choice in space.dimensions:
        if choice.head in (None, params.get("head")) and choice.taps <= params.get("taps", 1):
            params[param_name(choice)] = trial.suggest_categorical(param_name(choice), choice.values)
    return to_setting(params)


def _check_is(name: str, value: object, kind: Any) -> None:
    """Raise UsageError for a value of another type."""
    if not isinstance(value, kind):
        words = getattr(kind, "__name__", str(kind).rpartition(".")[2])
        raise UsageError(f"`{name}` must be a {words}, got {shown(value)}")
