"""A trial costs the database few statements, however many trials the study has."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import event

from objectives.results import Accuracy, Evaluation
from search.database.records import RunRecord
from search.database.store import Store
from search.samplers.catalog import sampler_named
from search.scheduling.requests import TrialRequest
from search.scheduling.trials.driver import StudyDriver
from spaces import Space

EVALUATION = Evaluation(Accuracy(18, 20), {"fit": 0.5}, passes_made=7, passes_needed=10, details={"l2": 0.01})


@contextmanager
def counted(store: Store) -> Iterator[dict[str, int]]:
    """Count the statements and the commits of the block."""
    counts = {"statements": 0, "commits": 0}

    def on_statement(*_given: object) -> None:
        counts["statements"] += 1

    def on_commit(_connection: object) -> None:
        counts["commits"] += 1

    event.listen(store.optuna.engine, "before_cursor_execute", on_statement)
    event.listen(store.optuna.engine, "commit", on_commit)
    try:
        yield counts
    finally:
        event.remove(store.optuna.engine, "before_cursor_execute", on_statement)
        event.remove(store.optuna.engine, "commit", on_commit)


def run_trial(driver: StudyDriver) -> None:
    request = driver.next_trial()
    assert isinstance(request, TrialRequest)
    driver.report_epoch(request.number, 1, 0.5)
    driver.complete(request.number, EVALUATION)


@pytest.mark.parametrize("before", [2, 40])
def test_a_trial_costs_few_statements(
    store: Store, study: str, space: Space, run_record: RunRecord, before: int
) -> None:
    run = store.begin_run(study, run_record)
    driver = StudyDriver(store, study, space, sampler_named("random", 0), seed=0, budget=100, run_id=run)
    for _ in range(before):
        run_trial(driver)
    driver.wait_for_proposal()
    with counted(store) as counts:
        run_trial(driver)
    # Plain Optuna takes 43 statements and 11 commits for five parameters, without attributes, epochs and our rows.
    assert counts["statements"] <= 32
    assert counts["commits"] <= 7
