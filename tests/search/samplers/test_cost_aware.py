"""The costs of trials, and the sampler that uses them, in plain Optuna studies."""

import math
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Literal

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.database.optuna_storage.parameters import distributions, to_params, to_setting
from search.samplers.catalog import sampler_named
from search.samplers.cost_aware import STARTUP_TRIALS, CostAwareProposer, CostAwareSampler, suggest_setting
from search.samplers.proposers import LateProposer, StartingProposer, expected_improvement
from search.surrogates.past_tasks import PriorKnowledge, past_task_of
from search.surrogates.trial_cost import OVERHEAD_SECONDS, CostModel, TrialCost, measured_cost
from spaces import Setting, Space, Tap
from tests.support.sampling import best, score, search

PLACE = Setting(90, 5, 2, "linear")


def trial(space: Space, setting: Setting, **changes: object) -> FrozenTrial:
    kinds = distributions(space, setting)
    made = create_trial(value=score(setting, space), params=to_params(setting), distributions=kinds)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def test_a_trial_reports_its_cost_or_else_its_seconds(space: Space) -> None:
    seconds = {"extract": 8.0, "wait": 1.0, "read": 0.1, "fit": 0.4}
    recorded = trial(space, PLACE, user_attrs={"seconds": seconds, "passes": {"made": 100, "needed": 200}})
    assert measured_cost(recorded) == TrialCost(PLACE, 100, 8.0, 0.5)
    start = datetime(2026, 1, 1)
    timed = trial(space, PLACE, datetime_start=start, datetime_complete=start + timedelta(seconds=3))
    assert measured_cost(timed) == TrialCost(PLACE, 0, 0.0, 3.0)
    assert measured_cost(trial(space, PLACE, state=TrialState.RUNNING, datetime_complete=None)) is None


@pytest.mark.parametrize(
    ("setting", "cached", "passes"),
    [
        (PLACE, {}, 200),
        (PLACE, {(90, False): 1.0}, 0),
        (PLACE, {(90, False): 0.25}, 150),
        (PLACE, {(10, False): 1.0}, 200),
        (PLACE, {(90, True): 1.0}, 200),
        (replace(PLACE, draws=0), {(90, False): 4.0}, 200),
        (replace(PLACE, draws=0), {(90, True): 0.5}, 100),
        (replace(PLACE, draws=3), {(90, False): 1.0}, 400),
        (PLACE.reading(Tap(5, 90), Tap(8, 90)), {}, 200),
        (PLACE.reading(Tap(5, 90), Tap(8, 300)), {(90, False): 1.0}, 200),
    ],
)
def test_only_passes_that_the_cache_lacks_are_counted(
    space: Space, setting: Setting, cached: dict[tuple[int | None, bool], float], passes: float
) -> None:
    assert CostModel(space, 200, cached).missing_passes(setting) == pytest.approx(passes)


def test_seconds_are_learned_from_finished_trials(space: Space) -> None:
    def fit(setting: Setting) -> float:
        return (0.3 if setting.head == "mlp" else 0.01) * setting.pool**2

    mlp = next(setting for setting in space.settings() if setting.head == "mlp")
    settings = [replace(PLACE, pool=pool) for pool in (1, 2, 4)] + [replace(mlp, pool=pool) for pool in (1, 2)]
    costs = tuple(TrialCost(setting, 100, 5.0, fit(setting)) for setting in settings)
    model = CostModel(space, 200, {(90, False): 1.0}, costs)
    assert model.seconds_per_pass == pytest.approx(0.05)
    for setting in (*settings, replace(mlp, pool=4)):
        assert model.fit_seconds(setting) == pytest.approx(fit(setting), rel=0.5)
    assert model.seconds(PLACE) == pytest.approx(OVERHEAD_SECONDS + model.fit_seconds(PLACE))
    assert model.seconds(replace(PLACE, timestep=10)) == pytest.approx(model.seconds(PLACE) + 10)


def test_the_sampler_explores_a_timestep_before_it_pays_for_another(space: Space) -> None:
    trials = search(CostAwareProposer(0, PriorKnowledge(past_tasks=())), space, 30)
    timesteps = [trial.params["timestep"] for trial in trials]
    assert len(set(timesteps[:STARTUP_TRIALS])) == 1
    changes = sum(one != other for one, other in pairwise(timesteps))
    assert changes < 15  # of three timesteps, at random two thirds of the trials change
    assert best(trials) > 0.9


def test_a_similar_past_task_leads_to_the_best_setting_at_once(space: Space) -> None:
    scores = [(setting, score(setting, space)) for setting in space.settings() if setting.head == "linear"]
    past = past_task_of("the same", space.architecture, scores, 10, 1000)
    trials = search(CostAwareProposer(0, PriorKnowledge(past_tasks=(past,))), space.narrow(heads=["linear"]), 10)
    assert best(trials) == pytest.approx(max(value for _, value in scores), abs=0.011)


