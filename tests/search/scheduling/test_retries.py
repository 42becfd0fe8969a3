"""Trials that fail because of the machine are tried again. Trials that fail because of the setting are not."""

import errno
from collections.abc import Callable

import pytest
import torch
from optuna.trial import TrialState

from objectives.results import Accuracy, Evaluation
from search.database.records import RunRecord, StudyRecord
from search.database.store import Store
from search.samplers.catalog import sampler_named
from search.scheduling.driver import NoMoreTrials, StudyDriver
from search.scheduling.requests import TrialRequest
from search.scheduling.retries import MAX_ATTEMPTS
from search.scheduling.worker import is_machine_fault
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


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EMFILE, "Too many open files"),
        ConnectionResetError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError('Error while serializing: IoError(Os { code: 28, message: "No space left on device" })'),
    ],
    ids=str,
)
def test_faults_of_the_machine(error: Exception) -> None:
    assert is_machine_fault(error)


@pytest.mark.parametrize("error", [ValueError("l2"), RuntimeError("shape mismatch"), ZeroDivisionError()], ids=str)
def test_faults_of_a_setting(error: Exception) -> None:
    assert not is_machine_fault(error)
