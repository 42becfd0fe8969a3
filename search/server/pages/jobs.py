"""The pages of the queue and of a job, and the forms that control a job."""

import os
import shlex
from typing import Annotated, Literal

from fastapi import Form, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from dashboards.access import local_path
from search.commands import home_words
from search.database.jobs.job_table import ENDED, MOST_PRIORITY
from search.options.notation import parse_number
from search.options.option import MOST
from search.server.access.identity import requires, role_router
from search.server.api import jobs as api
from search.server.api.jobs import Runner, find_job
from search.server.api.models import NewPriority
from search.server.pages.job_views import QueueView, job_view, queue_view, recommendation_facts
from search.server.pages.rendering import caller_of, page
from search.server.service import Served, Service

router = role_router(in_document=False)

SHOWN = 10
"""Ended jobs that the first page shows."""

LOG_SHOWN = 20_000
"""Characters of a log with which the page begins. The events of the job bring the whole log."""

VARIABLE = "SEARCH_HOME"

JobId = Annotated[int, Path(ge=1, le=MOST)]


@router.get("/", dependencies=[requires("viewer")])
def home(request: Request, service: Served) -> HTMLResponse:
    """Show what runs, the queue and the workers."""
    return page(request, "home.html", "home", queue=_queue(request, service))


@router.get("/fragments/queue", dependencies=[requires("viewer")])
def queue_fragment(request: Request, service: Served) -> HTMLResponse:
    """Return the part of the first page that changes."""
    return page(request, "queue.html", queue=_queue(request, service))


@router.get("/jobs/{job_id}", dependencies=[requires("viewer")])
def job_page(request: Request, job_id: JobId, service: Served) -> HTMLResponse:
    """Show a job, how far it is, and its log."""
    job = find_job(service, job_id)
    view = job_view(job, service.settings.data_roots, caller_of(request))
    log = service.jobs.log(job_id)[0][-LOG_SHOWN:]
    recommended = recommendation_facts(job.result) if job.kind == "recommend" and job.result else ()
    return page(request, "job.html", "home", job=view, log=log, recommendation=recommended)


@router.get("/fragments/jobs/{job_id}", dependencies=[requires("viewer")])
def job_fragment(request: Request, job_id: JobId, service: Served) -> HTMLResponse:
    """Return the part of a job's page that changes."""
    job = find_job(service, job_id)
    return page(request, "job_state.html", job=job_view(job, service.settings.data_roots, caller_of(request)))


@router.post("/jobs/{job_id}/priority")
def set_priority(
    job_id: JobId, caller: Runner, service: Served, priority: Annotated[str, Form(max_length=100)] = ""
) -> RedirectResponse:
    """Change the priority of a job, and show the job."""
    number = int(parse_number(priority, -MOST_PRIORITY, MOST_PRIORITY))
    api.set_priority(job_id, NewPriority(priority=number), caller, service)
    return RedirectResponse(f"/jobs/{job_id}", 303)


@router.post("/jobs/{job_id}/{action}")
def act(
    job_id: JobId,
    action: Literal["cancel", "pause", "resume"],
    caller: Runner,
    service: Served,
    next: Annotated[str, Form(max_length=2000)] = "",
) -> RedirectResponse:
    """Cancel, pause or resume a job, and lead back to the page with the button."""
    {"cancel": api.cancel, "pause": api.pause, "resume": api.resume}[action](job_id, caller, service)
    return RedirectResponse(local_path(next or f"/jobs/{job_id}"), 303)


def _queue(request: Request, service: Service) -> QueueView:
    settings = service.settings
    storage = settings.database if isinstance(settings.database, str) else None
    words = home_words(settings.home.folder, storage)
    if VARIABLE in os.environ and "--home" not in words:  # whoever copies the command may not have the variable
        words = ["--home", str(settings.home.folder), *words]
    command = shlex.join(["search", "worker", *words])
    return queue_view(
        service.jobs.jobs(["running", "queued", "paused"]),
        service.jobs.jobs(ENDED, limit=SHOWN),
        service.workers.live(),
        command,
        settings.data_roots,
        caller_of(request),
    )
