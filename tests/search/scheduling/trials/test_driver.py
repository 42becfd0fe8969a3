"""The rules of a study: exactly the budget, no setting twice, whatever dies on the way."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from optuna.pruners import NopPruner
from optuna.trial import TrialState, create_trial

from objectives.results import Accuracy, Evaluation, IntervalEstimate, Scores
from search.database.models import RunRow
from search.database.records import RunRecord, StudyRecord
from search.database.store import Store
from search.samplers.catalog import sampler_named
from search.scheduling.requests import NoMoreTrials, NoTrialYet, TrialRequest
from search.scheduling.trials.driver import StudyDriver
from search.scheduling.trials.retries import MAX_ATTEMPTS
from spaces import InvalidSpaceError, Setting, Space, StorageError

EVALUATION = Evaluation(
    Accuracy(18, 20), {"extract": 1.23456, "fit": 0.5}, passes_made=7, passes_needed=10, details={"l2": 0.01}
)

MakeDriver = Callable[..., StudyDriver]


@pytest.fixture
def study(store: Store, make_record: Callable[..., StudyRecord]) -> str:
    return store.ensure_study(make_record())


@pytest.fixture
def make_driver(store: Store, study: str, space: Space, run_record: RunRecord) -> MakeDriver:
    """A driver of a new run; `host` says where it runs, so that its death shows by its silence alone."""

    def made(budget: int = 5, sampler: str = "random", host: str = run_record.host, of: Space = space) -> StudyDriver:
        run = store.begin_run(study, replace(run_record, host=host))
        return StudyDriver(store, study, of, sampler_named(sampler, 0), seed=0, budget=budget, run_id=run)

    return made


def silence(store: Store, driver: StudyDriver) -> None:
    """Make the driver's run look as it does a minute after its machine was switched off."""
    with store.session() as session:
        session.get_one(RunRow, driver.run_id).heartbeat -= timedelta(minutes=2)


def request(driver: StudyDriver) -> TrialRequest:
    answer = driver.next_trial()
    assert isinstance(answer, TrialRequest), answer
    return answer


def test_a_trial_is_stored_as_reported(store: Store, study: str, space: Space, make_driver: MakeDriver) -> None:
    driver = make_driver()
    first, second, third = (request(driver) for _ in range(3))
    assert [first.number, second.number, third.number] == [0, 1, 2]
    driver.complete(second.number, EVALUATION)
    assert not driver.report_epoch(first.number, 1, 0.25)
    driver.prune(first.number)
    driver.fail(third.number, "out of\n  memory")

    complete, pruned, failed = (store.load(study).trials[number] for number in (1, 0, 2))
    assert (complete.state, complete.value) == (TrialState.COMPLETE, 0.9)
    assert complete.user_attrs["Accuracy"] == "90.0 % (69.9–97.2), 18 of 20 validation images"
    assert complete.user_attrs["seconds"] == {"extract": 1.235, "fit": 0.5}
    assert complete.user_attrs["passes"] == {"made": 7, "needed": 10}
    assert complete.user_attrs["l2"] == 0.01
    assert complete.user_attrs["run"] == driver.run_id
    assert complete.user_attrs["space digest"] == space.digest()
    assert set(complete.params) >= {"timestep", "block", "pool", "draws", "head"}
    assert (pruned.state, pruned.value) == (TrialState.PRUNED, 0.25)
    assert (failed.state, failed.user_attrs["reason"]) == (TrialState.FAIL, "out of memory")

    trials = store.read_study(study).trials
    assert [trial.setting for trial in trials] == [first.setting, second.setting, third.setting]
    assert [trial.state for trial in trials] == ["pruned", "complete", "failed"]
    assert trials[1].validation == EVALUATION.validation
    assert trials[1].seconds == EVALUATION.seconds
    assert trials[0].curve == ((1, 0.25),)
    assert all(trial.finished is not None for trial in trials)


