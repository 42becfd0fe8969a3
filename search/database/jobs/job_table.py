"""The jobs of the queue: what to run, in which order, and how far it is.

A worker may change a job only while the job is its own. A worker that was taken for dead therefore changes nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast, final, get_args

from sqlalchemy import CursorResult, case, func, select, update
from sqlalchemy.orm import Session, defer

from search.database.connection.dialects import now
from search.database.connection.outages import Outages, repeated
from search.database.jobs.worker_table import LOCK, Worker, live_workers, worker_of
from search.database.models import JobRow, StudyRow, WorkerRow
from search.database.transactions import Transactions
from spaces import StorageError

JobKind = Literal["run", "recommend", "export", "try"]
JobState = Literal["queued", "running", "paused", "finished", "failed", "cancelled"]
JobRequest = Literal["cancel", "pause"]

STATES: tuple[JobState, ...] = get_args(JobState)

ENDED: tuple[JobState, ...] = ("finished", "failed", "cancelled")
"""States of a job that no worker takes up again by itself."""

MOST_ATTEMPTS = 3
"""How often a job is begun whose worker or process dies."""

MOST_LOG = 64_000
"""Characters of a job's log that are kept: the last ones."""

MOST_PRIORITY = 1_000_000


@dataclass(frozen=True, slots=True)
class Job:
    """A job of the queue. Its fields are those of a `JobRow`, without the log.

    worker: the process that runs it, or ran it last.
    """

    id: int
    kind: JobKind
    options: Mapping[str, Any]
    owner: str
    priority: int
    state: JobState
    request: JobRequest | None
    attempts: int
    created: datetime
    started: datetime | None
    ended: datetime | None
    worker: Worker | None
    study: str | None
    progress: Mapping[str, Any] | None
    result: Mapping[str, Any] | None
    error: str | None


