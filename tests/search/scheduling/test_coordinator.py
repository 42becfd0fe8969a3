"""The coordinator ends a run whose workers do not start, and no run whose baselines fail. Driver and study are real."""

import pytest

from objectives.results import Accuracy, Extracted, Final, ScreenedPart
from search.database.store import Store
from search.scheduling import watchdog as module
from search.scheduling.coordinator import Coordinator
from search.scheduling.requests import BaselineRequest, NoMoreTrials, NoTrialYet, TrialRequest
from spaces import SearchError, Setting
from tests.support.stages import (
    DEATH,
    FIRST_BLOCK,
    PART,
    PIXELS,
    BrokenBaselines,
    TwoBaselines,
    requested,
)


def reason_of(store: Store, study: str) -> str:
    (trial,) = store.read_study(study).trials
    assert trial.state in ("failed", "interrupted")
    return trial.reason or ""


def test_a_run_none_of_whose_workers_starts_ends_and_its_setting_is_tried_again(
    coordinator: Coordinator, store: Store, study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = coordinator.stop
    monkeypatch.setattr(module, "START_SECONDS", -1)
    assert (before, coordinator.stop) == (False, True)
    with pytest.raises(SearchError, match="no worker process started within -1 s"):
        coordinator.raise_error()
    assert reason_of(store, study) == "interrupted: the run was stopped"


def test_a_worker_that_takes_long_to_load_its_network_has_started(
    coordinator: Coordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not coordinator.handle_result("a", {"worker": "started"})
    monkeypatch.setattr(module, "START_SECONDS", -1)
    assert not coordinator.stop


def test_a_run_whose_workers_all_wait_for_a_machine_ends_in_words(
    coordinator: Coordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    coordinator.handle_result("a", {"worker": "ready"})
    coordinator.handle_loss("a", DEATH)
    requested(coordinator, "b")
    before = coordinator.stop
    monkeypatch.setattr(module, "START_SECONDS", -1)
    assert (before, coordinator.stop) == (False, True)
    with pytest.raises(SearchError, match=r"no worker process started any more within -1 s; .* again continues"):
        coordinator.raise_error()


def test_a_request_that_a_worker_has_received_does_not_wait_for_one(
    coordinator: Coordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "START_SECONDS", -1)
    coordinator.handle_start("a")
    assert [coordinator.stop for _ in range(2)] == [False, False]


def test_a_worker_that_cannot_be_used_ends_the_run(coordinator: Coordinator) -> None:
    assert coordinator.handle_result("a", {"unfit": "the worker on 10.0.0.2 cannot be used: it has version 0"})
    with pytest.raises(SearchError, match=r"the worker on 10\.0\.0\.2 cannot be used: it has version 0"):
        coordinator.raise_error()


def test_trials_begin_when_the_screening_has_ended(screening_first: Coordinator, store: Store, study: str) -> None:
    ready, result = {"worker": "ready"}, {"report": ScreenedPart(())}
    assert screening_first.next_request("a") == PART
    assert isinstance(screening_first.next_request("b"), NoTrialYet)
    assert not screening_first.handle_result("a", ready)
    assert not screening_first.handle_result("a", {"report": Extracted(300, 300, 300)})
    assert not screening_first.handle_result("a", result)
    screening_first.handle_end("a")  # as Ray Tune reports every end
    assert screening_first.next_request("b") == PART
    assert not store.read_study(study).trials
    assert not screening_first.handle_result("b", result)
    assert isinstance(screening_first.next_request("c"), TrialRequest)
    assert not screening_first.stop


def test_a_part_that_fails_ends_the_run_in_words(screening_first: Coordinator) -> None:
    screening_first.next_request("a")
    screening_first.handle_result("a", {"worker": "ready"})
    screening_first.handle_result("a", {"error": "ValueError: no such block"})
    assert screening_first.stop
    with pytest.raises(SearchError, match=r"screening .* on 300 images failed: ValueError: no such block; every fin"):
        screening_first.raise_error()


def test_baselines_are_made_while_finals_run_and_after_them(at_the_end: Coordinator, baselines: TwoBaselines) -> None:
    assert at_the_end.next_request("b") == BaselineRequest(None)
    assert not at_the_end.handle_result("b", {"worker": "ready"})
    assert not at_the_end.handle_result("b", {"report": PIXELS})
    at_the_end.handle_end("b")  # as Ray Tune reports every end
    assert baselines.kept == [PIXELS]
    assert isinstance(at_the_end.next_request("c"), NoTrialYet)
    setting, accuracy = Setting(10, 3, 1, "linear"), Accuracy(9, 10)
    assert not at_the_end.handle_result("a", {"report": Final(setting, 1, accuracy, accuracy, 1.0, 0, 0)})
    at_the_end._wait_until = 0
    assert at_the_end.next_request("d") == BaselineRequest(FIRST_BLOCK)
    assert isinstance(at_the_end.next_request("e"), NoTrialYet)  # it may lose its worker
    at_the_end.handle_end("d")
    assert isinstance(at_the_end.next_request("e"), NoMoreTrials)


@pytest.mark.parametrize(
    "result",
    [
        None,
        {"unfit": "the worker on 10.0.0.2 cannot be used"},
        {"cause": SearchError("the disk is full")},
        {"error": "ValueError: no room"},
        {"error": "MemoryError: no room", "by_machine": True},
    ],
)
def test_a_baseline_that_fails_costs_a_run_nothing(
    at_the_end: Coordinator, baselines: TwoBaselines, result: dict[str, object] | None, caplog: pytest.LogCaptureFixture
) -> None:
    at_the_end.handle_result("a", {"worker": "ready"})
    for _ in range(3 if result is None or "by_machine" in result else 1):
        assert requested(at_the_end, "b") == BaselineRequest(None)
        if result is None:
            at_the_end.handle_loss("b", DEATH)
        else:
            assert not at_the_end.handle_result("b", result)
            at_the_end.handle_end("b")
    at_the_end.baselines.source = BrokenBaselines()
    assert isinstance(at_the_end.next_request("c"), NoTrialYet)
    assert not at_the_end.stop
    assert baselines.kept == []
    line, broken = caplog.messages
    assert line.startswith("the report will lack a baseline, that of the pixels: ")
    assert broken == "the report will lack baselines: no such column"
    at_the_end.raise_error()
