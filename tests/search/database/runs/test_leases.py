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
    impostor = store.begin_run(name, replace(run_record, pid=asleep.pid, process_started=started - 3600))
    elsewhere = store.begin_run(name, replace(run_record, host="another-machine", pid=1, process_started=0.0))
    assert [store.is_alive(run_id) for run_id in (run, impostor, elsewhere)] == [True, False, True]
    asleep.kill()
    deadline = time.monotonic() + 10
    while psutil.Process(asleep.pid).status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not store.is_alive(run)
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
    assert not store.is_alive(10_000)


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), max_size=6))
def test_running_seconds_count_each_second_once(spans: list[tuple[int, int]]) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    runs = [
        RunRow(started=start + timedelta(seconds=a), heartbeat=start + timedelta(seconds=a + length), ended=None)
        for a, length in spans
    ]
    assert running_seconds(runs) == len({second for a, length in spans for second in range(a, a + length)})
