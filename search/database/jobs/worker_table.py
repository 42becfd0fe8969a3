"""The workers that run jobs: which are alive, and which cores and GPUs they have."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from socket import gethostname
from typing import final

import psutil
from sqlalchemy import select
from sqlalchemy.orm import Session

from search.database.connection.dialects import now
from search.database.connection.outages import Outages, repeated
from search.database.models import WorkerRow
from search.database.runs.leases import live_runs
from search.database.transactions import Transactions

LOCK = "search queue"
"""The lock of whoever gives out jobs, cores and GPUs."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that runs jobs.

    cores: the numbers of its cores, as the operating system has them. gpus: the names of its GPUs, as
    CUDA_VISIBLE_DEVICES has them: mostly their numbers.
    """

    id: int
    host: str
    pid: int
    started: datetime
    heartbeat: datetime
    ended: datetime | None
    cores: tuple[int, ...]
    gpus: tuple[str, ...]


Choice = tuple[Sequence[int], Sequence[str]]
"""The cores and the GPUs of a worker."""


@final
class WorkerTable:
    """The workers of an open study database. Every method raises StorageError where the database cannot be used."""

    def __init__(self, store: Transactions) -> None:
        self._store = store

    @property
    def outages(self) -> Outages:
        """The outages of the database."""
        return self._store.outages

    @repeated
    def register(self, choose: Callable[[Sequence[Worker]], Choice]) -> int:
        """Register this process as a worker, and return its id.

        choose: gets the other live workers of this machine, and returns the cores and the GPUs of this one. No other
        worker can register meanwhile. What it raises, such as that no core is left, is raised.
        """
        host, process = gethostname(), psutil.Process()
        with self._store.locked(LOCK), self._store.session() as session:
            others = [worker for worker in live_workers(session) if (worker.host, worker.pid) != (host, process.pid)]
            cores, gpus = choose([worker for worker in others if worker.host == host])
            moment = now(session)
            row = WorkerRow(
                host=host,
                pid=os.getpid(),
                process_started=process.create_time(),
                started=moment,
                heartbeat=moment,
                ended=None,
                cores=list(cores),
                gpus=list(gpus),
            )
            session.add(row)
            session.flush()
            return row.id

    @repeated
    def beat(self, worker_id: int) -> None:
        """Record that the worker is alive now."""
        with self._store.session() as session:
            session.get_one(WorkerRow, worker_id).heartbeat = now(session)

    @repeated
    def end(self, worker_id: int) -> None:
        """Record that the worker has ended. Its cores and GPUs are free."""
        with self._store.session() as session:
            row = session.get_one(WorkerRow, worker_id)
            row.ended = row.heartbeat = now(session)

    @repeated
    def live(self) -> list[Worker]:
        """Return the workers that are alive, the oldest first.

        A killed worker is dead at once to a process of its own machine, and after 60 s to others.
        """
        with self._store.session() as session:
            return live_workers(session)


def live_workers(session: Session) -> list[Worker]:
    """Return the workers that are alive, the oldest first."""
    rows = session.scalars(select(WorkerRow).where(WorkerRow.ended.is_(None)).order_by(WorkerRow.id)).all()
    alive = live_runs(session, rows)
    return [worker_of(row) for row in rows if row.id in alive]


def worker_of(row: WorkerRow) -> Worker:
    """Return what a row says."""
    return Worker(
        row.id, row.host, row.pid, row.started, row.heartbeat, row.ended, tuple(row.cores), tuple(map(str, row.gpus))
    )
