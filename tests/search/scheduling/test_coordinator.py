"""The coordinator ends a run whose workers do not start, and no run whose baselines fail. Driver and study are real."""

import pytest

from objectives.results import Accuracy, Baseline, Extracted, Final, Reevaluation, ScreenedPart
from search.database.records import RunRecord
from search.database.store import Store
from search.samplers.catalog import sampler_named
from search.scheduling import coordinator as module
from search.scheduling.coordinator import Coordinator
from search.scheduling.driver import NoMoreTrials, NoTrialYet, StudyDriver
from search.scheduling.events import TrialEvent
from search.scheduling.requests import BaselineRequest, FinalRequest, ScreeningRequest, TrialRequest
from spaces import SearchError, Setting, Space
from tests.support.studies import MakeRecord


class NoFinals:
    def next_round(self) -> list[FinalRequest]:
        return []

    def most_later(self) -> int:
        return 0

    def keep(self, final: Final | Reevaluation) -> None:
        raise AssertionError("no final was asked for")


@pytest.fixture
def study(store: Store, make_record: MakeRecord) -> str:
    return store.ensure_study(make_record())


@pytest.fixture
def coordinator(store: Store, study: str, space: Space, run_record: RunRecord) -> Coordinator:
    """A coordinator whose scheduler has asked for one trial, "a"."""
    driver = StudyDriver(
        store, study, space, sampler_named("random", 0), seed=0, budget=9, run_id=store.begin_run(study, run_record)
    )

    def ignore(event: TrialEvent) -> None:
        pass

    made = Coordinator(driver, NoFinals(), ignore)
    assert isinstance(made.next_request("a"), TrialRequest)
    return made


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


@pytest.mark.parametrize("messages", [[], [{"worker": "started"}]])
def test_a_process_that_dies_before_any_worker_is_ready_ends_the_run(
    coordinator: Coordinator, store: Store, study: str, messages: list[dict[str, str]]
) -> None:
    for message in messages:
        coordinator.handle_result("a", message)
    coordinator.handle_loss("a", "the worker process died: no memory")
    assert coordinator.stop
    with pytest.raises(SearchError, match="no worker can start: the worker process died: no memory"):
        coordinator.raise_error()
    assert reason_of(store, study) == "interrupted: the run was stopped"


def test_a_process_that_dies_later_fails_its_trial_alone(coordinator: Coordinator, store: Store, study: str) -> None:
    coordinator.handle_result("a", {"worker": "started"})
    coordinator.handle_result("a", {"worker": "ready"})
    coordinator.handle_loss("a", "the worker process died: no memory")
    assert not coordinator.stop
    assert reason_of(store, study) == "the worker process died: no memory"


def test_a_worker_that_cannot_be_used_ends_the_run(coordinator: Coordinator) -> None:
    assert coordinator.handle_result("a", {"unfit": "the worker on 10.0.0.2 cannot be used: it has version 0"})
    with pytest.raises(SearchError, match=r"the worker on 10\.0\.0\.2 cannot be used: it has version 0"):
        coordinator.raise_error()


PART = ScreeningRequest((Setting(10, 3, 1, "ridge"), Setting(10, 3, 2, "ridge")), 300)


class TwoRounds:
    """A screening of two parts, the second of which depends on the first."""

    def __init__(self) -> None:
        self.requests, self.results = [PART, PART], 0

    def next_request(self) -> ScreeningRequest | NoTrialYet | None:
        if len(self.requests) == self.results + 1:
            return NoTrialYet()
        return self.requests.pop() if self.requests else None

    def keep(self, part: ScreenedPart) -> None:
        self.results += 1


@pytest.fixture
def screening_first(store: Store, study: str, space: Space, run_record: RunRecord) -> Coordinator:
    driver = StudyDriver(
        store, study, space, sampler_named("random", 0), seed=0, budget=9, run_id=store.begin_run(study, run_record)
    )
    return Coordinator(driver, NoFinals(), lambda event: None, TwoRounds())


def test_trials_begin_when_the_screening_has_ended(screening_first: Coordinator, store: Store, study: str) -> None:
    ready, result = {"worker": "ready"}, {"report": ScreenedPart(())}
    assert screening_first.next_request("a") == PART
    assert isinstance(screening_first.next_request("b"), NoTrialYet)
    assert not screening_first.handle_result("a", ready)
    assert not screening_first.handle_result("a", {"report": Extracted(300, 300, 300)})
    assert not screening_first.handle_result("a", result)
    screening_first.handle_loss("a", "it has ended")  # as Ray Tune reports every end
    assert screening_first.next_request("b") == PART
    assert not store.read_study(study).trials
    assert not screening_first.handle_result("b", result)
    assert isinstance(screening_first.next_request("c"), TrialRequest)
    assert not screening_first.stop


