"""A trial that a person enqueues is the next one, or is refused with the reason, on SQLite and PostgreSQL."""

import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import TrialState, create_trial

from objectives.results import Accuracy, Evaluation
from search.database.optuna_storage.parameters import to_params
from search.database.records import RunRecord, StudyRecord
from search.database.store import Store
from search.samplers.catalog import sampler_named
from search.scheduling.requests import NoMoreTrials, TrialRequest
from search.scheduling.trials.driver import StudyDriver
from search.scheduling.trials.enqueued import enqueued_setting
from spaces import InvalidSpaceError, Setting, Space, StorageError

EVALUATION = Evaluation(Accuracy(18, 20), {"fit": 0.5}, 7, 10)
WANTED = {"timestep": 90, "block": 5, "pool": 2, "draws": 1, "head": "linear"}
SETTING = Setting(90, 5, 2, "linear")


@pytest.fixture
def study(store: Store, make_record: Callable[..., StudyRecord]) -> str:
    return store.ensure_study(make_record())


@pytest.fixture
def driver(store: Store, study: str, space: Space, run_record: RunRecord) -> StudyDriver:
    run = store.begin_run(study, run_record)
    return StudyDriver(store, study, space, sampler_named("random", 0), seed=0, budget=3, run_id=run)


def test_an_enqueued_setting_is_tried_next(store: Store, study: str, driver: StudyDriver) -> None:
    assert isinstance(driver.next_trial(), TrialRequest)
    store.load(study).enqueue_trial(WANTED, user_attrs={"from": "me"})
    assert store.read_study(study).waiting == 1
    assert driver.next_trial() == TrialRequest(1, SETTING, 1)
    driver.complete(1, EVALUATION)
    results = store.read_study(study)
    assert (results.waiting, results.others) == (0, 0)
    assert [trial.setting for trial in results.complete] == [SETTING]
    trial = store.load(study).trials[1]
    assert (trial.value, trial.params) == (0.9, to_params(SETTING))
    assert (trial.user_attrs["from"], trial.user_attrs["Setting"]) == ("me", str(SETTING))


def test_an_enqueued_setting_is_tried_beyond_the_budget(store: Store, study: str, driver: StudyDriver) -> None:
    driver.budget = 0
    store.load(study).enqueue_trial(WANTED)
    assert driver.next_trial() == TrialRequest(0, SETTING, 1)
    assert isinstance(driver.next_trial(), NoMoreTrials)


def test_an_enqueued_setting_of_a_stopped_run_is_tried_again(store: Store, study: str, driver: StudyDriver) -> None:
    store.load(study).enqueue_trial(WANTED)
    driver.next_trial()
    driver.abandon()
    assert driver.next_trial() == TrialRequest(1, SETTING, 2)


def test_a_failed_setting_is_tried_again_where_a_person_enqueues_it(
    store: Store, study: str, driver: StudyDriver
) -> None:
    store.load(study).enqueue_trial(WANTED)
    driver.next_trial()
    driver.fail(0, "a fault that is mended now")
    store.load(study).enqueue_trial(WANTED)
    assert driver.next_trial() == TrialRequest(1, SETTING, 1)


def test_a_waiting_trial_with_parameters_is_tried_too(store: Store, study: str, driver: StudyDriver) -> None:
    kinds: dict[str, BaseDistribution] = {"block": CategoricalDistribution((3, 4, 5, 8, 10))}
    store.load(study).add_trial(create_trial(state=TrialState.WAITING, params={"block": 8}, distributions=kinds))
    request = driver.next_trial()
    assert isinstance(request, TrialRequest)
    assert (request.number, request.setting.block) == (0, 8)


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({**WANTED, "timestep": 91}, "refused: timestep 91 is not in the space; valid: 10, 90, 300"),
        ({**WANTED, "timestep": "90"}, "refused: timestep '90' is not in the space; valid: 10, 90, 300"),
        ({**WANTED, "draws": True}, "refused: draws True is not in the space; valid: 1"),
        ({**WANTED, "block": None}, "refused: block None is not in the space; valid: 3, 4, 5, 8, 10"),
        ({**WANTED, "block": [5]}, "refused: block [5] is not in the space; valid: 3, 4, 5, 8, 10"),
        ({**WANTED, "head": "ridge"}, "refused: head 'ridge' is not in the space; valid: linear, mlp"),
        ({**WANTED, "block": 5, "pool": 4}, "refused: pool 4 is not in the space at block 5; valid: 1, 2"),
        (
            {**WANTED, "mlp.width": 128},
            "refused: mlp.width does not belong to the setting block 5, t 90, pool 2, linear",
        ),
        ({"t": 90}, "refused: the space has no parameter 't'; it has timestep, block, pool, draws, head, mlp.width"),
        ({"x": float("nan"), "\ud800\n\x00": "😀"}, "refused: the space has no parameter 'x'; it has timestep"),
        ({"": 1}, "refused: the space has no parameter ''; it has timestep"),
    ],
)
def test_what_is_not_in_the_space_is_refused_with_the_reason(
    store: Store, study: str, driver: StudyDriver, params: dict[str, Any], reason: str
) -> None:
    store.load(study).enqueue_trial(params)
    store.load(study).enqueue_trial(WANTED)
    assert driver.next_trial() == TrialRequest(1, SETTING, 1)
    refused = store.load(study).trials[0]
    assert refused.state == TrialState.FAIL
    assert refused.user_attrs["Ended"].startswith(reason)
    results = store.read_study(study)
    assert (results.others, results.count("failed"), results.count("running")) == (1, 0, 1)