@final
class JobTable:
    """The jobs of an open study database. Every method raises StorageError where the database cannot be used."""

    def __init__(self, store: Transactions) -> None:
        self._store = store

    @property
    def outages(self) -> Outages:
        """The outages of the database."""
        return self._store.outages

    # For whoever submits jobs and follows them

    def submit(
        self, kind: JobKind, options: Mapping[str, Any], owner: str, priority: int = 0, study: str | None = None
    ) -> int:
        """Add a job to the queue, and return its number. options, study: as of `JobRow`."""
        with self._store.session() as session:
            row = JobRow(
                kind=kind,
                options=dict(options),
                owner=owner,
                priority=priority,
                state="queued",
                attempts=0,
                created=now(session),
                study=study,
                log="",
                log_dropped=0,
            )
            session.add(row)
            session.flush()
            return row.id

    @repeated
    def jobs(
        self, states: Collection[JobState] | None = None, owner: str | None = None, limit: int | None = None
    ) -> list[Job]:
        """Return jobs: those that run, those that wait in the order in which they will run, paused ones, ended ones.

        Of the ended ones the newest is first. states, owner: only such jobs. limit: at most so many of them.
        """
        group = case(
            (JobRow.state == "running", 0), (JobRow.state == "queued", 1), (JobRow.state == "paused", 2), else_=3
        )
        chosen = select(JobRow, WorkerRow).options(defer(JobRow.log))
        chosen = chosen.outerjoin(WorkerRow, JobRow.worker_id == WorkerRow.id)
        if states is not None:
            chosen = chosen.where(JobRow.state.in_(states))
        if owner is not None:
            chosen = chosen.where(JobRow.owner == owner)
        chosen = chosen.order_by(
            group,
            case((JobRow.state == "queued", -JobRow.priority), else_=0),
            case((JobRow.state.in_(ENDED), -JobRow.id), else_=JobRow.id),
        )
        with self._store.session() as session:
            return [_job(row, worker) for row, worker in session.execute(chosen.limit(limit))]

    @repeated
    def counts(self) -> dict[JobState, int]:
        """Return how many jobs are in each state that any has."""
        with self._store.session() as session:
            rows = session.execute(select(JobRow.state, func.count()).group_by(JobRow.state)).all()
        return {cast(JobState, state): count for state, count in rows}

    @repeated
    def job(self, job_id: int) -> Job:
        """Return a job. Raises StorageError where there is none of this number."""
        with self._store.session() as session:
            row = self._row(session, job_id)
            return _job(row, None if row.worker_id is None else session.get(WorkerRow, row.worker_id))

    @repeated
    def request(self, job_id: int, request: JobRequest) -> Job:
        """Cancel or pause a job, and return it.

        A job that waits is cancelled or paused at once. The worker of a running job sees the request within 2 s; the
        job's state changes when its process has ended in good order. Raises StorageError where the job has ended.
        """
        with self._store.locked(LOCK), self._store.session() as session:
            row = self._row(session, job_id)
            _free_jobs_of_dead_workers(session)
            session.refresh(row)
            if row.state in ENDED:
                raise StorageError(f"job {job_id} {_ended_words(row)}")
            if row.state == "running":
                if row.request != "cancel":  # it is final
                    row.request = request
            elif request == "cancel":
                row.state, row.ended = "cancelled", now(session)
            else:
                row.state = "paused"
        return self.job(job_id)

    @repeated
    def resume(self, job_id: int) -> Job:
        """Queue a job again that is paused, failed or cancelled, and return it. What it finished is kept.

        It has its old place in the queue. A running job goes on: no person wants it paused any more, nor its study.
        Raises StorageError where the job has finished.
        """
        with self._store.locked(LOCK), self._store.session() as session:
            row = self._row(session, job_id)
            if row.state == "finished":
                raise StorageError(f"job {job_id} {_ended_words(row)}; submit its search anew to continue the study")
            if row.state == "running":
                if row.request == "cancel":
                    raise StorageError(f"job {job_id} is being cancelled; resume it when it has ended")
                row.request = None
                paused = StudyRow.name == row.study, StudyRow.request == "pause"
                session.execute(update(StudyRow).where(*paused).values(request=None))
            elif row.state != "queued":
                row.state, row.attempts, row.ended, row.error, row.request = "queued", 0, None, None, None
        return self.job(job_id)

    @repeated
    def set_priority(self, job_id: int, priority: int) -> Job:
        """Change the priority of a job, and return it. Raises StorageError where the job has ended."""
        with self._store.session() as session:
            row = self._row(session, job_id)
            if row.state in ENDED:
                raise StorageError(f"job {job_id} {_ended_words(row)}, so that its priority decides nothing")
            row.priority = priority
        return self.job(job_id)

    @repeated
    def log(self, job_id: int, after: int = 0) -> tuple[str, int]:
        """Return what the job's process printed after a character, and the number of characters that it printed.

        after: such a number from an earlier call. Only the last `MOST_LOG` characters are kept. Raises StorageError
        where there is no such job.
        """
        with self._store.session() as session:
            row = self._row(session, job_id)
            return row.log[max(after - row.log_dropped, 0) :], row.log_dropped + len(row.log)

    # For the worker of a job

    @repeated
    def claim(self, worker_id: int, most_per_owner: int | None = None) -> Job | None:
        """Give the next job to a worker that runs none, and return the job; None where no job may run.

        First come jobs of the highest priority, of these the oldest. most_per_owner: the most jobs of one owner that
        may run at a time; None for any number. Jobs of dead workers wait again before. One job is never given to two
        workers.
        """
        with self._store.locked(LOCK), self._store.session() as session:
            # an earlier try whose answer was lost
            row = session.scalar(select(JobRow).where(JobRow.worker_id == worker_id, JobRow.state == "running"))
            if row is None:
                _free_jobs_of_dead_workers(session)
                row = session.scalar(_next_job(session, most_per_owner))
                if row is None:
                    return None
                row.state, row.worker_id, row.request, row.error = "running", worker_id, None, None
                row.attempts += 1
                row.started, row.ended, row.progress = now(session), None, None
                session.flush()
            return _job(row, session.get(WorkerRow, worker_id))

    @repeated
    def has_work(self) -> bool:
        """Return whether a job waits or runs. If not, no worker need ask for one."""
        with self._store.session() as session:
            return session.scalar(select(JobRow.id).where(JobRow.state.in_(("queued", "running"))).limit(1)) is not None

    @repeated
    def request_of(self, job_id: int, worker_id: int) -> JobRequest | Literal["lost"] | None:
        """Return what a person wants of a running job; "lost" where it is not this worker's any more."""
        with self._store.session() as session:
            row = _own_row(session, job_id, worker_id)
            return "lost" if row is None else cast(JobRequest | None, row.request)

    def record_study(self, job_id: int, worker_id: int, study: str) -> bool:
        """Save the name of the study in which a job searches. Return whether the job is this worker's."""
        return self._change(job_id, worker_id, {"study": study})

    def record_progress(self, job_id: int, worker_id: int, progress: Mapping[str, Any]) -> bool:
        """Save how far a job is, ready for JSON. Return whether the job is this worker's."""
        return self._change(job_id, worker_id, {"progress": dict(progress)})

    @repeated
    def append_log(self, job_id: int, worker_id: int, text: str) -> bool:
        """Append to the log what the job's process printed. Return whether the job is this worker's.

        A part whose answer was lost may be appended twice.
        """
        with self._store.session() as session:
            row = _own_row(session, job_id, worker_id)
            if row is None:
                return False
            _append(row, text)
            return True

    @repeated
    def end(
        self,
        job_id: int,
        worker_id: int,
        state: Literal["finished", "failed"],
        error: str | None = None,
        result: Mapping[str, Any] | None = None,
    ) -> bool:
        """Record that a job has finished, or failed with an error. Return whether the job was this worker's."""
        with self._store.session() as session:
            moment = now(session)
        values: dict[str, Any] = {} if result is None else {"result": dict(result)}
        values |= {"state": state, "error": error, "ended": moment, "request": None}
        return self._change(job_id, worker_id, values)

    @repeated
    def give_back(self, job_id: int, worker_id: int, reason: str | None = None) -> JobState | None:
        """Record that a job's process ended before its end; return the state of the job then.

        The job is cancelled or paused where a person asked for it, and otherwise waits again. reason: why its process
        died, in words; None where it ended in good order, which counts as no attempt. After `MOST_ATTEMPTS` the job has
        failed. Returns None where the job was not this worker's.
        """
        with self._store.locked(LOCK), self._store.session() as session:
            row = _own_row(session, job_id, worker_id)
            if row is None:
                return None
            _free(row, now(session), reason)
            return cast(JobState, row.state)

    @repeated
    def _change(self, job_id: int, worker_id: int, values: Mapping[str, Any]) -> bool:
        """Change a job that is this worker's, in one statement. Return whether it is."""
        own = JobRow.id == job_id, JobRow.worker_id == worker_id, JobRow.state == "running"
        with self._store.session() as session:
            result = cast("CursorResult[Any]", session.execute(update(JobRow).where(*own).values(values)))
            return result.rowcount == 1

    def _row(self, session: Session, job_id: int) -> JobRow:
        row = session.get(JobRow, job_id) if 0 < job_id < 2**31 else None
        if row is None:
            raise StorageError(f"there is no job {job_id} in {self._store.address}; `search jobs --all` lists them")
        return row


