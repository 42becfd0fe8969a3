"""Two searches by workers of the queue: side by side on one core each, and one after the other.

    python -m tests.benchmarks.two_workers [--times 1] [--out FILE.json]

Each way gets an empty home. The seconds are those from the first job's start to the last job's end. While the jobs run,
the threads of all their processes are looked at: how many there are, and on which cores they may run.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psutil

from search.database.jobs.job_table import Job, JobTable
from search.database.store import Store
from tests.support.processes import child_process

OPTIONS = ("--dataset", "digits", "--trials", "16", "--heads", "linear", "--pools", "1,2,4")

WAYS: dict[str, Sequence[Sequence[str]]] = {
    "one worker of one core": [("--cores", "1")],
    "one worker of two cores": [("--cores", "2")],
    "two workers of one core": [("--cores", "1"), ("--cores", "1")],
}
"""The options of the workers of each way."""

JOBS = 2


def search_words(home: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "search", *words, "--home", str(home)]


def threads_of(worker: int) -> tuple[int, set[str]]:
    """Return the number of threads of the processes of a worker's job, and the lists of cores on which they may run."""
    count, cores = 0, set[str]()
    with suppress(psutil.Error, OSError):
        for process in psutil.Process(worker).children(recursive=True):
            with suppress(psutil.Error, OSError):
                for file in Path(f"/proc/{process.pid}/task").glob("*/status"):
                    if match := re.search(r"Cpus_allowed_list:\s*(\S+)", file.read_text()):
                        count += 1
                        cores.add(match[1])
    return count, cores


def measure(workers: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Run the jobs by these workers in an empty home, and return their seconds and threads."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as folder, ExitStack() as stack:
        home = Path(folder) / "home"
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        for number in range(JOBS):
            words = search_words(home, "submit", *OPTIONS, "--seed", str(number), "--name", f"job-{number}")
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        processes = [
            stack.enter_context(
                child_process(
                    search_words(home, "worker", "--once", *words), env=environment, stdout=subprocess.DEVNULL
                )
            )
            for words in workers
        ]
        most, cores = [0] * len(processes), [set[str]() for _ in processes]
        while any(process.poll() is None for process in processes):
            for place, process in enumerate(processes):
                threads, lists = threads_of(process.pid)
                most[place], cores[place] = max(most[place], threads), cores[place] | lists
            time.sleep(0.5)
        with Store.open(f"sqlite:///{home}/studies.db") as store:
            jobs = JobTable(store).jobs()
        if [job.state for job in jobs] != ["finished"] * JOBS:
            raise SystemExit(f"the jobs ended otherwise: {[(job.state, job.error) for job in jobs]}")
        return {
            "seconds": seconds_of(jobs),
            "seconds_of_jobs": [seconds_of([job]) for job in reversed(jobs)],
            "most_threads": most,
            "cores_of_threads": [sorted(lists) for lists in cores],
        }


def seconds_of(jobs: Sequence[Job]) -> float:
    """Return the seconds from the first start to the last end."""
    starts, ends = [job.started for job in jobs if job.started], [job.ended for job in jobs if job.ended]
    return (max(ends) - min(starts)).total_seconds()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    results: list[dict[str, Any]] = []
    for _ in range(options.times):
        for way, workers in WAYS.items():
            results.append({"way": way, **measure(workers)})
            sys.stdout.write(json.dumps(results[-1]) + "\n")
            sys.stdout.flush()
            if options.out is not None:
                options.out.write_text(json.dumps(results, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
