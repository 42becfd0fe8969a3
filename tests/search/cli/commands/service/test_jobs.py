"""The queue on the command line, without a worker: submit, list, pause, resume, cancel, priority, logs."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from search.database.jobs.job_table import JobTable
from search.database.jobs.worker_table import WorkerTable
from search.database.store import Store
from tests.support.command_line import Search, search_process
from tests.support.processes import child_process


def test_jobs_are_queued_listed_and_changed(search: Search) -> None:
    first = search("submit", "--dataset", "digits", "--trials", "8")
    assert first.code == 0
    assert first.stdout.splitlines()[0] == "job 1 is queued: 0 jobs running, 0 jobs before it"
    assert "no worker is alive, so that it waits; `search worker` starts one" in first.stdout
    urgent = search("submit", "--dataset", "digits", "--priority", "2", "--name", "urgent")
    assert urgent.stdout.startswith("job 2 is queued: 0 jobs running, 0 jobs before it")
    third = search("submit", "--dataset", "digits")
    assert third.stdout.splitlines()[:3] == [
        "job 3 is queued: 0 jobs running, 2 jobs before it",
        next(line for line in third.stdout.splitlines() if line.startswith("  job 2: queued, of ")),
        next(line for line in third.stdout.splitlines() if line.startswith("  job 1: queued, of ")),
    ]
    assert search("jobs", "priority", "1", "5").stdout == "job 1: queued, priority 5\n"
    assert search("jobs", "priority", "1", "--", "-5").stdout == "job 1: queued, priority -5\n"
    assert search("jobs", "pause", "3").stdout == "job 3: paused\n"
    assert search("jobs", "cancel", "1", "2").stdout == "job 1: cancelled, priority -5\njob 2: cancelled, priority 2\n"
    listed = json.loads(search("jobs", "--json").stdout)
    assert [(job["job"], job["state"]) for job in listed] == [(3, "paused"), (2, "cancelled"), (1, "cancelled")]
    assert listed[1]["options"] == {"dataset": "digits", "name": "urgent"}
    table = search("jobs").stdout
    assert all(word in table for word in ("paused", "cancelled", "urgent", "digits"))
    assert search("jobs", "resume", "3").stdout == "job 3: queued\n"
    assert search("logs", "3").stdout == ""


def test_a_job_that_cannot_be_cancelled_keeps_no_other_from_it(search: Search) -> None:
    for _ in range(3):
        search("submit", "--dataset", "digits")
    search("jobs", "cancel", "2")
    ran = search("jobs", "cancel", "3", "2", "999", "1")
    assert (ran.code, ran.stdout) == (1, "job 3: cancelled\njob 1: cancelled\n")
    second, missing = ran.stderr.splitlines()
    assert second == "error: job 2 was cancelled already"
    assert missing.startswith("error: there is no job 999 in ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_whoever_ends_the_following_of_a_log_reads_that_the_job_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    home = tmp_path / "my home"
    search_process(tmp_path, home, "submit", "--dataset", "digits")
    with Store.open(home / "studies.db") as store:
        worker = WorkerTable(store).register(lambda _: ((0,), ()))
        JobTable(store).claim(worker)
        JobTable(store).append_log(1, worker, "the first line\n")
        command = [sys.executable, "-m", "search", "logs", "1", "-f", "--home", str(home)]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with child_process(command, **streams) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "the first line\n"
            time.sleep(0.2)  # it is waiting for more by now
            process.send_signal(number)
            out, err = process.communicate(timeout=30)
        assert (out, process.returncode) == ("", 128 + number)
        assert err == f"job 1 goes on; `search logs 1 -f --home '{home}'` follows it\n"
        assert JobTable(store).job(1).state == "running"


def test_whoever_follows_a_log_reads_when_the_last_worker_has_gone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    search_process(tmp_path, home, "submit", "--dataset", "digits")
    with Store.open(home / "studies.db") as store:
        jobs, workers = JobTable(store), WorkerTable(store)
        worker = workers.register(lambda _: ((0,), ()))
        jobs.claim(worker)
        jobs.append_log(1, worker, "the first line\n")
        command = [sys.executable, "-m", "search", "logs", "1", "-f", "--home", str(home)]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with child_process(command, **streams) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline() == "the first line\n"
            jobs.give_back(1, worker)
            workers.end(worker)
            line = process.stderr.readline()
            assert line == f"no worker is alive, so that job 1 waits; `search worker --home {home}` starts one\n"
            jobs.request(1, "cancel")
            assert process.communicate(timeout=30) == ("", "")
            assert process.returncode == 0


def test_mistakes_are_said_in_words(search: Search) -> None:
    assert search("jobs").stdout.startswith("no jobs yet; `search submit --dataset digits --trials 40` queues one\n")
    assert search("jobs", "cancel", "7").stderr.startswith("error: there is no job 7 in ")
    assert search("logs", "7").code == 1
    assert "expected a whole number from 1 to" in search("logs", "seven").stderr
    search("submit", "--dataset", "digits")
    search("jobs", "cancel", "1")
    assert search("jobs", "pause", "1").stderr.startswith("error: job 1 was cancelled already")
    refused = search("submit", "--dataset", "digit")
    assert (refused.code, refused.stdout) == (2, "")
    assert len(json.loads(search("jobs", "--json").stdout)) == 1
