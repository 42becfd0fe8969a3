"""Jobs and workers as pages show them."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from search.database.jobs.job_table import Job
from search.database.jobs.worker_table import Worker
from search.server.access.identity import Caller
from search.server.pages.job_views import job_view, option_text, queue_view, recommendation_facts

NOW = datetime.now(UTC)
WORKER = Worker(3, "hal", 4711, NOW, NOW, None, (0, 1), ("0",))
ADMIN, ANNA, BERT, GUEST = (
    Caller("root", "admin"),
    Caller("anna", "runner"),
    Caller("bert", "runner"),
    Caller("anna", "viewer"),
)


def make_job(**changes: Any) -> Job:
    facts: dict[str, Any] = {
        "id": 7,
        "kind": "run",
        "options": {"dataset": "digits", "blocks": [9, 10, 11, 14], "data_root": "/data/birds"},
        "owner": "anna",
        "priority": 0,
        "state": "running",
        "request": None,
        "attempts": 1,
        "created": NOW,
        "started": NOW,
        "ended": None,
        "worker": WORKER,
        "study": None,
        "progress": {"stage": "trials", "finished": 12, "trials": 40, "metric": "accuracy", "best": 0.9},
        "result": None,
        "error": None,
    }
    return Job(**(facts | changes))


def test_a_running_job_shows_how_far_it_is() -> None:
    view = job_view(make_job(), {"data": Path("/data")}, ADMIN)
    assert (view.title, view.fraction, view.kind) == ("digits", 0.3, "a search")
    assert "12 of 40 trials" in view.progress
    assert view.worker == "process 4711 on hal"
    assert view.options == {"dataset": "digits", "blocks": "9-11,14", "data_root": "data/birds"}
    assert view.spoken == "job 7: trials, 25 % of its trials"


def test_the_export_of_a_classifier_leads_to_it_at_its_end() -> None:
    progress = {"stage": "features", "finished": 30, "trials": 120, "unit": "passes"}
    job = make_job(kind="export", study="mine", options={}, progress=progress)
    view = job_view(job, {}, ADMIN)
    assert (view.title, view.kind, view.fraction, view.is_search) == ("mine", "the export of a classifier", 0.25, False)
    assert view.progress == "classifier, features, 30 of 120 passes"
    assert view.spoken == "job 7: features, 25 % of its passes"
    assert view.classifier is None
    assert job_view(replace(job, state="finished"), {}, ADMIN).classifier == "mine"


@pytest.mark.parametrize("stage", ["preparing", "starting", "screening"])
def test_a_job_that_begins_has_no_fraction_yet(stage: str) -> None:
    job = make_job(progress={"stage": stage, "finished": 0, "trials": 40})
    assert job_view(job, {}, None).fraction is None
    assert job_view(replace(job, progress=None), {}, None).fraction is None


@pytest.mark.parametrize("state", ["paused", "failed", "cancelled"])
def test_a_job_that_stopped_shows_its_trials_whatever_it_did_last(state: str) -> None:
    job = make_job(state=state, progress={"stage": "report", "finished": 10, "trials": 40})
    assert job_view(job, {}, None).fraction == 0.25
    assert job_view(replace(job, state="running"), {}, None).fraction == 1.0


@pytest.mark.parametrize(
    ("changes", "caller", "actions"),
    [
        ({}, ADMIN, ("pause", "cancel")),
        ({}, ANNA, ("pause", "cancel")),
        ({}, BERT, ()),
        ({}, GUEST, ()),
        ({}, None, ()),
        ({"request": "cancel"}, ANNA, ()),
        ({"request": "pause"}, ANNA, ("resume", "cancel")),
        ({"progress": {"stage": "paused"}}, ANNA, ("resume", "cancel")),
        ({"progress": {"stage": "paused"}, "request": "cancel"}, ANNA, ()),
        ({"state": "queued"}, ANNA, ("pause", "cancel", "priority")),
        ({"state": "paused"}, ANNA, ("resume", "cancel", "priority")),
        ({"state": "failed"}, ANNA, ("resume",)),
        ({"state": "finished"}, ANNA, ()),
    ],
)
def test_a_page_offers_what_the_caller_may_do(
    changes: dict[str, Any], caller: Caller | None, actions: tuple[str, ...]
) -> None:
    assert job_view(make_job(**changes), {}, caller).actions == actions


def test_the_queue_is_sorted_by_states() -> None:
    jobs = [make_job(), make_job(id=8, state="queued", worker=None), make_job(id=9, state="paused", worker=None)]
    ended = [make_job(id=5, state="failed", error="no disk")]
    view = queue_view(jobs, ended, [WORKER, replace(WORKER, id=4, gpus=())], "search worker", {}, ADMIN)
    groups = (view.running, view.waiting, view.paused, view.ended)
    assert [[job.id for job in group] for group in groups] == [[7], [8], [9], [5]]
    assert [(worker.has, worker.job) for worker in view.workers] == [("2 cores, GPU 0", 7), ("2 cores", None)]
    assert view.ended[0].progress == "no disk"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([1, 2, 4], "1,2,4"),
        ([1, 2, 3, 9], "1-3,9"),
        (["linear", "mlp"], "linear,mlp"),
        (True, "yes"),
        (0.25, "0.25"),
        (["block=1,pool=2", "block=3"], "block=1,pool=2; block=3"),
    ],
)
def test_values_of_options_are_shown_as_they_are_typed(value: object, text: str) -> None:
    assert option_text(value) == text


def test_a_recommendation_is_shown_in_words() -> None:
    setting = {"taps": [[16, 44]], "pool": 4}
    record = {"better_than_chance": False, "setting": setting, "accuracy": 0.5, "interval": [0.4, 0.6]}
    assert recommendation_facts(record)[0] == ("setting", ["none: no setting is better than chance"])
