"""The progress of a job follows the events of its run, and is told in words."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from objectives.results import Accuracy, Evaluation, Trial
from search.database.jobs.job_table import Job
from search.events import FinalsPlanned, RunFinished, RunPrepared, SearchEnded, SearchStarted, TrialEnded, TrialStarted
from search.queue.description import place_lines, progress_text, since_text
from search.queue.progress import JobProgress
from search.scheduling.events import Paused, Resumed
from search.scheduling.requests import TrialRequest
from spaces import Setting
from tests.support.studies import small_results
from tests.support.terminal_process import workload

SETTING = Setting(90, 3, 1, "ridge")
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
JOB = Job(7, "run", {"dataset": "digits"}, "ann", 0, "queued", None, 0, BEGIN, *[None] * 7)


def test_the_progress_follows_the_run() -> None:
    seconds = 0.0
    progress = JobProgress(clock=lambda: seconds)
    assert progress.record()["stage"] == "preparing"
    progress(RunPrepared("digits-1", "digits", 100, 2, {}, None, (), 9, 2))
    assert progress.study == "digits-1"
    earlier = small_results((Trial(0, "complete", SETTING, Accuracy(18, 20)),))
    progress(SearchStarted(earlier, 4, "plan", workload(2)))
    request = TrialRequest(1, SETTING, 1)
    progress(TrialStarted(request))
    record = progress.record()
    assert record["seconds_left"] > 0
    assert record | {"seconds_left": 0} == {
        "stage": "trials",
        "finished": 1,
        "trials": 4,
        "unit": "trials",
        "metric": "accuracy",
        "best": 0.9,
        "seconds_left": 0,
    }
    seconds = 2.0
    progress(TrialEnded(request, "complete", Evaluation(Accuracy(19, 20), {}, 0, 0)))
    progress(TrialStarted(failing := TrialRequest(2, SETTING, 1)))
    progress(TrialEnded(failing, "failed", reason="no memory"))
    assert (progress.record()["finished"], progress.record()["best"]) == (2, 0.95)
    progress(Paused())
    assert (progress.record()["stage"], progress.record()["seconds_left"]) == ("paused", None)
    progress(Resumed())
    assert progress.record()["stage"] == "trials"
    assert progress.record()["seconds_left"] is not None
    progress(FinalsPlanned(2, test=False, later=1))
    assert progress.record()["stage"] == "comparison"
    progress(SearchEnded())
    assert (progress.record()["stage"], progress.record()["seconds_left"]) == ("report", None)
    progress(RunFinished(earlier, "all trials are done", Path("report.html")))
    assert progress.record()["stage"] == "finished"


def test_a_job_is_told_in_words() -> None:
    progress = {"stage": "trials", "finished": 3, "trials": 40, "metric": "accuracy", "best": 0.961, "seconds_left": 90}
    running = replace(JOB, state="running", progress=progress, started=BEGIN + timedelta(hours=1))
    assert progress_text(running).replace("\N{NO-BREAK SPACE}", " ") == (
        "trials, 3 of 40 trials, best 96.1 %, 1 min 30 s left"
    )
    assert progress_text(replace(running, request="pause")).startswith("is being paused, 3 of 40 trials")
    paused = replace(running, progress={**progress, "stage": "paused", "seconds_left": None})
    assert progress_text(paused).startswith("paused by `search pause`, 3 of 40 trials")
    assert progress_text(replace(running, state="failed", error="no image")) == "no image"
    assert since_text(running, BEGIN + timedelta(hours=3)).startswith("2")
    assert since_text(replace(running, state="finished", ended=BEGIN + timedelta(hours=1, seconds=12))).startswith("12")


def test_a_new_job_is_told_what_comes_before_it() -> None:
    before = [replace(JOB, id=1, state="running", owner="bob"), *(replace(JOB, id=number) for number in range(2, 8))]
    job = replace(JOB, id=9)
    lines = place_lines(job, [*before, job, replace(JOB, id=8)], False, ["--home", "a b"], remote=False)
    assert lines[:2] == [
        "job 9 is queued: 1 job running, 6 jobs before it",
        "  job 1: running, of bob, starting",
    ]
    assert lines[-3:] == [
        "  and 2 more; `search jobs --home 'a b'` lists all",
        "no worker is alive, so that it waits; `search worker --home 'a b'` starts one",
        "`search logs 9 -f --home 'a b'` follows it",
    ]
    assert place_lines(job, before, False, ["--server", "http://hal"], remote=True) == [
        "job 9 is queued: 0 jobs running, 0 jobs before it",
        "no worker is alive, so that it waits; `search worker` starts one",
        "`search logs 9 -f --server http://hal` follows it",
    ]
