"""Accuracy against cost: a study of two values, from the sampler to the database and what is read of it."""

from collections.abc import Callable

import pytest
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from objectives.results import GMACS, Accuracy, Evaluation, StudyResults
from search.database.optuna_storage.parameters import distributions, to_params, to_setting
from search.database.records import RunRecord
from search.database.store import Store
from search.samplers.catalog import SAMPLERS, sampler_named
from search.scheduling.requests import TrialRequest
from search.scheduling.trials.driver import StudyDriver
from spaces import Setting, Space
from tests.support.sampling import score
from tests.support.studies import MakeRecord

BOTH = {"objectives": "accuracy, cost"}


def trial_of(setting: Setting, space: Space, number: int = 0) -> FrozenTrial:
    trial = create_trial(
        state=TrialState.COMPLETE,
        values=[score(setting, space), space.architecture.pass_gmacs(setting)],
        params=to_params(setting),
        distributions=distributions(space, setting),
    )
    trial.number = number
    return trial


def search(name: str, space: Space, count: int, seed: int = 0) -> list[FrozenTrial]:
    proposer, trials = sampler_named(name, seed), list[FrozenTrial]()
    for number in range(count):
        taken = {to_setting(trial.params) for trial in trials}
        setting = proposer.propose(trials, space, taken)
        assert setting is not None
        assert setting in space
        assert setting not in taken
        trials.append(trial_of(setting, space, number))
    return trials


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_continues_a_study_with_two_objectives(space: Space, name: str) -> None:
    several = space.narrow(taps=(1, 2)) if name == "greedy" else space
    trials = search(name, several, 24 if name == "greedy" else 12)
    assert any(to_setting(trial.params).further for trial in trials) == (name == "greedy")


def test_tpe_searches_for_cheap_and_for_good_settings(space: Space) -> None:
    """Compare the areas that the Pareto fronts dominate. In this space further draws cost and gain nothing."""
    drawn = space.narrow(draws=(1, 4))

    def dominated_area(trials: list[FrozenTrial]) -> float:
        best, area = 0.7, 0.0
        for value, cost in sorted((trial.values for trial in trials), key=lambda values: values[1]):
            area += max(value - best, 0.0) * (0.4 - cost)
            best = max(best, value)
        return area

    every = [trial_of(setting, drawn) for setting in drawn.settings()]
    for seed in (0, 1):
        assert (
            dominated_area(search("random", drawn, 40, seed))
            < dominated_area(search("tpe", drawn, 40, seed))
            > 0.95 * dominated_area(every)
        )


def test_a_study_by_cost_has_a_second_direction_and_another_identity(store: Store, make_record: MakeRecord) -> None:
    plain, both = make_record(), make_record(protocol={**make_record().protocol, **BOTH})
    assert (plain.by_cost, both.by_cost) == (False, True)
    assert plain.identity != both.identity
    one, two = (store.load(store.ensure_study(facts)) for facts in (plain, both))
    assert one.directions == [StudyDirection.MAXIMIZE]
    assert two.directions == [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]
    assert two.metric_names == ["validation accuracy", "GMAC an image"]


@pytest.fixture
def read(
    store: Store, make_record: MakeRecord, run_record: RunRecord, space: Space
) -> Callable[[int], tuple[StudyResults, str]]:
    """A study of so many trials by a driver, and its name."""

    def made(budget: int) -> tuple[StudyResults, str]:
        name = store.ensure_study(make_record(protocol=BOTH, space=space))
        run = store.begin_run(name, run_record)
        proposer = sampler_named("tpe", 0)
        driver = StudyDriver(store, name, space, proposer, seed=0, budget=budget, run_id=run)
        while isinstance(request := driver.next_trial(), TrialRequest):
            for epoch in range(1, 8):  # the later the worse: pruned, if anything were
                assert not driver.report_epoch(request.number, epoch, 0.5 - request.number / 100)
            gmacs = space.architecture.pass_gmacs(request.setting)
            done = Evaluation(
                Accuracy(round(1000 * score(request.setting, space)), 1000),
                {"fit": 0.1},
                10,
                20,
                {"l2": 0.1, GMACS: gmacs},
            )
            driver.complete(request.number, done)
        return store.read_study(name), name

    return made


def test_two_objectives_are_stored_and_read_and_nothing_is_pruned(
    store: Store, read: Callable[[int], tuple[StudyResults, str]]
) -> None:
    study, name = read(12)
    assert study.by_cost
    assert study.count("complete") == 12
    values = {trial.number: trial.values for trial in store.trials(name).own}
    for trial in study.complete:
        assert trial.validation is not None
        assert values[trial.number] == [trial.validation.value, trial.gmacs]
    assert {trial.user_attrs[GMACS] for trial in store.trials(name).own} == {trial.gmacs for trial in study.complete}
    front = {tuple(values[trial.number]) for trial in study.pareto_front}
    assert front == {tuple(trial.values) for trial in store.load(name).best_trials}
    assert (store.studies()[0].best, study.pareto_front[-1]) == (
        max(value for value, _ in values.values()),
        study.complete[0],
    )
    again, _ = read(14)
    assert again.count("complete") == 14


def test_an_evaluation_without_a_cost_is_refused(
    store: Store, make_record: MakeRecord, run_record: RunRecord, space: Space
) -> None:
    name = store.ensure_study(make_record(protocol=BOTH))
    driver = StudyDriver(
        store, name, space, sampler_named("random", 0), seed=0, budget=2, run_id=store.begin_run(name, run_record)
    )
    request = driver.next_trial()
    assert isinstance(request, TrialRequest)
    with pytest.raises(KeyError, match=GMACS):
        driver.complete(request.number, Evaluation(Accuracy(1, 2), {}, 0, 0))
    driver.abandon()
    assert [trial.state for trial in store.trials(name).own] == [TrialState.FAIL]
