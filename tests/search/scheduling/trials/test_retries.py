"""Trials that fail because of the machine are tried again. Trials that fail because of the setting are not."""

from collections import Counter
from collections.abc import Callable

import pytest
from optuna.trial import TrialState

from objectives.results import Accuracy, Evaluation
from search.database.records import RunRecord, StudyRecord
from search.database.store import Store
from search.samplers.catalog import sampler_named
from search.scheduling.requests import NoMoreTrials, TrialRequest
from search.scheduling.trials.driver import MAX_FAILURES, StudyDriver
from search.scheduling.trials.retries import MAX_ATTEMPTS
from spaces import Setting, Space

EVALUATION = Evaluation(Accuracy(18, 20), {"fit": 0.5}, 7, 10)
Start = Callable[[], StudyDriver]


@pytest.fixture
def small(space: Space) -> Space:
    """Three settings."""
    return space.narrow(timesteps=(10, 90, 300), blocks=(4,), pools=(1,), heads=("linear",))


@pytest.fixture
def start(store: Store, make_record: Callable[..., StudyRecord], small: Space, run_record: RunRecord) -> Start:
    """Start another run of one study."""
    study = store.ensure_study(make_record(space=small))

    def started() -> StudyDriver:
        run = store.begin_run(study, run_record)
        return StudyDriver(store, study, small, sampler_named("grid", 0), seed=0, budget=9, run_id=run)

    return started


def failing_settings(driver: StudyDriver) -> list[Setting]:
    """Let every trial of a run fail because of the machine, and return their settings."""
    settings = []
    while isinstance(request := driver.next_trial(), TrialRequest):
        settings.append(request.setting)
        driver.fail(request.number, "the worker process died: no space left", by_machine=True)
    return settings


def test_after_a_run_whose_workers_failed_the_next_run_tries_every_setting(start: Start, small: Space) -> None:
    broken = start()
    assert failing_settings(broken) == [*small.settings()] * MAX_ATTEMPTS
    answer = broken.next_trial()
    assert isinstance(answer, NoMoreTrials)
    assert answer.reason == (
        "every setting of the space has been tried, 3 in all; 3 of them failed because of the machine, and the next "
        "run tries them again"
    )
    mended = start()
    for number, setting in enumerate(small.settings(), start=9):
        assert mended.next_trial() == TrialRequest(number, setting, 4)
        mended.complete(number, EVALUATION)
    assert mended.next_trial() == NoMoreTrials("every setting of the space has been tried, 3 in all")


def test_every_later_run_tries_a_setting_first_that_the_machine_failed(start: Start, small: Space) -> None:
    first = next(small.settings())
    for _ in range(2 * MAX_ATTEMPTS):
        driver = start()
        request = driver.next_trial()
        assert isinstance(request, TrialRequest)
        assert request.setting == first
        driver.fail(request.number, "CUDA out of memory", by_machine=True)
    assert failing_settings(start()).count(first) == MAX_ATTEMPTS


def test_settings_that_always_fail_do_not_end_a_run(
    store: Store, make_record: Callable[..., StudyRecord], space: Space, run_record: RunRecord
) -> None:
    """A quarter of the settings always takes too much memory. They are retried between trials that succeed."""
    name = store.ensure_study(make_record())
    for budget in (40, 60):
        run = store.begin_run(name, run_record)
        driver = StudyDriver(store, name, space, sampler_named("random", 0), seed=0, budget=budget, run_id=run)
        while isinstance(request := driver.next_trial(), TrialRequest):
            if request.setting.block == 3:
                driver.fail(request.number, "out of memory", by_machine=True)
            else:
                driver.complete(request.number, EVALUATION)
        assert store.read_study(name).count("complete") == budget


def test_a_failure_of_the_setting_is_final(store: Store, start: Start, small: Space) -> None:
    driver = start()
    request = driver.next_trial()
    assert isinstance(request, TrialRequest)
    driver.fail(request.number, "the fit does not converge")
    assert request.setting not in failing_settings(start())
    assert store.trials(driver.name).own[0].state == TrialState.FAIL
    assert driver.trial_for(request.setting) is None


def test_a_requested_trial_is_repeated_after_a_fault_of_the_machine(start: Start, small: Space) -> None:
    driver, wanted = start(), next(small.settings())
    request = driver.trial_for(wanted)
    assert request is not None
    driver.fail(request.number, "no space left on device", by_machine=True)
    assert driver.trial_for(wanted) == TrialRequest(1, wanted, 2)


def test_a_setting_that_lost_its_worker_comes_next_and_counts_as_no_failure(start: Start, small: Space) -> None:
    """Settings that the machine failed wait for a success, and a machine that is lost takes many workers with it."""
    driver, first = start(), next(small.settings())
    for attempt in range(1, MAX_ATTEMPTS):
        assert driver.next_trial() == TrialRequest(attempt - 1, first, attempt)
        driver.lose(attempt - 1, "killed", again=True)
    assert driver.next_trial() == TrialRequest(MAX_ATTEMPTS - 1, first, MAX_ATTEMPTS)
    driver.lose(MAX_ATTEMPTS - 1, "killed", again=False)
    other = driver.next_trial()
    assert isinstance(other, TrialRequest)
    assert other.setting != first


def test_many_workers_that_die_at_once_do_not_end_a_run(
    store: Store, make_record: Callable[..., StudyRecord], space: Space, run_record: RunRecord
) -> None:
    name, workers = store.ensure_study(make_record()), 2 * MAX_FAILURES
    run = store.begin_run(name, run_record)
    driver = StudyDriver(store, name, space, sampler_named("random", 0), seed=0, budget=workers, run_id=run)
    lost = [driver.next_trial() for _ in range(workers)]
    for request in lost:
        assert isinstance(request, TrialRequest)
        driver.lose(request.number, "its machine was lost", again=True)
    settings = {request.setting for request in lost if isinstance(request, TrialRequest)}
    for _ in range(workers):
        request = driver.next_trial()
        assert isinstance(request, TrialRequest)
        assert (request.setting in settings, request.attempt) == (True, 2)
        driver.complete(request.number, EVALUATION)
    assert isinstance(driver.next_trial(), NoMoreTrials)
    assert store.read_study(name).count("complete") == len(settings) == workers


def test_settings_that_always_kill_their_worker_do_not_end_the_next_run(
    store: Store, make_record: Callable[..., StudyRecord], space: Space, run_record: RunRecord
) -> None:
    name = store.ensure_study(make_record())
    for budget in (40, 60):
        run = store.begin_run(name, run_record)
        driver = StudyDriver(store, name, space, sampler_named("random", 0), seed=0, budget=budget, run_id=run)
        losses: Counter[Setting] = Counter()
        while isinstance(request := driver.next_trial(), TrialRequest):
            if request.setting.block == 3:
                losses[request.setting] += 1
                driver.lose(request.number, "killed", again=losses[request.setting] < MAX_ATTEMPTS)
            else:
                driver.complete(request.number, EVALUATION)
        assert store.read_study(name).count("complete") == budget
        assert max(losses.values()) == MAX_ATTEMPTS
