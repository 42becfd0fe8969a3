"""The worker: claims jobs, runs each as a process of its own on its cores and GPUs, and records what becomes of them.

All that a worker writes into the database is safe to write again, so that the worker outlives a database that does not
answer for a while: its job goes on meanwhile.
"""

import os
import queue
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from socket import gethostname
from typing import final

from dashboards.formatting import duration
from objectives.home import Home
from search.database.jobs.job_table import JobTable
from search.database.jobs.worker_table import Choice, Worker, WorkerTable
from search.database.runs.heartbeat import HEARTBEAT_SECONDS
from search.database.store import Store
from search.queue.job_process import JobProcess
from search.queue.machine import choose, core_list, take
from search.scheduling.signals import at_first_signal
from spaces import SearchError, StorageError

POLL_SECONDS = 1.0
"""A worker asks the database once in this time: for a request of a person, or for a job."""

WAKE_SECONDS = 0.2
"""A worker notices a signal within this time."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """The options of a worker.

    home, storage: as of a search. cores: how many; None for all that no other worker of this machine has. gpus: their
    names, ["none"] for none; None for all that no other worker has. once: end when no job waits that may run.
    most_per_owner: the most jobs of one owner that may run at a time, on all workers together; None for any number.
    """

    home: str | Path | None = None
    storage: str | None = None
    cores: int | None = None
    gpus: Sequence[str] | None = None
    once: bool = False
    most_per_owner: int | None = None

    @property
    def database(self) -> str | Path:
        """URL of the study database, which may hold a password, or the file in the home folder."""
        return self.storage or Home.at(self.home).storage


@final
class QueueWorker:
    """A registered worker. Use `work`, which registers one and runs it to its end.

    say: called with a line for each job that begins and ends.
    """

    def __init__(self, store: Store, options: WorkerOptions, say: Say) -> None:
        self._jobs, self._workers = JobTable(store), WorkerTable(store)
        self._options, self._say, self._database = options, say, str(store.address)
        self._environment: Mapping[str, str] = {}
        self._id = 0
        self._process: JobProcess | None = None
        self._recorded: tuple[object, object] = (None, None)
        self._is_stopping = False
        self._beaten = self._polled = -HEARTBEAT_SECONDS
        self._is_cut_off = False

    def begin(self) -> None:
        """Register the worker, and take its cores and GPUs. Raises UsageError where they are not free."""
        chosen: Choice = ((), ())

        def choose_own(others: Sequence[Worker]) -> Choice:
            nonlocal chosen
            chosen = choose(others, self._options.cores, self._options.gpus)
            return chosen

        self._id = self._workers.register(choose_own)
        cores, gpus = chosen
        self._environment = take(cores, gpus)
        has = f"{core_list(cores)}, {'GPU ' + ','.join(gpus) if gpus else 'no GPU'}"
        self._say(f"worker {os.getpid()} on {gethostname()}, {has}, waits for jobs of {self._database}")

    def stop(self) -> None:
        """Let `run` give the job back in good order, and end. A signal handler may call this."""
        self._is_stopping = True

    def run(self) -> None:
        """Run jobs until `stop`; with `once` until none waits."""
        try:
            while self._step():
                pass
        finally:
            if self._process is not None:  # a second signal, or an unexpected error
                self._process.kill()
            with suppress(SearchError):
                self._workers.end(self._id)

    def _step(self) -> bool:
        """Do what is due. Return whether the worker goes on."""
        process = self._process
        if process is None:
            return self._step_without_job()
        if self._is_stopping:
            process.stop()
        process.check_deadline()
        if self._receive(process):
            self._end(process)
        elif self._is_due():
            self._try(lambda: self._follow(process))
        return True

    def _step_without_job(self) -> bool:
        if self._is_stopping:
            return False
        if not self._is_due():
            time.sleep(WAKE_SECONDS)
            return True
        has_job = self._try(self._claim)
        return has_job is not False or not self._options.once

    def _is_due(self) -> bool:
        if time.monotonic() - self._polled < POLL_SECONDS:
            return False
        self._polled = time.monotonic()
        return True

    def _try(self, act: Callable[[], bool]) -> bool | None:
        """Do something with the database. Return None, and say so once, where it cannot be used."""
        try:
            if time.monotonic() - self._beaten >= HEARTBEAT_SECONDS:
                self._workers.beat(self._id)
                self._beaten = time.monotonic()
            result = act()
        except StorageError as error:  # it does not answer, or its disk is full
            if not self._is_cut_off:
                self._is_cut_off = True
                self._say(f"{error}; trying again")
            time.sleep(WAKE_SECONDS)
            return None
        if self._is_cut_off:
            self._is_cut_off = False
            self._say("the study database can be used again")
        return result

    def _claim(self) -> bool:
        """Begin the next job. Return whether there is one."""
        job = self._jobs.claim(self._id, self._options.most_per_owner) if self._jobs.has_work() else None
        if job is None:
            return False
        again = f", attempt {job.attempts}" if job.attempts > 1 else ""
        self._say(f"job {job.id} of {job.owner} begins{again}: {job.kind} {job.options.get('dataset') or job.study}")
        self._recorded = (None, None)
        home = None if self._options.home is None else str(Path(self._options.home).absolute())
        self._process = JobProcess(job, home, self._options.storage, self._environment)
        return True

    def _receive(self, process: JobProcess) -> bool:
        """Wait a moment for messages of the job's process. Return whether it has ended."""
        with suppress(queue.Empty):
            while True:
                message = process.messages.get(timeout=WAKE_SECONDS)
                if message is None:
                    return True
                process.take(message)
                if self._polled + POLL_SECONDS < time.monotonic():
                    break
        return False

    def _follow(self, process: JobProcess) -> bool:
        """Save what the job's process has reported, and see what a person wants of it."""
        number = process.job.id
        request = self._jobs.request_of(number, self._id)
        if request == "lost":
            self._say(f"job {number} was given to another worker meanwhile; its process here is killed")
            process.kill()
            return False
        if request is not None and not process.is_stopping:
            process.stop()
        self._record(process)
        return True

    def _record(self, process: JobProcess) -> None:
        number = process.job.id
        study, progress = self._recorded
        if process.study is not None and process.study != study:
            self._jobs.record_study(number, self._id, process.study)
        if process.progress is not None and process.progress != progress:
            self._jobs.record_progress(number, self._id, process.progress)
        self._recorded = (process.study, process.progress)
        if text := process.log():
            try:
                self._jobs.append_log(number, self._id, text)
            except StorageError:
                process.put_back(text)
                raise

    def _end(self, process: JobProcess) -> None:
        """Record what became of a job whose process has ended, as soon as the database takes it."""
        how = process.finish()
        began = time.monotonic()
        while self._try(lambda: self._record_end(process, how)) is None:
            if self._is_stopping and time.monotonic() - began > HEARTBEAT_SECONDS:
                break  # another worker takes the job when this one has ended
        self._process = None
        self._polled = -POLL_SECONDS

    def _record_end(self, process: JobProcess, how: str) -> bool:
        number, seconds = process.job.id, time.monotonic() - process.began
        self._record(process)
        if process.end == "finished":
            self._jobs.end(number, self._id, "finished", result=process.result)
            reason = None
        elif process.end == "failed":
            self._jobs.end(number, self._id, "failed", reason := process.error)
        else:
            self._jobs.give_back(number, self._id, reason := None if process.is_stopping else process.error or how)
        job = self._jobs.job(number)
        words = {"queued": "waits again", "finished": "finished", "failed": "failed"}.get(job.state, f"is {job.state}")
        if job.worker is None or job.worker.id != self._id:
            words, reason = "is another worker's now", None
        self._say(f"job {number} {words}{f': {reason}' if reason else ''}, after {duration(seconds)}")
        return True


def work(options: WorkerOptions, say: Say) -> None:
    """Run jobs of a database until a signal asks this process to end; then give the job back in good order.

    say: called with a line for each job that begins and ends. Raises UsageError where no core is left, and StorageError
    where the database cannot be used.
    """
    with Store.open(options.database) as store:
        worker = QueueWorker(store, options, say)
        with at_first_signal(worker.stop):
            worker.begin()
            worker.run()
