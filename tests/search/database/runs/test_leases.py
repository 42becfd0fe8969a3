"""The leases of runs: which runs are alive, and for how long they have run."""

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.database.models import RunRow
from search.database.records import RunRecord
from search.database.runs.leases import running_seconds
from search.database.store import Store
from tests.support.postgresql import Server
from tests.support.processes import child_process
from tests.support.studies import MakeRecord


@pytest.fixture
def asleep() -> Iterator["subprocess.Popen[bytes]"]:
    with child_process([sys.executable, "-c", "import time; time.sleep(100)"]) as process:
        yield process


def test_a_killed_run_is_dead_at_once(
    store: Store, make_record: MakeRecord, run_record: RunRecord, asleep: "subprocess.Popen[bytes]"
) -> None:
    name = store.ensure_study(make_record())
    started = psutil.Process(asleep.pid).create_time()
    run = store.begin_run(name, replace(run_record, pid=asleep.pid, process_started=started))
    store.begin_run(name, replace(run_record, pid=asleep.pid, process_started=started - 3600))  # an impostor
    elsewhere = store.begin_run(name, replace(run_record, host="another-machine", pid=1, process_started=0.0))
    assert store.live_runs(name) == {run, elsewhere}
    asleep.kill()
    deadline = time.monotonic() + 10
    while psutil.Process(asleep.pid).status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.01)
    assert store.live_runs(name) == {elsewhere}


def test_a_run_without_heartbeat_is_dead(store: Store, make_record: MakeRecord, run_record: RunRecord) -> None:
    name = store.ensure_study(make_record())
    silent, heartbeat, ended = (store.begin_run(name, run_record) for _ in range(3))
    with store.session() as session:
        for run in (silent, heartbeat):
            session.get_one(RunRow, run).heartbeat -= timedelta(seconds=61)
    store.record_heartbeat(heartbeat)
    store.end_run(ended, "finished")
    assert store.live_runs(name) == {heartbeat}


def make_silent(store: Store, run: int, seconds: float) -> None:
    with store.session() as session:
        session.get_one(RunRow, run).heartbeat -= timedelta(seconds=seconds)


def test_a_run_that_was_cut_off_waits_for_the_others(
    store: Store, make_record: MakeRecord, run_record: RunRecord
) -> None:
    """Both runs could not send a heartbeat for two minutes. Neither may take the other for dead at once."""
    name = store.ensure_study(make_record())
    other = store.begin_run(name, run_record)
    with store.run(name, run_record, heartbeat_seconds=100) as own:
        make_silent(store, other, 120)
        assert store.live_runs(name) == {own}, "only the other was silent"
        make_silent(store, own, 120)
        assert store.live_runs(name) == {own, other}
        assert store.live_runs(name) == {own, other}, "its own heartbeat is new now, and it was cut off nevertheless"
        assert store._contact is not None
        store._contact -= timedelta(seconds=61)
        assert store.live_runs(name) == {own}, "a minute later"


@pytest.mark.postgresql
def test_no_run_is_dead_when_the_server_has_just_started(
    postgresql_url: str, postgresql_server: Server, make_record: MakeRecord, run_record: RunRecord
) -> None:
    with Store.open(postgresql_url) as store:
        name = store.ensure_study(make_record())
        run = store.begin_run(name, run_record)
        make_silent(store, run, 120)
        postgresql_server.stop()
        postgresql_server.start()
        assert store.live_runs(name) == {run}
        assert [summary.alive for summary in store.read_runs(name)] == [True]


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), max_size=6))
def test_running_seconds_count_each_second_once(spans: list[tuple[int, int]]) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    runs = [
        RunRow(started=start + timedelta(seconds=a), heartbeat=start + timedelta(seconds=a + length), ended=None)
        for a, length in spans
    ]
    assert running_seconds(runs) == len({second for a, length in spans for second in range(a, a + length)})
