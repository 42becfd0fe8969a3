"""The queue in SQLite and PostgreSQL: its order, who gets a job, and what becomes of jobs whose worker died."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psutil
import pytest

from search.database.jobs.job_table import MOST_ATTEMPTS, MOST_LOG, Job, JobTable
from search.database.jobs.worker_table import Choice, Worker, WorkerTable
from search.database.models import WorkerRow
from search.database.store import Store
from spaces import StorageError, UsageError
from tests.support.processes import child_process
from tests.support.studies import MakeRecord


@pytest.fixture
def jobs(store: Store) -> JobTable:
    return JobTable(store)


@pytest.fixture
def workers(store: Store) -> WorkerTable:
    return WorkerTable(store)


@pytest.fixture
def asleep() -> Iterator["subprocess.Popen[bytes]"]:
    with child_process([sys.executable, "-c", "import time; time.sleep(100)"]) as process:
        yield process


def register(workers: WorkerTable, cores: Sequence[int] = (0,), gpus: Sequence[str] = ()) -> int:
    return workers.register(lambda _others: (cores, gpus))


def move(store: Store, worker: int, process: "subprocess.Popen[bytes]") -> None:
    """Let a worker be another process."""
    with store.session() as session:
        row = session.get_one(WorkerRow, worker)
        row.pid, row.process_started = process.pid, psutil.Process(process.pid).create_time()


def claimed(jobs: JobTable, worker: int, most: int | None = None) -> Job:
    job = jobs.claim(worker, most)
    assert job is not None
    return job


def test_jobs_run_by_priority_and_then_in_their_order(jobs: JobTable, workers: WorkerTable) -> None:
    first, second, urgent, last = (jobs.submit("run", {}, "ann", priority) for priority in (0, 0, 5, -1))
    worker = register(workers)
    assert [job.id for job in jobs.jobs()] == [urgent, first, second, last]
    order = []
    while (job := jobs.claim(worker)) is not None:
        order.append(job.id)
        assert jobs.end(job.id, worker, "finished")
    assert order == [urgent, first, second, last]
    assert not jobs.has_work()
    assert [job.id for job in jobs.jobs()] == [last, urgent, second, first], "the newest ended job first"
    assert [job.id for job in jobs.jobs(states=["finished"], limit=2)] == [last, urgent]


def test_a_job_is_read_as_it_was_submitted(jobs: JobTable, workers: WorkerTable) -> None:
    number = jobs.submit("run", {"dataset": "digits", "blocks": [3, 4]}, "ann", 7)
    job = jobs.job(number)
    assert (job.kind, job.options, job.owner, job.priority) == (
        "run",
        {"dataset": "digits", "blocks": [3, 4]},
        "ann",
        7,
    )
    assert (job.state, job.request, job.attempts, job.started, job.ended, job.worker) == (
        "queued",
        *[None] * 1,
        0,
        *[None] * 3,
    )
    worker = register(workers, (1, 3), ("0", "GPU-8f2"))
    running = claimed(jobs, worker)
    assert (running.id, running.state, running.attempts, running.ended) == (number, "running", 1, None)
    assert running.started is not None
    assert running.worker is not None
    assert (running.worker.cores, running.worker.gpus) == ((1, 3), ("0", "GPU-8f2"))
    assert jobs.record_study(number, worker, "digits-1")
    assert jobs.record_progress(number, worker, {"finished": 3, "trials": 40})
    assert jobs.end(number, worker, "finished", result={"setting": "block 3"})
    ended = jobs.job(number)
    assert (ended.state, ended.study, ended.progress) == ("finished", "digits-1", {"finished": 3, "trials": 40})
    assert (ended.result, ended.error) == ({"setting": "block 3"}, None)
    assert ended.ended is not None
    with pytest.raises(StorageError, match="there is no job 99 in "):
        jobs.job(99)
    with pytest.raises(StorageError, match="there is no job"):
        jobs.job(2**40)


def test_no_two_workers_get_one_job(jobs: JobTable, workers: WorkerTable) -> None:
    numbers = {jobs.submit("run", {}, "ann") for _ in range(12)}
    ids = [register(workers) for _ in range(12)]
    with ThreadPoolExecutor(6) as threads:
        given = [*threads.map(lambda worker: claimed(jobs, worker).id, ids)]
    assert sorted(given) == sorted(numbers)
    assert claimed(jobs, ids[0]).id == given[0], "a worker that asks again gets its job again"


def test_an_owner_runs_at_most_so_many_jobs(jobs: JobTable, workers: WorkerTable) -> None:
    first, second, third = (jobs.submit("run", {}, owner) for owner in ("ann", "ann", "bob"))
    ids = [register(workers) for _ in range(3)]
    assert claimed(jobs, ids[0], 1).id == first
    assert claimed(jobs, ids[1], 1).id == third
    assert jobs.claim(ids[2], 1) is None
    assert claimed(jobs, ids[2], 2).id == second


def test_a_waiting_job_is_paused_resumed_and_cancelled_at_once(jobs: JobTable, workers: WorkerTable) -> None:
    first, second = (jobs.submit("run", {}, "ann") for _ in range(2))
    worker = register(workers)
    assert jobs.request(first, "pause").state == "paused"
    assert [job.id for job in jobs.jobs()] == [second, first]
    assert jobs.resume(first).state == "queued"
    assert claimed(jobs, worker).id == first, "it has its old place"
    assert jobs.request(second, "cancel").state == "cancelled"
    assert jobs.job(second).ended is not None
    with pytest.raises(StorageError, match=f"job {second} was cancelled already$"):
        jobs.request(second, "pause")
    assert jobs.set_priority(first, 9).priority == 9
    with pytest.raises(StorageError, match="its priority decides nothing"):
        jobs.set_priority(second, 9)
    assert jobs.resume(second).state == "queued"


def test_the_worker_of_a_running_job_sees_requests(jobs: JobTable, workers: WorkerTable) -> None:
    number, worker = jobs.submit("run", {}, "ann"), register(workers)
    claimed(jobs, worker)
    assert jobs.request_of(number, worker) is None
    assert jobs.request(number, "pause").state == "running"
    assert jobs.request_of(number, worker) == "pause"
    assert jobs.give_back(number, worker) == "paused"
    jobs.resume(number)
    claimed(jobs, worker)
    jobs.request(number, "cancel")
    jobs.request(number, "pause")
    assert jobs.request_of(number, worker) == "cancel", "a cancelled job is not paused"
    with pytest.raises(StorageError, match="is being cancelled"):
        jobs.resume(number)
    assert jobs.give_back(number, worker) == "cancelled"
    assert jobs.give_back(number, worker) is None, "it is not this worker's any more"


def test_to_resume_a_running_job_resumes_its_study(
    store: Store, jobs: JobTable, workers: WorkerTable, make_record: MakeRecord
) -> None:
    number, worker = jobs.submit("run", {}, "ann"), register(workers)
    claimed(jobs, worker)
    study = store.ensure_study(make_record(protocol={"seed": "0"}))
    jobs.record_study(number, worker, study)
    store.record_request(study, "pause")
    assert jobs.resume(number).state == "running"
    assert store.read_request(study) is None
    store.record_request(study, "stop")
    jobs.resume(number)
    assert store.read_request(study) == "stop"


def test_a_job_given_back_in_good_order_counts_no_attempt(jobs: JobTable, workers: WorkerTable) -> None:
    number, worker = jobs.submit("run", {}, "ann"), register(workers)
    for _ in range(MOST_ATTEMPTS + 1):
        assert claimed(jobs, worker).attempts == 1
        assert jobs.give_back(number, worker) == "queued"
    for attempt in range(MOST_ATTEMPTS):
        assert claimed(jobs, worker).attempts == attempt + 1
        state = jobs.give_back(number, worker, "its process was killed")
    assert state == "failed"
    error = jobs.job(number).error or ""
    assert error == f"its process was killed, and the job was begun 3 times; `search jobs resume {number}` tries again"
    assert jobs.resume(number).attempts == 0


def test_the_job_of_a_dead_worker_goes_to_another(
    store: Store, jobs: JobTable, workers: WorkerTable, asleep: "subprocess.Popen[bytes]"
) -> None:
    number, doomed = jobs.submit("run", {}, "ann"), register(workers)
    move(store, doomed, asleep)
    claimed(jobs, doomed)
    other = register(workers)
    assert jobs.claim(other) is None
    asleep.kill()
    asleep.wait()
    job = claimed(jobs, other)
    assert (job.id, job.attempts) == (number, 2)
    assert [worker.id for worker in workers.live()] == [other]
    assert not jobs.record_progress(number, doomed, {"finished": 1})
    assert not jobs.append_log(number, doomed, "late\n")
    assert not jobs.end(number, doomed, "finished")
    assert jobs.request_of(number, doomed) == "lost"
    assert jobs.job(number).state == "running"
    assert "died" in jobs.log(number)[0]


def test_a_job_whose_worker_died_is_cancelled_without_it(
    store: Store, jobs: JobTable, workers: WorkerTable, asleep: "subprocess.Popen[bytes]"
) -> None:
    first, doomed = jobs.submit("run", {}, "ann"), register(workers)
    move(store, doomed, asleep)
    claimed(jobs, doomed)
    asleep.kill()
    asleep.wait()
    assert jobs.request(first, "cancel").state == "cancelled"


def test_a_silent_worker_elsewhere_is_dead_after_a_minute(store: Store, jobs: JobTable, workers: WorkerTable) -> None:
    number, silent, other = jobs.submit("run", {}, "ann"), register(workers), register(workers)
    claimed(jobs, silent)
    with store.session() as session:
        row = session.get_one(WorkerRow, silent)
        row.host, row.heartbeat = "another-machine", row.heartbeat - timedelta(seconds=59)
    assert jobs.claim(other) is None
    with store.session() as session:
        session.get_one(WorkerRow, silent).heartbeat -= timedelta(seconds=2)
    assert claimed(jobs, other).id == number


def test_a_log_is_followed_and_its_begin_is_dropped(jobs: JobTable, workers: WorkerTable) -> None:
    number, worker = jobs.submit("run", {}, "ann"), register(workers)
    assert jobs.log(number) == ("", 0)
    claimed(jobs, worker)
    assert jobs.append_log(number, worker, "one\n")
    text, offset = jobs.log(number)
    assert (text, offset) == ("one\n", 4)
    assert jobs.append_log(number, worker, "two \0 \udc80\n")
    assert jobs.log(number, offset)[0] == "two \\x00 \\udc80\n"
    jobs.append_log(number, worker, "x" * MOST_LOG)
    text, offset = jobs.log(number, 1)
    assert (text, offset) == ("x" * MOST_LOG, MOST_LOG + 20)
    assert jobs.log(number, offset) == ("", offset)


def test_workers_share_a_machine(store: Store, workers: WorkerTable) -> None:
    seen: list[Sequence[Worker]] = []

    def choose(others: Sequence[Worker]) -> Choice:
        seen.append(others)
        return [1], []

    first = register(workers, (0, 1), ("0",))
    with store.session() as session:  # a process of this machine that is not this one
        row = session.get_one(WorkerRow, first)
        row.pid, row.process_started = 1, psutil.Process(1).create_time()
    second = workers.register(choose)
    assert [(worker.cores, worker.gpus) for worker in seen[0]] == [((0, 1), ("0",))]
    assert [worker.id for worker in workers.live()] == [first, second]
    workers.beat(second)
    workers.end(first)
    assert [worker.id for worker in workers.live()] == [second]

    def refuse(_others: Sequence[Worker]) -> Choice:
        raise UsageError("no core is left")

    with pytest.raises(UsageError, match="no core is left"):
        workers.register(refuse)
    assert [worker.id for worker in workers.live()] == [second]
