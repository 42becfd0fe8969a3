"""Which runs are alive, and how long they have run."""

from collections.abc import Iterable
from datetime import UTC, datetime
from socket import gethostname

import psutil
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from search.database.models import RunRow

LEASE_SECONDS = 60
# psutil derives the start of a process from the time of the boot, which moves when the clock is set.
CLOCK_SECONDS = 5


def now(session: Session) -> datetime:
    """By the server's clock where there is a server, since the clocks of its clients differ."""
    if session.get_bind().dialect.name == "sqlite":
        return datetime.now(UTC)
    moment: datetime = session.scalars(select(func.clock_timestamp())).one()
    return moment.astimezone(UTC)


def is_alive(run: RunRow, moment: datetime) -> bool:
    """Not ended, heard of within a minute, and, where it can be seen from here, its process there and not a zombie."""
    if run.ended or (moment - run.heartbeat).total_seconds() > LEASE_SECONDS:
        return False
    return run.host != gethostname() or _is_process(run.pid, run.process_started)


def _is_process(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        runs = process.status() != psutil.STATUS_ZOMBIE
        return bool(runs and abs(process.create_time() - started) < CLOCK_SECONDS)
    except psutil.Error:
        return False


def running_seconds(runs: Iterable[RunRow]) -> float:
    """Seconds in which at least one of the runs ran; a run that was killed ran until its last heartbeat."""
    total = 0.0
    until: datetime | None = None
    for start, end in sorted((run.started, run.ended or run.heartbeat) for run in runs):
        if until is None or start > until:
            total += (end - start).total_seconds()
        elif end > until:
            total += (end - until).total_seconds()
        until = end if until is None else max(until, end)
    return total
