"""A run is paused, stopped and limited in time. Driver, study and limits are real; the test sets the clock."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from objectives.results import Accuracy, Evaluation, Extracted, ScreenedPart
from search.database.records import RunRecord
from search.database.store import Store
from search.events import Event, GivenBack, Paused, Resumed, SearchStarted, TrialEnded
from search.options.run_options import RunOptions
from search.running.limits import RunLimits
from search.samplers.catalog import sampler_named
from search.scheduling.coordinator import Coordinator
from search.scheduling.requests import FinalRequest, NoMoreTrials, NoTrialYet, Request, TrialRequest
from search.scheduling.stages import Screening
from search.scheduling.trials.driver import StudyDriver
from spaces import Space
from tests.support.stages import PART, OneRound, TwoRounds
from tests.support.terminal_process import workload


@dataclass
class Controlled:
    """A coordinator with its limits, the events that it sent, and the seconds of its clock."""

    coordinator: Coordinator
    limits: RunLimits
    events: list[Event]
    seconds: float = 0.0

    def next(self, trial_id: str) -> Request | NoTrialYet | NoMoreTrials:
        """Return the next answer, without the pause after one that was no request."""
        self.coordinator._wait_until = 0.0
        return self.coordinator.next_request(trial_id)

    def complete(self, trial_id: str, correct: int = 15) -> None:
        evaluation = Evaluation(Accuracy(correct, 20), {"fit": 1.0}, 0, 0, {}, correct / 20)
        self.coordinator.handle_result(trial_id, {"report": evaluation})


@pytest.fixture
def controlled(
    store: Store, study: str, space: Space, run_record: RunRecord
) -> Callable[[RunOptions, Screening | None], Controlled]:
    def make(options: RunOptions, screening: Screening | None = None) -> Controlled:
        run = store.begin_run(study, run_record)
        driver = StudyDriver(store, study, space, sampler_named("random", 0), seed=0, budget=99, run_id=run, workers=2)
        events = list[Event]()
        limits = RunLimits(options, 0.0, store.read_study(study), clock=lambda: made.seconds)

        def on_event(event: Event) -> None:
            limits(event)
            events.append(event)

        coordinator = Coordinator(driver, OneRound(2), on_event, screening, control=limits)
        made = Controlled(coordinator, limits, events)
        on_event(SearchStarted(limits.before, 99, "plan", workload(2), limits.seconds_left))
        return made

    return make


Make = Callable[..., Controlled]


def test_a_paused_run_begins_nothing_and_goes_on(controlled: Make) -> None:
    run = controlled(RunOptions("digits"))
    assert isinstance(run.next("a"), TrialRequest)
    run.limits.request = "pause"
    assert isinstance(run.next("b"), NoTrialYet)
    run.complete("a")  # what runs already finishes
    assert not run.coordinator.stop
    run.limits.request = None
    assert isinstance(run.next("b"), TrialRequest)
    assert [type(event) for event in run.events if isinstance(event, (Paused, Resumed))] == [Paused, Resumed]


def test_a_stopped_run_finishes_what_runs_and_tests_its_answer(controlled: Make) -> None:
    run = controlled(RunOptions("digits"))
    assert isinstance(run.next("a"), TrialRequest)
    run.limits.request = "stop"
    assert isinstance(run.next("b"), NoTrialYet)  # the trial that runs may become the answer
    run.complete("a")
    assert isinstance(run.next("b"), FinalRequest)
    assert isinstance(run.next("c"), FinalRequest)
    assert run.coordinator.reason == "`search stop` ended it"
    assert not run.coordinator.stop


def test_a_run_that_is_stopped_in_its_finals_begins_no_further_one(controlled: Make) -> None:
    run = controlled(RunOptions("digits", target=0.5))
    run.next("a")
    run.complete("a")
    assert isinstance(run.next("b"), FinalRequest)
    run.limits.request = "stop"
    assert isinstance(run.next("c"), NoMoreTrials)
    assert run.coordinator.reason == (
        "a trial reached the target of 50.0 %; `search stop` ended it before all finals were measured"
    )


def test_a_run_that_is_stopped_at_once_gives_back_what_runs(controlled: Make, store: Store, study: str) -> None:
    run = controlled(RunOptions("digits"))
    run.next("a")
    run.next("b")
    run.complete("b")
    run.limits.request = "stop now"
    assert run.coordinator.stop
    assert isinstance(run.next("c"), NoMoreTrials)
    run.coordinator.handle_end("a")
    run.coordinator.raise_error()  # there is none
    assert sorted(trial.state for trial in store.read_study(study).trials) == ["complete", "interrupted"]
    assert run.coordinator.reason == "`search stop --now` ended it"


def test_a_stop_ends_the_screening_too(controlled: Make) -> None:
    run = controlled(RunOptions("digits"), TwoRounds())
    assert run.next("a") == PART
    run.limits.request = "stop"
    assert isinstance(run.next("b"), NoTrialYet)
    run.coordinator.handle_result("a", {"report": ScreenedPart(())})
    assert isinstance(run.next("b"), FinalRequest)


@pytest.mark.parametrize(
    ("options", "results", "reason"),
    [
        (RunOptions("digits", target=0.8), [15, 15, 16], "a trial reached the target of 80.0 %"),
        (RunOptions("digits", patience=2), [15, 14, 15], "2 trials in a row were not better than the interval of"),
    ],
)
def test_a_rule_ends_the_trials(controlled: Make, options: RunOptions, results: list[int], reason: str) -> None:
    run = controlled(options)
    for correct in results:
        assert isinstance(run.next("a"), TrialRequest)
        run.complete("a", correct)
    assert isinstance(run.next("a"), FinalRequest)
    assert (run.coordinator.reason or "").startswith(reason)


def test_trials_that_do_not_end_in_time_are_given_back_and_the_finals_come(
    controlled: Make, store: Store, study: str
) -> None:
    run = controlled(RunOptions("digits", time_limit=60.0))
    run.next("a")
    run.seconds = 2.0
    run.complete("a")
    assert isinstance(run.next("a"), TrialRequest)
    run.seconds = 54.0
    assert run.coordinator.handle_result("a", {"report": Extracted(10, 10, 100)})
    assert isinstance(run.events[-1], GivenBack)
    assert isinstance(run.next("b"), (FinalRequest, NoMoreTrials))
    run.seconds = 61.0
    assert run.coordinator.stop
    assert sorted(trial.state for trial in store.read_study(study).trials) == ["complete", "interrupted"]
    assert (run.coordinator.reason or "").startswith("its time of 1 min 00 s was up; the rest was for the finals")
    assert sum(isinstance(event, TrialEnded) for event in run.events) == 1


def test_a_run_whose_start_takes_all_its_time_says_so(controlled: Make) -> None:
    run = controlled(RunOptions("digits", time_limit=5.0))
    run.seconds = 9.0
    assert isinstance(run.next("a"), NoMoreTrials)
    assert run.coordinator.reason == ("its time of 5 s was up before a trial was complete; the start alone took 9 s")


def test_a_run_that_completes_no_trial_in_its_time_says_so(controlled: Make) -> None:
    run = controlled(RunOptions("digits", time_limit=20.0))
    run.seconds = 3.0
    assert isinstance(run.next("a"), TrialRequest)
    run.seconds = 21.0
    assert run.coordinator.stop
    assert run.coordinator.reason == ("its time of 20 s was up before a trial was complete; the start alone took 3 s")


def test_a_screening_gives_way_to_the_trials(controlled: Make) -> None:
    run = controlled(RunOptions("digits", time_limit=60.0), TwoRounds())
    assert run.next("a") == PART
    run.seconds = 20.0
    assert run.coordinator.handle_result("a", {"report": Extracted(1, 1, 300)})
    assert isinstance(run.next("b"), TrialRequest)