def _next_job(session: Session, most_per_owner: int | None) -> Any:
    """Return the query of the job that runs next."""
    waiting = select(JobRow).where(JobRow.state == "queued").order_by(JobRow.priority.desc(), JobRow.id).limit(1)
    if most_per_owner is None:
        return waiting
    running = select(JobRow.owner).where(JobRow.state == "running").group_by(JobRow.owner)
    full: Sequence[str] = session.scalars(running.having(func.count() >= most_per_owner)).all()
    return waiting.where(JobRow.owner.not_in(full))


def _free_jobs_of_dead_workers(session: Session) -> None:
    alive = [worker.id for worker in live_workers(session)]
    for row in session.scalars(select(JobRow).where(JobRow.state == "running", JobRow.worker_id.not_in(alive))):
        worker = session.get_one(WorkerRow, row.worker_id)
        _append(row, f"worker {worker.pid} on {worker.host} died\n")
        _free(row, now(session), f"its worker on {worker.host} died")
    session.flush()


def _free(row: JobRow, moment: datetime, reason: str | None) -> None:
    """Let a job wait again, or end it where a person asked for it or its process died too often."""
    request, row.request = row.request, None
    if reason is None:
        row.attempts = max(row.attempts - 1, 0)
    if request == "pause":
        row.state = "paused"
    elif request == "cancel":
        row.state, row.ended = "cancelled", moment
    elif reason is not None and row.attempts >= MOST_ATTEMPTS:
        row.state, row.ended = "failed", moment
        row.error = f"{reason}, and the job was begun {row.attempts} times; `search jobs resume {row.id}` tries again"
    else:
        row.state = "queued"


def _ended_words(row: JobRow) -> str:
    """Return how a job has ended, as words after its number."""
    return {"failed": "has failed already", "cancelled": "was cancelled already"}.get(row.state, "has finished already")


def _append(row: JobRow, text: str) -> None:
    log = row.log + text.replace("\0", "\\x00").encode(errors="backslashreplace").decode()
    dropped = max(len(log) - MOST_LOG, 0)
    row.log, row.log_dropped = log[dropped:], row.log_dropped + dropped


def _own_row(session: Session, job_id: int, worker_id: int) -> JobRow | None:
    """Return a running job of this worker; None where it is not this worker's any more."""
    own = JobRow.id == job_id, JobRow.worker_id == worker_id, JobRow.state == "running"
    return session.scalar(select(JobRow).where(*own))


def _job(row: JobRow, worker: WorkerRow | None) -> Job:
    return Job(
        row.id,
        cast(JobKind, row.kind),
        row.options,
        row.owner,
        row.priority,
        cast(JobState, row.state),
        cast(JobRequest | None, row.request),
        row.attempts,
        row.created,
        row.started,
        row.ended,
        None if worker is None else worker_of(worker),
        row.study,
        row.progress,
        row.result,
        row.error,
    )