def test_optuna_maximises_and_prunes_by_the_metric(
    store: Store, make_record: Callable[..., StudyRecord], space: Space, run_record: RunRecord
) -> None:
    study = store.ensure_study(make_record(protocol={"metric": "nll"}))
    run = store.begin_run(study, run_record)
    driver = StudyDriver(store, study, space, sampler_named("random", 0), seed=0, budget=9, run_id=run)
    nll = {"nll": IntervalEstimate(0.25, 0.2, 0.3)}
    first, second = request(driver), request(driver)
    driver.complete(first.number, replace(EVALUATION, metric_score=-0.25, scores=Scores(20, nll)))
    assert not driver.report_epoch(second.number, 1, -1.5)
    driver.prune(second.number, replace(EVALUATION, metric_score=-1.5))
    complete, pruned = store.load(study).trials
    assert (complete.value, pruned.value) == (-0.25, -1.5)
    assert complete.user_attrs["negative log-likelihood"] == 0.25
    results = store.read_study(study)
    assert [trial.number for trial in results.complete] == [first.number]
    assert results.complete[0].scores == Scores(20, nll)
    assert results.trials[1].curve == ((1, -1.5),)
    assert store.studies()[0].best == -0.25


def test_the_budget_counts_finished_trials_of_all_runs(make_driver: MakeDriver) -> None:
    one, other = make_driver(budget=4), make_driver(budget=4)
    first, second, third = request(one), request(other), request(one)
    one.complete(first.number, EVALUATION)
    other.prune(second.number)
    one.fail(third.number, "broken")  # does not count
    third, fourth = request(one), request(other)
    assert isinstance(one.next_trial(), NoTrialYet)
    assert isinstance(other.next_trial(), NoTrialYet)
    one.fail(third.number, "broken")
    third = request(other)
    other.complete(third.number, EVALUATION)
    other.complete(fourth.number, EVALUATION)
    answer = one.next_trial()
    assert isinstance(answer, NoMoreTrials)
    assert answer.reason == "the study has 4 finished trials, of 4 asked for"
    assert isinstance(request(make_driver(budget=5)), TrialRequest)


def test_a_search_ends_when_the_space_is_exhausted(space: Space, make_driver: MakeDriver) -> None:
    small = space.narrow(timesteps=(10, 90), blocks=(4,), pools=(1, 2), heads=("linear",))
    driver = make_driver(budget=100, of=small)
    trials = [request(driver) for _ in range(len(small))]
    assert {trial.setting for trial in trials} == set(small.settings())
    for trial in trials[1:]:
        driver.complete(trial.number, EVALUATION)
    assert isinstance(driver.next_trial(), NoTrialYet)
    driver.fail(trials[0].number, "broken")
    answer = driver.next_trial()
    assert isinstance(answer, NoMoreTrials)
    assert answer.reason == "every setting of the space has been tried, 4 in all"


def test_an_interrupted_run_is_continued(store: Store, study: str, make_driver: MakeDriver) -> None:
    driver, other = make_driver(budget=3), make_driver(budget=3)
    first, second, third = request(driver), request(driver), request(other)
    driver.complete(first.number, EVALUATION)
    driver.abandon()
    driver.complete(second.number, EVALUATION)  # too late, and harmless
    store.end_run(driver.run_id, "interrupted")
    states = [trial.state for trial in store.read_study(study).trials]
    assert states == ["complete", "interrupted", "running"]
    again = request(make_driver(budget=3))
    assert (again.setting, again.attempt, again.number) == (second.setting, 2, 3)
    assert again.setting != third.setting


def test_the_next_run_closes_the_trials_of_a_dead_run(store: Store, study: str, make_driver: MakeDriver) -> None:
    lost, survivor = make_driver(host="another-machine"), make_driver()
    first = request(lost)
    assert request(survivor).setting != first.setting
    silence(store, lost)
    retried = request(survivor)
    assert (retried.setting, retried.attempt) == (first.setting, 2)
    trial = store.read_study(study).trials[first.number]
    assert (trial.state, trial.reason) == ("interrupted", "interrupted: the process that ran it is gone")
    # The run was not dead, only cut off; what it says now comes too late.
    assert lost.report_epoch(first.number, 1, 0.5)
    lost.complete(first.number, EVALUATION)
    assert store.read_study(study).trials[first.number] == trial


def test_a_setting_that_kills_its_process_repeatedly_is_given_up(
    store: Store, space: Space, make_driver: MakeDriver
) -> None:
    small = space.narrow(timesteps=(10, 90), blocks=(4,), pools=(1,), heads=("linear",))
    settings = []
    for _ in range(MAX_ATTEMPTS):
        driver = make_driver(of=small, host="another-machine")
        settings.append(request(driver).setting)
        silence(store, driver)
    assert len(set(settings)) == 1
    driver = make_driver(of=small)
    assert request(driver).setting != settings[0]
    driver.abandon()
    for attempt in range(2, 2 + MAX_ATTEMPTS):  # but stopping a run in order is not the setting's fault
        again = request(driver)
        assert (again.setting != settings[0], again.attempt) == (True, attempt)
        driver.abandon()


