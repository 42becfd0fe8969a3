"""What loses its worker process is tried again, three times in all. Driver and study are real."""

import pytest

from objectives.results import ScreenedPart
from search.database.store import Store
from search.scheduling.coordinator import Coordinator
from search.scheduling.events import BaselineEnded, Retried, TrialEnded
from search.scheduling.requests import BaselineRequest, NoMoreTrials, NoTrialYet, TrialRequest
from spaces import SearchError
from tests.support.stages import (
    DEATH,
    PART,
    PIXELS,
    OneRound,
    TwoBaselines,
    requested,
    retries_of,
)


@pytest.mark.parametrize("messages", [[], [{"worker": "started"}]])
def test_processes_that_die_before_any_worker_is_ready_end_the_run_at_the_third_time(
    coordinator: Coordinator, store: Store, study: str, messages: list[dict[str, str]]
) -> None:
    for trial_id in ("a", "b", "c"):
        assert not coordinator.stop
        for message in messages:
            coordinator.handle_result(trial_id, message)
        coordinator.handle_loss(trial_id, DEATH)
        if trial_id != "c":
            assert isinstance(requested(coordinator, chr(ord(trial_id) + 1)), TrialRequest)
    assert coordinator.stop
    with pytest.raises(SearchError, match=f"no worker can start: {DEATH}, 3 times in a row"):
        coordinator.raise_error()
    trials = store.read_study(study).trials
    assert len({trial.setting for trial in trials}) == 1
    assert [trial.reason for trial in trials] == [DEATH, DEATH, "interrupted: the run was stopped"]


def test_workers_of_other_requests_that_die_at_start_are_no_third_time(coordinator: Coordinator) -> None:
    """When a machine of a cluster is lost, all its workers die at once, and those of other machines still start."""
    for trial_id in "bcdefgh":
        requested(coordinator, trial_id)
    for trial_id in "abcdefgh":
        coordinator.handle_loss(trial_id, DEATH)
    assert not coordinator.stop
    for trial_id in "ijklmnop":
        assert isinstance(request := requested(coordinator, trial_id), TrialRequest)
        assert request.attempt == 2


def test_a_trial_that_loses_its_worker_is_tried_again_at_once_three_times_in_all(
    coordinator: Coordinator, store: Store, study: str
) -> None:
    events = retries_of(coordinator)
    (first,) = coordinator.running.values()
    assert isinstance(first, TrialRequest)
    coordinator.handle_result("a", {"worker": "ready"})
    coordinator.handle_loss("a", DEATH)
    second = requested(coordinator, "b")
    assert second == TrialRequest(1, first.setting, 2)
    coordinator.handle_loss("b", DEATH)
    third = requested(coordinator, "c")
    assert third == TrialRequest(2, first.setting, 3)
    coordinator.handle_loss("c", DEATH)
    other = requested(coordinator, "d")
    assert isinstance(other, TrialRequest)
    assert other.setting != first.setting
    assert events == [
        Retried(first, DEATH, 2),
        Retried(second, DEATH, 3),
        TrialEnded(third, "failed", reason=f"{DEATH}, 3 times"),
    ]
    assert not coordinator.stop
    states = [(trial.state, trial.reason) for trial in store.read_study(study).trials]
    assert states == [("failed", DEATH)] * 3 + [("running", None)]


@pytest.mark.parametrize("by_death", [True, False])
def test_a_part_is_tried_again_where_the_machine_was_at_fault(screening_first: Coordinator, by_death: bool) -> None:
    events = retries_of(screening_first)
    for trial_id in ("a", "b", "c"):
        assert requested(screening_first, trial_id) == PART
        screening_first.handle_result(trial_id, {"worker": "ready"})
        if by_death:
            screening_first.handle_loss(trial_id, DEATH)
        else:
            screening_first.handle_result(trial_id, {"error": DEATH, "by_machine": True})
        assert screening_first.stop == (trial_id == "c")
    assert events == [Retried(PART, DEATH, 2), Retried(PART, DEATH, 3)]
    with pytest.raises(SearchError, match=rf"screening .* on 300 images failed: {DEATH}, 3 times; every finished"):
        screening_first.raise_error()


def test_trials_begin_after_a_part_that_was_tried_again(screening_first: Coordinator) -> None:
    assert requested(screening_first, "a") == PART
    screening_first.handle_result("a", {"worker": "ready"})
    screening_first.handle_loss("a", DEATH)
    for trial_id in ("b", "c"):
        assert requested(screening_first, trial_id) == PART
        screening_first.handle_result(trial_id, {"report": ScreenedPart(())})
    assert isinstance(requested(screening_first, "d"), TrialRequest)


@pytest.mark.parametrize("by_death", [True, False])
def test_a_final_is_tried_again_where_the_machine_was_at_fault(two_finals: Coordinator, by_death: bool) -> None:
    events, finals = retries_of(two_finals), two_finals.finals.source
    assert isinstance(finals, OneRound)
    first = finals.requests[0]
    if by_death:
        two_finals.handle_loss("a", DEATH)
    else:
        two_finals.handle_result("a", {"error": DEATH, "by_machine": True})
    two_finals.handle_result("b", finals.result(2))
    assert requested(two_finals, "c") == first
    two_finals.handle_result("c", finals.result(1))
    assert isinstance(two_finals.next_request("d"), NoMoreTrials)
    assert events == [Retried(first, DEATH, 2)]
    assert finals.kept == [2, 1]
    assert not two_finals.stop


def test_a_final_that_loses_three_workers_ends_the_run_after_the_others_of_its_round(two_finals: Coordinator) -> None:
    """Without it the answer would be chosen by less evidence than its protocol says."""
    finals = two_finals.finals.source
    assert isinstance(finals, OneRound)
    two_finals.handle_loss("a", DEATH)
    for trial_id in ("c", "d"):
        assert requested(two_finals, trial_id) == finals.requests[0]
        two_finals.handle_loss(trial_id, DEATH)
    assert isinstance(two_finals.next_request("e"), NoTrialYet)
    assert not two_finals.stop
    two_finals.handle_result("b", finals.result(2))
    two_finals._wait_until = 0
    two_finals.next_request("e")
    assert finals.kept == [2]
    with pytest.raises(SearchError, match=f"seed 1 failed: {DEATH}, 3 times; every finished trial is kept, and the"):
        two_finals.raise_error()


def test_a_final_that_fails_because_of_its_setting_is_not_tried_again(two_finals: Coordinator) -> None:
    events, finals = retries_of(two_finals), two_finals.finals.source
    assert isinstance(finals, OneRound)
    two_finals.handle_result("a", {"error": "ValueError: no"})
    two_finals.handle_result("b", finals.result(2))
    two_finals._wait_until = 0
    two_finals.next_request("c")
    assert events == []
    with pytest.raises(SearchError, match="seed 1 failed: ValueError: no; every finished trial is kept"):
        two_finals.raise_error()


def test_a_baseline_that_loses_its_worker_is_tried_again(at_the_end: Coordinator, baselines: TwoBaselines) -> None:
    events = retries_of(at_the_end)
    assert requested(at_the_end, "b") == BaselineRequest(None)
    at_the_end.handle_result("b", {"worker": "ready"})
    at_the_end.handle_loss("b", DEATH)
    assert requested(at_the_end, "c") == BaselineRequest(None)
    at_the_end.handle_result("c", {"report": PIXELS})
    assert baselines.kept == [PIXELS]
    assert events == [Retried(BaselineRequest(None), DEATH, 2), BaselineEnded(BaselineRequest(None))]