def test_the_sampler_learns_from_stopped_trials(space: Space) -> None:
    """Every mlp trial but the first is stopped early, and is therefore quick."""
    trials: list[FrozenTrial] = []
    taken: set[Setting] = set()
    proposer = CostAwareProposer(0, PriorKnowledge(past_tasks=()))
    for number in range(40):
        setting = proposer.propose(trials, space, taken)
        assert setting is not None
        taken.add(setting)
        seconds, state = {"fit": 0.5}, TrialState.COMPLETE
        if setting.head == "mlp" and any(earlier.params["head"] == "mlp" for earlier in trials):
            seconds, state = {"fit": 0.01}, TrialState.PRUNED
        finished = trial(space, setting, state=state, number=number, user_attrs={"seconds": seconds})
        finished.values = [score(setting, space) - 0.1 * (setting.head == "mlp")]
        trials.append(finished)
    stopped = sum(finished.state == TrialState.PRUNED for finished in trials)
    assert 0 < stopped < 32  # of 40 trials; a sampler that learned nothing from them would stop 36


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_any_optuna_study_can_use_it(space: Space, direction: Literal["maximize", "minimize"]) -> None:
    sign = 1 if direction == "maximize" else -1

    def objective(trial: optuna.Trial) -> float:
        setting = suggest_setting(trial, space)
        assert setting in space
        if trial.number == 3:
            raise optuna.TrialPruned
        return sign * score(setting, space)

    study = optuna.create_study(sampler=CostAwareSampler(space, seed=1), direction=direction)
    study.optimize(objective, n_trials=30)
    assert len({to_setting(trial.params) for trial in study.trials}) == 30
    assert sign * study.best_value > 0.9


def test_trials_that_are_no_setting_of_the_space_are_ignored(space: Space) -> None:
    study = optuna.create_study(sampler=CostAwareSampler(space), direction="maximize")
    study.optimize(lambda trial: score(suggest_setting(trial, space), space), n_trials=6)
    in_space, kinds = to_params(PLACE), distributions(space, PLACE)
    outside = Setting(11, 3, 1, "linear")
    head = CategoricalDistribution(["linear", 5])
    odd: list[tuple[Any, Any, float, dict[str, Any]]] = [
        ({"x": 0.5}, {"x": FloatDistribution(0, 1)}, 0.99, {}),
        ({"head": 5}, {"head": head}, 0.99, {}),
        (in_space, kinds, math.inf, {}),
        (in_space, kinds, 0.5, {"seconds": 12.5, "passes": "many"}),
        (
            to_params(outside),
            {name: CategoricalDistribution([value]) for name, value in to_params(outside).items()},
            9.0,
            {},
        ),
    ]
    for params, types, value, attributes in odd:
        with suppress(ValueError):  # Optuna refuses other values of a parameter that it knows
            study.add_trial(create_trial(params=params, distributions={**types}, value=value, user_attrs=attributes))
    settings = [suggest_setting(study.ask(), space) for _ in range(3)]
    assert all(setting in space for setting in settings)


def test_concurrent_trials_have_different_settings(space: Space) -> None:
    study = optuna.create_study(sampler=CostAwareSampler(space), direction="maximize")
    study.optimize(lambda trial: score(suggest_setting(trial, space), space), n_trials=8)
    pending = [study.ask() for _ in range(6)]
    settings = [suggest_setting(trial, space) for trial in pending]
    assert len(set(settings)) == 6
    assert all(setting in space for setting in settings)


def test_several_objectives_are_refused(space: Space) -> None:
    study = optuna.create_study(sampler=CostAwareSampler(space), directions=["maximize", "minimize"])
    with pytest.raises(ValueError, match="for one objective, got 2"):
        study.ask(dict(distributions(space, PLACE)))


def test_a_space_too_large_to_list_is_sampled_from(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.samplers.cost_aware.MAX_CANDIDATES", 40)
    trials = search(CostAwareProposer(0), space, 20)
    assert best(trials) > 0.85
    assert math.isfinite(best(trials))


def test_it_says_what_it_expects_to_gain_and_the_others_do_not(space: Space) -> None:
    proposer = CostAwareProposer(0)
    late = LateProposer(lambda: StartingProposer((), proposer))
    assert expected_improvement(late) == math.inf
    trials, expected = list[FrozenTrial](), list[float]()
    settings = sorted(space.settings(), key=lambda setting: score(setting, space))
    for setting in [settings[index] for index in (10, 40, 70, 100, 30, 60, 90, *range(-30, 0))]:
        taken = {to_setting(made.params) for made in trials}
        assert late.propose(trials, space, taken) is not None
        expected.append(expected_improvement(late) or 0.0)
        trials.append(trial(space, setting, number=len(trials)))
    assert expected[: STARTUP_TRIALS - 1] == [math.inf] * (STARTUP_TRIALS - 1)
    assert 0 <= expected[-1] < expected[STARTUP_TRIALS] < math.inf
    assert expected_improvement(sampler_named("tpe", 0)) is None
