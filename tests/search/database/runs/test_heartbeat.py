"""A run is kept alive while its process works, and its state says how it ended."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from search.database.models import RunRow
from search.database.records import RunRecord, StudyRecord
from search.database.store import Store


@pytest.fixture
def study(store: Store, make_record: Callable[..., StudyRecord]) -> str:
    return store.ensure_study(make_record())


def state_of(store: Store, run_id: int) -> str:
    with store.session() as session:
        return session.get_one(RunRow, run_id).state


def wait_for(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def make_old(store: Store, run_id: int) -> None:
    with store.session() as session:
        session.get_one(RunRow, run_id).heartbeat -= timedelta(minutes=2)


def heartbeat_of(store: Store, run_id: int) -> datetime:
    with store.session() as session:
        return session.get_one(RunRow, run_id).heartbeat


def test_a_run_is_alive_while_its_block_works_and_finished_after_it(
    store: Store, study: str, run_record: RunRecord
) -> None:
    elsewhere = replace(run_record, host="another-machine")  # so that only the heartbeat shows that it is alive
    with store.run(study, elsewhere, heartbeat_seconds=0.02) as run_id:
        make_old(store, run_id)
        wait_for(lambda: store.live_runs(study) == {run_id})
        assert state_of(store, run_id) == "running"
    assert store.live_runs(study) == frozenset()
    assert state_of(store, run_id) == "finished"
    make_old(store, run_id)
    last = heartbeat_of(store, run_id)
    time.sleep(0.1)  # five heartbeats, if the thread still wrote them
    assert heartbeat_of(store, run_id) == last


@pytest.mark.parametrize(
    ("error", "state"), [(KeyboardInterrupt, "interrupted"), (ValueError, "failed"), (SystemExit, "failed")]
)
def test_a_run_that_raises_ends_in_a_failed_state(
    store: Store, study: str, run_record: RunRecord, error: type[BaseException], state: str
) -> None:
    with pytest.raises(error), store.run(study, run_record) as run_id:
        raise error
    assert state_of(store, run_id) == state
    (summary,) = store.read_runs(study)
    assert summary.ended is not None
    assert not summary.alive


def test_a_heartbeat_survives_a_short_loss_of_the_database(
    store: Store, study: str, run_record: RunRecord, caplog: pytest.LogCaptureFixture
) -> None:
    with store.run(study, run_record, heartbeat_seconds=0.02) as run_id:
        with store.session() as session:
            session.connection().exec_driver_sql("ALTER TABLE search_runs RENAME TO away")
        wait_for(lambda: caplog.records)
        with store.session() as session:
            session.connection().exec_driver_sql("ALTER TABLE away RENAME TO search_runs")
            session.connection().exec_driver_sql("UPDATE search_runs SET heartbeat = started")

        def has_heartbeat() -> bool:
            with store.session() as session:
                run = session.get_one(RunRow, run_id)
                return run.heartbeat > run.started

        wait_for(has_heartbeat)
    assert "no heartbeat: the study database" in caplog.text
