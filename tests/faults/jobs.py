"""Workers, the processes of their jobs, and the database are killed while jobs are queued."""

import re
import subprocess
import time
from contextlib import ExitStack, suppress

import psutil

from search.database.jobs.job_table import MOST_ATTEMPTS, Job, JobTable
from search.database.store import Store
from tests.faults.row import Case, NotTriedError, Row, demand

JOBS = 5

TRIALS = 2

SEARCH = (
    *("--dataset", "digits", "--trials", str(TRIALS), "--heads", "linear", "--blocks", "3", "--pools", "1,2"),
    *("--timesteps", "10", "--validation-fraction", "0.2", "--finalists", "1", "--final-seeds", "1"),
    "--no-warm-start",
)
"""A search of about ten seconds."""

MOST_SECONDS = 900.0
"""Longest time of all jobs together, on a machine that has other work."""

MOST_KILLS = 6


def submit(case: Case) -> None:
    for number in range(JOBS):
        queued = case.finished("submit", *SEARCH, "--name", f"study-{number}")
        demand(queued.returncode == 0, f"it was not queued: {queued.stderr}")


def jobs_of(case: Case) -> list[Job]:
    with Store.open(case.url, reading=True) as store:
        return JobTable(store).jobs()


def job_processes(worker: int) -> list[psutil.Process]:
    """Return the processes of jobs that a worker has started."""
    with suppress(psutil.Error):
        return [
            child for child in psutil.Process(worker).children() if "search.queue.process" in " ".join(child.cmdline())
        ]
    return []


def demand_all_finished(case: Case) -> None:
    """Demand that no job is lost, none is finished twice, and no trial of any study is made twice."""
    jobs = jobs_of(case)
    states = {job.id: (job.state, job.error) for job in jobs}
    demand(len(jobs) == JOBS, f"{len(jobs)} of {JOBS} jobs are left")
    demand(all(job.state == "finished" for job in jobs), f"{states}: {case.output[-900:]}")
    ends = re.findall(r"^job (\d+) finished", case.output, re.MULTILINE)
    demand(len(ends) == len(set(ends)), f"a job ended twice: {ends}")
    with Store.open(case.url) as store:
        for number in range(JOBS):
            study = store.read_study(f"study-{number}")
            settings = [trial.setting for trial in study.trials if trial.state in ("complete", "pruned")]
            demand(len(settings) == len(set(settings)) == TRIALS, f"study {number} has {len(settings)} finished trials")
            demand(len(study.finals) == 1, f"study {number} has {len(study.finals)} tests")


def kill_in_turn(case: Case) -> None:
    """Kill the worker and the process of its job in turn, at random moments. A new worker follows each dead one."""
    submit(case)
    kills, killed = 0, dict[int, int]()
    began = time.monotonic()
    with ExitStack() as stack:
        worker = stack.enter_context(case.started("worker"))
        while any(job.state != "finished" for job in jobs_of(case)):
            demand(time.monotonic() - began < MOST_SECONDS, f"it takes too long: {case.output[-900:]}")
            demand(" failed: " not in case.output, f"a job failed: {case.output[-900:]}")
            time.sleep(case.random.uniform(0.5, 12.0))
            running = [job for job in jobs_of(case) if job.state == "running"]
            if kills == MOST_KILLS or not running or killed.get(running[0].id, 0) == MOST_ATTEMPTS - 1:
                continue
            processes = job_processes(worker.pid)
            if kills % 2 == 0:
                worker.kill()
                worker.wait()
                worker = stack.enter_context(case.started("worker"))
            elif processes:
                with suppress(psutil.Error):
                    processes[0].kill()
            else:
                continue
            kills += 1
            killed[running[0].id] = killed.get(running[0].id, 0) + 1
        worker.terminate()
        demand(worker.wait(30) == 0, f"a worker ended with {worker.returncode}")
    demand_all_finished(case)


def two_workers(case: Case) -> None:
    """Let two workers of one core each share the jobs, and kill one of them with its job at a random moment."""
    submit(case)
    began = time.monotonic()
    with case.started("worker", "--cores", "1") as doomed, case.started("worker", "--cores", "1") as other:
        time.sleep(case.random.uniform(4.0, 30.0))
        for process in job_processes(doomed.pid):
            process.kill()
        doomed.kill()
        while any(job.state != "finished" for job in jobs_of(case)):
            demand(time.monotonic() - began < MOST_SECONDS, f"it takes too long: {case.output[-900:]}")
            demand(other.poll() is None, f"the other worker ended with {other.returncode}: {case.output[-900:]}")
            time.sleep(1.0)
    demand_all_finished(case)


def kill_database(case: Case) -> None:
    """Kill the server of the database at a random moment, and start it again up to half a minute later."""
    if case.server is None:
        raise NotTriedError("SQLite has no server")
    submit(case)
    with case.started("worker", "--once") as worker:
        time.sleep(case.random.uniform(2.0, 40.0))
        case.server.stop("immediate")
        time.sleep(case.random.uniform(0.0, 30.0))
        case.server.start()
        with suppress(subprocess.TimeoutExpired):
            worker.wait(MOST_SECONDS)
        demand(worker.returncode == 0, f"the worker ended with {worker.returncode}: {case.output[-900:]}")
    demand_all_finished(case)


ROWS = [
    Row(
        "a worker and the process of its job killed by signal 9 in turn while five jobs are queued; "
        "none is lost, none is run twice to the end",
        kill_in_turn,
    ),
    Row("one of two workers killed by signal 9 with its job; the other one runs all jobs, each once", two_workers),
    Row(
        "the database killed while jobs are queued; the worker waits, no job is lost or run twice",
        kill_database,
        ("postgresql",),
    ),
]
