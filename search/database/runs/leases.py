"""Decides which runs are alive, and measures how long they have run."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from socket import gethostname

import psutil
from sqlalchemy.orm import Session

from search.database.connection.dialects import now, server_started
from search.database.models import RunRow, WorkerRow

LEASE = timedelta(seconds=60)
"""A run whose last heartbeat is older than this is dead."""

LATE = timedelta(seconds=30)
"""A run whose own heartbeat is later than this was cut off from the database, or stood still."""

CLOCK_SECONDS = 5
"""Largest difference between two readings of the start time of one process. psutil derives it from the time of the
boot, which moves when the clock is set."""


def live_runs(session: Session, runs: Iterable[RunRow | WorkerRow], contact: datetime | None = None) -> frozenset[int]:
    """Return the ids of the runs that have not ended, have a heartbeat of the last minute, and still have a process.

    The process is looked up only where it runs on this machine. A zombie does not count.

    No run could send a heartbeat while the server was down. So the lease of a run begins with the start of the server
    where that is later than the last heartbeat. The same holds for `contact`: when the run that looks reached the
    database again after it had been cut off. It cannot know whether the others were cut off too.

    The same holds for the workers that run jobs.
    """
    moment = now(session)
    unended = [run for run in runs if not run.ended]
    if any(moment - run.heartbeat > LEASE for run in unended):
        contact = max(filter(None, [contact, server_started(session)]), default=None)
    return frozenset(run.id for run in unended if _is_alive(run, moment, contact))


def _is_alive(run: RunRow | WorkerRow, moment: datetime, contact: datetime | None) -> bool:
    if moment - max(run.heartbeat, contact or run.heartbeat) > LEASE:
        return False
    return run.host != gethostname() or _has_process(run.pid, run.process_started)


def _has_process(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        is_zombie = process.status() == psutil.STATUS_ZOMBIE
        return not is_zombie and abs(process.create_time() - started) < CLOCK_SECONDS
    except psutil.Error:
        return False


def running_seconds(runs: Iterable[RunRow]) -> float:
    """Return the seconds in which at least one of the runs ran. A run that was killed ran until its last heartbeat."""
    return covered_seconds((run.started, run.ended or run.heartbeat) for run in runs)


def covered_seconds(spans: Iterable[tuple[datetime, datetime]]) -> float:
    """Return the seconds that at least one of the spans covers, each from its start to its end."""
    total = 0.0
    until: datetime | None = None
    for start, end in sorted(spans):
        if until is None or start > until:
            total += (end - start).total_seconds()
        elif end > until:
            total += (end - until).total_seconds()
        until = end if until is None else max(until, end)
    return total
