"""The queue on the command line, without a worker: submit, list, pause, resume, cancel, priority, logs."""

import json

from tests.support.command_line import Search


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
