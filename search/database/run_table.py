"""Runs in the study database: their begin, their heartbeat, their costs and their end."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from search.database.connection.dialects import now
from search.database.connection.outages import repeated
from search.database.connection.study_storage import StudyStorage
from search.database.connection.url import Address
from search.database.models import RunRow, StudyRow
from search.database.records import RunCosts, RunRecord, RunState, RunSummary, StudyRequest
from search.database.rows import reading
from search.database.runs.heartbeat import HEARTBEAT_SECONDS, heartbeat
from search.database.runs.leases import LATE, live_runs
from search.database.transactions import Transactions
from spaces import StorageError


class RunTable(Transactions):
    """The runs of an open study database, as `Store` offers them."""

    def __init__(self, address: Address, storage: StudyStorage) -> None:
        super().__init__(address, storage)
        self._own_run: int | None = None
        self._contact: datetime | None = None
        """When this run reached the database again after it had been cut off, by the database's clock."""

    @contextmanager
    def run(
        self,
        study: str,
        record: RunRecord,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        say: Callable[[str], None] | None = None,
    ) -> Iterator[int]:
        """Register a run of the study, keep it alive while the block works, and yield its id.

        Meanwhile operations are repeated for five minutes while the database does not answer. say: called with a line
        when that begins and ends; by default the line is logged.

        At the end the state of the run is "finished", or "interrupted" after a KeyboardInterrupt, or "failed" after any
        other exception. Raises StorageError where the file of the database was lost meanwhile.
        """
        with self._in_run(say):
            run_id = self._own_run = self.begin_run(study, record)
            state: RunState = "failed"
            try:
                with heartbeat(lambda: self.record_heartbeat(run_id), heartbeat_seconds):
                    yield run_id
                self.check_file()
                state = "finished"
            except KeyboardInterrupt:
                state = "interrupted"
                raise
            finally:
                try:
                    self.end_run(run_id, state)
                except StorageError:
                    if state == "finished":  # otherwise the first error says more
                        raise

    @contextmanager
    def _in_run(self, say: Callable[[str], None] | None) -> Iterator[None]:
        file = self.optuna.file
        with ExitStack() as stack:
            if file is not None:
                with self.address.errors():
                    stack.enter_context(file.guarded(self._remembered))
            self.outages.begin(say)
            try:
                yield
            finally:
                self._own_run = None
                self.outages.end()

    def _remembered(self) -> Any:
        """Return what is known without the database, ready for JSON."""
        return {}

    def begin_run(self, study: str, record: RunRecord) -> int:
        """Register a run of the study and return its id. Prefer `run`, which also sends heartbeats and ends the run."""
        tried = False

        def begin() -> int:
            nonlocal tried
            with self.session() as session:
                study_id = self._row(session, study).id
                if tried and (begun := _begun(session, study_id, record)) is not None:
                    return begun
                tried = True
                if not self._alive(session, study):
                    self._row(session, study).request = None  # it was meant for runs that have ended
                run = _run_row(study_id, record, now(session))
                session.add(run)
                session.flush()
                return run.id

        return self.outages.repeat(begin)

    def record_heartbeat(self, run_id: int) -> None:
        """Record that the run is alive now. Raises OutageError at once if the database does not answer."""
        with self.session() as session:
            self._beat(session, run_id)

    def _beat(self, session: Session, run_id: int) -> None:
        """Record that the run is alive now."""
        run, moment = session.get_one(RunRow, run_id), now(session)
        self._notice_beat(run_id, run.heartbeat, moment)
        run.heartbeat = moment

    def _notice_beat(self, run_id: int, last: datetime, moment: datetime) -> None:
        """Take note of where the last heartbeat of this run is long ago. moment: of the new one."""
        if run_id == self._own_run and moment - last > LATE:
            self._contact = moment

    @repeated
    def record_costs(self, run_id: int, costs: RunCosts) -> None:
        """Save what the run cost beside its finished trials, in place of what was saved before."""
        with self.session() as session:
            session.get_one(RunRow, run_id).costs = asdict(costs)

    @repeated
    def record_reason(self, run_id: int, reason: str) -> None:
        """Save why a run tries no further trial, in words."""
        with self.session() as session:
            session.get_one(RunRow, run_id).reason = reason

    @repeated
    def record_request(self, study: str, request: StudyRequest | None) -> None:
        """Save what a person wants of the runs of a study; None for that they go on. Their begin forgets it."""
        with self.session() as session:
            self._row(session, study).request = request

    def read_request(self, study: str) -> StudyRequest | None:
        """Return what a person wants of the runs of a study. Raises OutageError at once if no database answers."""
        with self.session() as session:
            request = session.scalar(select(StudyRow.request).where(StudyRow.name == study))
        return cast(StudyRequest | None, request)

    @repeated
    def end_run(self, run_id: int, state: RunState) -> None:
        with self.session() as session:
            run = session.get_one(RunRow, run_id)
            run.ended = run.heartbeat = now(session)
            run.state = state

    @repeated
    def read_runs(self, study: str) -> tuple[RunSummary, ...]:
        """Return the runs of a study in the order in which they began."""
        with self.session() as session:
            row = self._row(session, study)
            return reading.run_summaries(row, self._live(session, row.runs))

    @repeated
    def live_runs(self, study: str) -> frozenset[int]:
        """Return the ids of the study's runs that are alive: they may still report trials.

        A killed run is dead at once to a process of its own machine, and after 60 s to others. Seconds in which the
        database was down do not count, nor those in which the run of this store was cut off from it.
        """
        with self.session() as session:
            return self._alive(session, study)

    def _alive(self, session: Session, study: str) -> frozenset[int]:
        unended = select(RunRow).join(StudyRow).where(StudyRow.name == study, RunRow.ended.is_(None))
        runs = session.scalars(unended).all()
        if self._own_run in {run.id for run in runs}:
            self._beat(session, self._own_run)
        return self._live(session, runs)

    def _live(self, session: Session, runs: Sequence[RunRow]) -> frozenset[int]:
        """Return the ids of the runs that are alive. The run of this store never takes itself for dead."""
        own = {run.id for run in runs if run.id == self._own_run}
        return live_runs(session, runs, self._contact) | own

    def check_file(self) -> None:
        """Raise StorageError where the SQLite file was lost during this run."""
        if self.optuna.file is not None:
            self.optuna.file.check()


def _run_row(study_id: int, record: RunRecord, moment: datetime) -> RunRow:
    before = 0.0 if record.began is None else time.monotonic() - record.began
    return RunRow(
        study_id=study_id,
        host=record.host,
        pid=record.pid,
        process_started=record.process_started,
        started=moment - timedelta(seconds=before),
        heartbeat=moment,
        ended=None,
        state="running",
        workers=record.workers,
        command=record.command,
        versions=dict(record.versions),
        options=None if record.options is None else dict(record.options),
    )


def _begun(session: Session, study_id: int, record: RunRecord) -> int | None:
    """Return the run that an earlier try to register this one made, if the answer to it was lost."""
    mine = select(RunRow.id).where(
        RunRow.study_id == study_id,
        RunRow.host == record.host,
        RunRow.pid == record.pid,
        RunRow.process_started == record.process_started,
        RunRow.ended.is_(None),
    )
    return session.scalar(mine.order_by(RunRow.id.desc()).limit(1))