def test_reconcile_does_not_touch_live_runs(store: Store, study: str, make_driver: MakeDriver) -> None:
    lost, live, driver = make_driver(host="another-machine"), make_driver(host="another-machine"), make_driver()
    request(lost), request(live), request(driver)
    silence(store, lost)
    silence(store, driver)  # a driver never takes itself for dead
    driver.reconcile()
    store.record_heartbeat(driver.run_id)
    assert [trial.state for trial in store.read_study(study).trials] == ["interrupted", "running", "running"]


def test_too_many_failures_end_the_run_with_a_readable_error(make_driver: MakeDriver) -> None:
    driver = make_driver(budget=100)
    for _ in range(10):
        driver.fail(request(driver).number, "no luck")
    driver.complete(request(driver).number, EVALUATION)
    for _ in range(11):
        driver.fail(request(driver).number, "CUDA out of memory")
    answer = driver.next_trial()
    assert isinstance(answer, NoMoreTrials)
    assert answer.reason == "11 trials failed with none succeeding between; the last: CUDA out of memory"


def test_a_hopeless_trial_is_pruned(make_driver: MakeDriver) -> None:
    driver = make_driver(budget=100)
    for _ in range(5):
        driver.complete(request(driver).number, EVALUATION)  # a head without epochs does not count
    for level in (0.5, 0.6, 0.7, 0.8, 0.9):
        trial = request(driver)
        assert not any(driver.report_epoch(trial.number, epoch, level) for epoch in (1, 2, 3, 4))
        driver.complete(trial.number, EVALUATION)
    hopeless, good = request(driver), request(driver)
    assert [driver.report_epoch(hopeless.number, epoch, 0.1) for epoch in (1, 2, 3)] == [False, False, True]
    assert [driver.report_epoch(good.number, epoch, 0.75) for epoch in (1, 2, 3)] == [False, False, False]


def test_a_trial_that_is_behind_on_a_rung_is_stopped(make_driver: MakeDriver) -> None:
    driver = make_driver(budget=100)
    first, second, third = (request(driver) for _ in range(3))
    assert not driver.report_rung(first.number, 100, 0.5)
    assert not driver.report_rung(first.number, 200, 0.9)
    assert driver.report_rung(second.number, 100, 0.4)
    assert not driver.report_rung(third.number, 100, 0.6)
    assert driver.report_rung(third.number, 200, 0.8)  # a rung is compared with itself alone
    assert driver.report_rung(99, 100, 1.0)  # no trial of this run


def test_the_score_on_a_rung_is_no_epoch_and_is_stored_with_its_cost(
    store: Store, study: str, make_driver: MakeDriver
) -> None:
    driver = make_driver(budget=100)
    for level in (0.5, 0.6, 0.7, 0.8, 0.9):
        trial = request(driver)
        driver.report_rung(trial.number, 3, level + 10)  # as many images as epochs
        assert not any(driver.report_epoch(trial.number, epoch, level) for epoch in (1, 2, 3, 4))
        driver.complete(trial.number, EVALUATION)
    stopped, good = request(driver), request(driver)
    assert driver.report_rung(stopped.number, 3, 0.1)
    driver.prune(stopped.number, EVALUATION, "pruned: behind other trials on the same 3 images")
    driver.report_rung(good.number, 3, 0.0)
    assert not any(driver.report_epoch(good.number, epoch, 0.75) for epoch in (1, 2, 3, 4))
    results = store.read_study(study)
    assert (results.trials[stopped.number].state, results.finished) == ("pruned", 6)
    assert results.trials[stopped.number].reason == "pruned: behind other trials on the same 3 images"
    assert (results.trials[stopped.number].passes_made, results.trials[stopped.number].seconds) == (
        7,
        EVALUATION.seconds,
    )
    assert results.trials[stopped.number].curve == ()
    assert [epoch for epoch, _ in results.trials[0].curve] == [1, 2, 3, 4]
    assert store.load(study).trials[stopped.number].user_attrs["worth on 3 images"] == 0.1


def test_an_interrupted_trial_does_not_count_twice_on_its_rung(make_driver: MakeDriver) -> None:
    driver = make_driver(budget=100)
    for _ in range(6):
        driver.report_rung(request(driver).number, 100, 0.9)
    driver.abandon()
    again = make_driver(budget=100)
    trial = request(again)
    assert trial.attempt == 2
    assert not again.report_rung(trial.number, 100, 0.1)


