"""Decides which runs are alive, and measures how long they have run."""

from collections.abc import Iterable
from datetime import datetime
from socket import gethostname

import psutil

from search.database.models import RunRow

LEASE_SECONDS = 60
"""A run whose last heartbeat is older than this is dead."""

CLOCK_SECONDS = 5
"""Largest difference between two readings of the start time of one process. psutil derives it from the time of the
boot, which moves when the clock is set."""


def is_alive(run: RunRow, moment: datetime) -> bool:
    """Return whether the run has not ended, has a heartbeat of the last minute, and still has its process.

    The process is looked up only where it runs on this machine. A zombie does not count.
    """
    if run.ended or (moment - run.heartbeat).total_seconds() > LEASE_SECONDS:
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
    total = 0.0
    until: datetime | None = None
    for start, end in sorted((run.started, run.ended or run.heartbeat) for run in runs):
        if until is None or start > until:
            total += (end - start).total_seconds()
        elif end > until:
            total += (end - until).total_seconds()
        until = end if until is None else max(until, end)
    return total
