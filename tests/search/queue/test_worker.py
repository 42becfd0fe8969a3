"""Workers as processes: they run jobs, keep to their cores, heed people, and lose no job when they die."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from search.database.jobs.job_table import Job, JobTable
from search.database.store import Store
from tests.support.command_line import Search
from tests.support.finished_search import RUN
from tests.support.processes import child_process

SECONDS = 180.0
"""Longest wait for anything."""

LONG = ("submit", "--dataset", "digits", "--trials", "500", "--heads", "linear")
"""A search that no test waits for."""


@pytest.fixture
def database(finished_home: Path) -> Path:
    return finished_home / "studies.db"


@pytest.fixture
def submit_finished(finished_search: Path, finished_home: Path, search: Search) -> Callable[[], int]:
    """Submit the search whose study has all its trials, so that its job takes some seconds."""
    words = shlex.split(RUN.removeprefix("run "))
    for name in ("--data-root", "--backbone"):
        place = words.index(name) + 1
        words[place] = str(finished_search / words[place])

    def submit() -> int:
        return number_of(search("submit", *words).stdout)

    return submit


def number_of(text: str) -> int:
    match = re.match(r"job (\d+) is queued", text)
    assert match, text
    return int(match[1])


@contextmanager
def started_worker(folder: Path, *words: str) -> "Iterator[subprocess.Popen[bytes]]":
    """Start a worker, whose lines go to the file `worker` in the folder."""
    command = [sys.executable, "-m", "search", "worker", *words]
    with (
        (folder / "worker").open("ab") as lines,
        child_process(command, cwd=folder, stdout=lines, stderr=lines, start_new_session=True) as process,
    ):
        yield process


def wait_for(database: Path, number: int, is_there: Callable[[Job], bool]) -> Job:
    """Wait until a job is as wanted, and return it."""
    deadline = time.monotonic() + SECONDS
    with Store.open(f"sqlite:///{database}") as store:
        while not is_there(job := JobTable(store).job(number)):
            assert time.monotonic() < deadline, (job, JobTable(store).log(number)[0])
            time.sleep(0.05)
    return job


def job_process(worker: int) -> psutil.Process:
    """Return the process of the worker's job."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        for child in psutil.Process(worker).children():
            if "search.queue.process" in " ".join(child.cmdline()):
                return child
        time.sleep(0.05)
    raise AssertionError("no job began")


def tree(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def allowed_cores(process: psutil.Process) -> set[str]:
    """Return the cores that each thread of a process may use, as /proc/PID/task/THREAD/status has them."""
    status = [file.read_text() for file in Path(f"/proc/{process.pid}/task").glob("*/status")]
    return {match[1] for text in status if (match := re.search(r"Cpus_allowed_list:\s*(\S+)", text))}


def test_a_worker_runs_what_waits_and_ends(
    search: Search, submit_finished: Callable[[], int], database: Path, tmp_path: Path
) -> None:
    number = submit_finished()
    (folder := tmp_path / "gone" / "a").mkdir(parents=True)
    broken = number_of(search("submit", "--dataset", "folder", "--data-root", str(folder.parent)).stdout)
    folder.rmdir()
    with started_worker(tmp_path, "--once") as worker:
        assert worker.wait(SECONDS) == 0
    lines = (tmp_path / "worker").read_text().splitlines()
    assert re.fullmatch(rf"worker {worker.pid} on \S+, cores? [\d,-]+, no GPU, waits for jobs of \S+\.db", lines[0])
    assert [re.sub(r", after .*| of \w+ begins", "", line) for line in lines[1:]] == [
        f"job {number}: run folder",
        f"job {number} finished",
        f"job {broken}: run folder",
        lines[4].partition(", after")[0],
    ]
    done, failed = (wait_for(database, job, lambda job: job.ended is not None) for job in (number, broken))
    assert (done.state, done.error) == ("finished", None)
    assert done.progress is not None
    assert (done.progress["stage"], done.progress["finished"], done.progress["trials"]) == ("finished", 3, 3)
    assert done.result is not None
    assert (done.study, done.result["study"]) == (done.study, done.study)
    log = search("logs", str(number)).stdout
    assert re.search(rf"^study {done.study}: ", log, re.MULTILINE)
    assert "setting" in log
    assert failed.state == "failed"
    assert str(failed.error).startswith("expected one folder of images for each class")
    assert f"error: {failed.error}" in search("logs", str(broken), "-f").stdout
    listed = search("jobs").stdout
    assert "3 of 3 trials, best" in listed
    assert "no worker is alive; `search worker` starts one" in listed


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system binds no process to cores")
def test_a_worker_keeps_to_its_core_and_heeds_people(search: Search, database: Path, tmp_path: Path) -> None:
    number, next_one = (number_of(search(*LONG, "--name", name).stdout) for name in ("first", "second"))
    with started_worker(tmp_path, "--cores", "1") as worker:
        process = job_process(worker.pid)
        job = wait_for(database, number, lambda job: (job.progress or {}).get("stage") in ("screening", "trials"))
        assert job.worker is not None
        [core] = job.worker.cores
        processes = tree(process)
        assert {cores for one in processes for cores in allowed_cores(one)} == {str(core)}
        assert any("ray::" in " ".join(one.cmdline()) for one in processes)
        assert search("worker", "--cores", "99").stderr.startswith("error: --cores must be at most ")
        search("jobs", "cancel", str(number))
        asked = time.monotonic()
        wait_for(database, number, lambda job: job.state == "cancelled")
        assert time.monotonic() - asked < 12
        assert job_process(worker.pid).pid != process.pid
        search("jobs", "pause", str(next_one))
        wait_for(database, next_one, lambda job: job.state == "paused")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(SECONDS) == 0
    assert "resume" in search("jobs", "--help").stdout
    assert search("jobs", "resume", str(next_one)).stdout == f"job {next_one}: queued\n"


def test_no_job_is_lost_where_a_worker_and_a_process_are_killed(
    submit_finished: Callable[[], int], database: Path, tmp_path: Path
) -> None:
    numbers = [submit_finished() for _ in range(2)]
    with started_worker(tmp_path) as worker:
        job_process(worker.pid).kill()
        wait_for(database, numbers[0], lambda job: job.attempts == 2)
        orphan = job_process(worker.pid)
        worker.kill()
        worker.wait()
    with started_worker(tmp_path, "--once") as worker:
        assert worker.wait(SECONDS) == 0
    jobs = [wait_for(database, number, lambda job: job.ended is not None) for number in numbers]
    assert [(job.state, job.attempts) for job in jobs] == [("finished", 3), ("finished", 1)]
    psutil.wait_procs([orphan], 15)
    assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE, "it ended with its worker"
    text = (tmp_path / "worker").read_text()
    assert "waits again: its process was killed by signal 9 (Killed), perhaps because the machine is out of" in text


def test_a_worker_gives_its_job_back_in_good_order(
    submit_finished: Callable[[], int], database: Path, tmp_path: Path
) -> None:
    number = submit_finished()
    with started_worker(tmp_path) as worker:
        job_process(worker.pid)
        worker.terminate()
        assert worker.wait(SECONDS) == 0
    job = wait_for(database, number, lambda job: job.state != "running")
    assert (job.state, job.attempts) == ("queued", 0)