def test_the_pruner_can_be_chosen(store: Store, study: str, space: Space, run_record: RunRecord) -> None:
    driver = StudyDriver(
        store,
        study,
        space,
        sampler_named("grid", 0),
        seed=0,
        budget=100,
        run_id=store.begin_run(study, run_record),
        pruner=NopPruner(),
    )
    for level in (0.5, 0.6, 0.7, 0.8, 0.9, 0.1):
        trial = request(driver)
        assert not any(driver.report_epoch(trial.number, epoch, level) for epoch in (1, 2, 3, 4))
        driver.complete(trial.number, EVALUATION)


def test_a_restarted_sampler_continues_the_same_sequence(
    make_record: Callable[..., StudyRecord], store: Store, space: Space, run_record: RunRecord
) -> None:
    def settings_of(name: str, restart_after: set[int]) -> list[Setting]:
        study = store.ensure_study(make_record(chosen_name=name))
        settings: list[Setting] = []
        while len(settings) < 24:
            if not settings or len(settings) in restart_after:
                run = store.begin_run(study, run_record)
                driver = StudyDriver(store, study, space, sampler_named("tpe", 7), seed=7, budget=24, run_id=run)
            trial = request(driver)
            correct = 100 - abs(trial.setting.block - 5) - abs((trial.setting.timestep or 0) - 90) // 10
            driver.complete(trial.number, replace(EVALUATION, validation=Accuracy(correct, 100)))
            settings.append(trial.setting)
        return settings

    straight = settings_of("straight", set())
    assert settings_of("restarted", {5, 13, 20}) == straight
    assert len(set(straight)) == 24


def test_an_unknown_study_is_a_readable_error(store: Store, space: Space) -> None:
    with pytest.raises(StorageError, match="there is no study 'nothing'"):
        StudyDriver(store, "nothing", space, sampler_named("grid", 0), seed=0, budget=1, run_id=1)


def test_a_requested_trial_runs_once_and_ignores_the_budget(
    store: Store, study: str, space: Space, make_driver: MakeDriver
) -> None:
    driver, wanted = make_driver(budget=0), next(space.settings())
    assert isinstance(driver.next_trial(), NoMoreTrials)
    first = driver.trial_for(wanted)
    assert first == TrialRequest(0, wanted, 1)
    assert driver.trial_for(wanted) is None  # it runs
    driver.prune(first.number)
    second = driver.trial_for(wanted)
    assert second == TrialRequest(1, wanted, 1)
    driver.complete(second.number, EVALUATION)
    assert driver.trial_for(wanted) is None
    assert [trial.state for trial in store.read_study(study).trials] == ["pruned", "complete"]


def test_an_interrupted_requested_trial_is_repeated_and_a_failed_one_is_not(
    store: Store, study: str, space: Space, make_driver: MakeDriver
) -> None:
    wanted, other, *_ = space.settings()
    before = make_driver()
    assert before.trial_for(wanted) == TrialRequest(0, wanted, 1)
    for attempt in range(2, MAX_ATTEMPTS + 1):
        silence(store, before)
        before = make_driver(host="elsewhere")
        assert before.trial_for(wanted) == TrialRequest(attempt - 1, wanted, attempt)
    silence(store, before)
    driver = make_driver()
    assert driver.trial_for(wanted) is None  # lost too often
    failing = driver.trial_for(other)
    assert failing is not None
    driver.fail(failing.number, "out of memory")
    assert driver.trial_for(other) is None


def test_a_setting_outside_the_space_cannot_be_requested(store: Store, study: str, make_driver: MakeDriver) -> None:
    with pytest.raises(InvalidSpaceError, match="timestep 11 is not in the space; valid: 10, 90, 300"):
        make_driver().trial_for(Setting(11, 3, 1, "linear"))
    assert store.trials(study).own == ()


def test_nothing_is_learned_from_trials_of_other_programs(store: Store, study: str, make_driver: MakeDriver) -> None:
    for _ in range(6):  # a median of their epochs would stop every trial
        curve = dict.fromkeys((1, 2, 3), 0.99)
        store.load(study).add_trial(
            create_trial(value=0.99, intermediate_values=curve, user_attrs={"worth on 9 images": 1})
        )
    driver = make_driver(sampler="tpe")
    trial = request(driver)
    assert [driver.report_epoch(trial.number, epoch, 0.1) for epoch in (1, 2, 3)] == [False] * 3
    assert not driver.report_rung(trial.number, 9, 0.1)