def test_a_finished_study_refuses_too(store: Store, study: str, driver: StudyDriver) -> None:
    store.load(study).enqueue_trial({"block": 1})
    driver.reconcile()
    assert (
        store.load(study).trials[0].user_attrs["reason"]
        == "refused: block 1 is not in the space; valid: 3, 4, 5, 8, 10"
    )


def test_a_setting_that_was_tried_is_refused(store: Store, study: str, driver: StudyDriver) -> None:
    for _ in range(3):
        store.load(study).enqueue_trial(WANTED)
    assert driver.next_trial() == TrialRequest(0, SETTING, 1)
    driver.reconcile()
    driver.complete(0, EVALUATION)
    reasons = [trial.user_attrs.get("reason") for trial in store.load(study).trials]
    assert reasons == [None, *["refused: the study has a trial of this setting already"] * 2]


def test_a_trial_that_a_notebook_took_meanwhile_is_left_to_it(store: Store, study: str, driver: StudyDriver) -> None:
    store.load(study).enqueue_trial(WANTED)
    enqueued = store.trials(study).enqueued[0]
    asked = store.load(study).ask()
    assert asked.number == 0
    assert not driver._creator.start(enqueued, SETTING, 1)
    asked.study.tell(asked, 0.99)
    assert not driver._creator.start(enqueued, SETTING, 1)


def test_parameters_with_other_values_than_a_runs_are_an_error_in_words(
    store: Store, study: str, driver: StudyDriver
) -> None:
    store.load(study).ask({"block": CategoricalDistribution((1, 2))})
    with pytest.raises(
        StorageError, match="begins with a trial of another program, whose parameters have other values"
    ):
        driver.next_trial()


@pytest.mark.parametrize(
    ("given", "has"),
    [
        ({}, lambda setting: True),
        ({"block": 8.0, "timestep": 300, "taps": 1}, lambda setting: (setting.block, setting.timestep) == (8, 300)),
        ({"mlp.width": 128}, lambda setting: dict(setting.options)["width"] == 128),
        ({"taps": 2, "pool": 4}, lambda setting: (len(setting.taps), setting.pool) == (2, 4)),
        ({"block 2": 3}, lambda setting: any(tap.block == 3 for tap in setting.taps)),
    ],
)
def test_what_a_person_leaves_out_is_random(
    space: Space, given: Mapping[str, Any], has: Callable[[Setting], bool]
) -> None:
    several = space.narrow(taps=(1, 2))
    settings = {enqueued_setting(given, several, (), random.Random(seed)) for seed in range(20)}
    assert len(settings) > 5
    assert all(has(setting) and setting in several for setting in settings)
    assert settings == {enqueued_setting(given, several, (), random.Random(seed)) for seed in range(20)}


def test_settings_that_were_tried_are_not_chosen(space: Space) -> None:
    linear = [s for s in space.settings() if s.head == "linear" and s.block == 8]
    left = enqueued_setting({"head": "linear", "block": 8}, space, linear[1:], random.Random(0))
    assert left == linear[0]
    with pytest.raises(InvalidSpaceError, match="already"):
        enqueued_setting({"head": "linear", "block": 8}, space, linear, random.Random(0))
