"""A coordinator of real studies at different moments of a run."""

import pytest

from search.database.records import RunRecord
from search.database.store import Store
from search.samplers.catalog import sampler_named
from search.scheduling.coordinator import Coordinator
from search.scheduling.events import TrialEvent
from search.scheduling.requests import FinalRequest, TrialRequest
from search.scheduling.trials.driver import StudyDriver
from spaces import Space
from tests.support.stages import (
    NoFinals,
    OneRound,
    TwoBaselines,
    TwoRounds,
    requested,
)
from tests.support.studies import MakeRecord


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


@pytest.fixture
def screening_first(store: Store, study: str, space: Space, run_record: RunRecord) -> Coordinator:
    driver = StudyDriver(
        store, study, space, sampler_named("random", 0), seed=0, budget=9, run_id=store.begin_run(study, run_record)
    )
    return Coordinator(driver, NoFinals(), lambda event: None, TwoRounds())


@pytest.fixture
def baselines() -> TwoBaselines:
    return TwoBaselines()


@pytest.fixture
def at_the_end(store: Store, study: str, space: Space, run_record: RunRecord, baselines: TwoBaselines) -> Coordinator:
    """A coordinator whose trials are done, and whose final, "a", is running."""
    driver = StudyDriver(
        store, study, space, sampler_named("random", 0), seed=0, budget=0, run_id=store.begin_run(study, run_record)
    )
    made = Coordinator(driver, OneRound(1), lambda event: None, baselines=baselines)
    assert isinstance(made.next_request("a"), FinalRequest)
    return made


@pytest.fixture
def two_finals(store: Store, study: str, space: Space, run_record: RunRecord) -> Coordinator:
    """A coordinator whose trials are done, and whose two finals, "a" and "b", are running."""
    driver = StudyDriver(
        store, study, space, sampler_named("random", 0), seed=0, budget=0, run_id=store.begin_run(study, run_record)
    )
    made = Coordinator(driver, OneRound(2), lambda event: None)
    for trial_id in ("a", "b"):
        requested(made, trial_id)
        made.handle_result(trial_id, {"worker": "ready"})
    return made