@pytest.mark.parametrize("by_death", [True, False])
def test_a_part_that_fails_ends_the_run_in_words(screening_first: Coordinator, by_death: bool) -> None:
    screening_first.next_request("a")
    screening_first.handle_result("a", {"worker": "ready"})
    if by_death:
        screening_first.handle_loss("a", "the worker process died")
    else:
        screening_first.handle_result("a", {"error": "the worker process died"})
    assert screening_first.stop
    with pytest.raises(SearchError, match=r"screening .* on 300 images failed: the worker process died"):
        screening_first.raise_error()


FIRST_BLOCK = Setting(10, 3, 4, "linear")
PIXELS = Baseline("pixels", None, 4, 48, 0, Accuracy(9, 20), Accuracy(21, 50), 0.5)


class OneFinal:
    def __init__(self) -> None:
        self.requests = [FinalRequest(Setting(10, 3, 1, "linear"), 1)]

    def next_round(self) -> list[FinalRequest]:
        return [self.requests.pop()] if self.requests else []

    def most_later(self) -> int:
        return 0

    def keep(self, final: Final | Reevaluation) -> None:
        pass


class TwoBaselines:
    """The pixels at any time, and the first block after the finals."""

    def __init__(self) -> None:
        self.settings: list[Setting | None] = [None, FIRST_BLOCK]
        self.kept: list[Baseline] = []

    def next_request(self, answer_is_tested: bool) -> BaselineRequest | None:
        ready = self.settings if answer_is_tested else [setting for setting in self.settings if setting is None]
        if not ready:
            return None
        setting = ready[0]
        self.settings.remove(setting)
        return BaselineRequest(setting)

    def keep(self, baseline: Baseline) -> None:
        self.kept.append(baseline)


class BrokenBaselines(TwoBaselines):
    def next_request(self, answer_is_tested: bool) -> BaselineRequest | None:
        raise RuntimeError("no such column")


@pytest.fixture
def baselines() -> TwoBaselines:
    return TwoBaselines()


@pytest.fixture
def at_the_end(store: Store, study: str, space: Space, run_record: RunRecord, baselines: TwoBaselines) -> Coordinator:
    """A coordinator whose trials are done, and whose final, "a", is running."""
    driver = StudyDriver(
        store, study, space, sampler_named("random", 0), seed=0, budget=0, run_id=store.begin_run(study, run_record)
    )
    made = Coordinator(driver, OneFinal(), lambda event: None, baselines=baselines)
    assert isinstance(made.next_request("a"), FinalRequest)
    return made


def test_baselines_are_made_while_finals_run_and_after_them(at_the_end: Coordinator, baselines: TwoBaselines) -> None:
    assert at_the_end.next_request("b") == BaselineRequest(None)
    assert not at_the_end.handle_result("b", {"worker": "ready"})
    assert not at_the_end.handle_result("b", {"report": PIXELS})
    at_the_end.handle_loss("b", "it has ended")  # as Ray Tune reports every end
    assert baselines.kept == [PIXELS]
    assert isinstance(at_the_end.next_request("c"), NoTrialYet)
    setting, accuracy = Setting(10, 3, 1, "linear"), Accuracy(9, 10)
    assert not at_the_end.handle_result("a", {"report": Final(setting, 1, accuracy, accuracy, 1.0, 0, 0)})
    at_the_end._wait_until = 0
    assert at_the_end.next_request("d") == BaselineRequest(FIRST_BLOCK)
    assert isinstance(at_the_end.next_request("e"), NoMoreTrials)


@pytest.mark.parametrize(
    "result",
    [
        None,
        {"unfit": "the worker on 10.0.0.2 cannot be used"},
        {"cause": SearchError("the disk is full")},
        {"error": "MemoryError: no room", "by_machine": True},
    ],
)
def test_a_baseline_that_fails_costs_a_run_nothing(
    at_the_end: Coordinator, baselines: TwoBaselines, result: dict[str, object] | None, caplog: pytest.LogCaptureFixture
) -> None:
    assert at_the_end.next_request("b") == BaselineRequest(None)
    if result is None:
        at_the_end.handle_loss("b", "the worker process died: no memory")
    else:
        assert not at_the_end.handle_result("b", result)
        at_the_end.handle_loss("b", "it has ended")
    at_the_end.baselines = BrokenBaselines()
    assert isinstance(at_the_end.next_request("c"), NoTrialYet)
    assert not at_the_end.stop
    assert baselines.kept == []
    line, broken = caplog.messages
    assert line.startswith("the report will lack a baseline, that of the pixels: ")
    assert broken == "the report will lack baselines: no such column"
    at_the_end.raise_error()
