"""Jobs: submit them, follow them and control them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal

from fastapi import Body, Path, Query, Response
from fastapi.concurrency import run_in_threadpool

from objectives.backbones.catalog import BACKBONES
from objectives.downloads import is_hub_id
from search.checks import check
from search.database.connection.outages import OutageError
from search.database.jobs.job_table import Job
from search.options.option import MOST
from search.options.run_options import RunOptions
from search.queue.submission import submit
from search.server.access.identity import Caller, requires, role_router
from search.server.api.models import JobLog, JobRecord, NewJob, NewPriority, NewSearch, job_records
from search.server.content.planning import SearchPlan
from search.server.content.roots import path_below
from search.server.problems import ProblemError, not_found
from search.server.service import Served, Service
from search.server.settings import Settings
from spaces import PRESETS, StorageError, UsageError, check_name
from spaces.errors import shown

router = role_router("/jobs", ["jobs"])

MOST_JOBS = 500
"""Jobs of one list."""

JobId = Annotated[int, Path(ge=1, le=MOST, description="Number of a job.")]
Viewer = Annotated[Caller, requires("viewer")]
Runner = Annotated[Caller, requires("runner")]
State = Literal["queued", "running", "paused", "finished", "failed", "cancelled"]


@router.get("", dependencies=[requires("viewer")])
def jobs(
    service: Served,
    state: Annotated[list[State] | None, Query(max_length=6)] = None,
    owner: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_JOBS)] = 100,
) -> list[JobRecord]:
    """List jobs: those that run, those that wait in the order in which they will run, paused ones, ended ones."""
    if owner is not None and "\0" in owner:
        return []
    return job_records(service.jobs.jobs(state, owner, limit), service.settings.data_roots)


LINKS = {
    name: {
        "operationRef": f"#/paths/~1api~1v1~1jobs~1{{job_id}}{part}",
        "parameters": {"job_id": "$response.body#/id"},
    }
    for name, part in {
        "show": "/get",
        "log": "~1log/get",
        "cancel": "~1cancel/post",
        "pause": "~1pause/post",
        "resume": "~1resume/post",
        "priority": "~1priority/put",
    }.items()
}
"""The routes that act on a job that was created, for the OpenAPI document."""


@router.post("", status_code=201, responses={201: {"links": LINKS}})
def create(new: Annotated[NewJob, Body()], caller: Runner, service: Served, response: Response) -> JobRecord:
    """Check a search or a recommendation as the command line does, and put it into the queue.

    Only an admin may give a priority above 0.
    """
    if new.priority > 0 and not caller.may("admin"):
        raise ProblemError(403, "forbidden", "a `priority` above 0 needs the role admin; leave it out")
    options = run_options(new.options.model_dump(exclude_unset=True), service.settings)  # type: ignore[attr-defined]
    limits = {} if isinstance(new, NewSearch) else new.limits.given()
    job = submit(options, new.kind, caller.name, new.priority, service.settings.database, limits)
    response.headers["Location"] = f"/api/v1/jobs/{job.id}"
    return JobRecord.of(job, service.settings.data_roots)


@router.post("/plan", dependencies=[requires("runner")])
async def plan(new: Annotated[NewSearch, Body()], service: Served) -> SearchPlan:
    """Say what a search would take; nothing is queued. It takes the body that queues the search.

    The server reads every image for it, which takes minutes for a million images.
    """
    values = new.options.model_dump(exclude_unset=True)  # type: ignore[attr-defined]
    return await service.planner.plan(await run_in_threadpool(checked_options, values, service.settings))


@router.get("/{job_id}", dependencies=[requires("viewer")])
def job(job_id: JobId, service: Served) -> JobRecord:
    """Show a job and how far it is."""
    return JobRecord.of(find_job(service, job_id), service.settings.data_roots)


@router.get("/{job_id}/log", dependencies=[requires("viewer")])
def log(job_id: JobId, service: Served, after: Annotated[int, Query(ge=0, le=2**53)] = 0) -> JobLog:
    """Return what the process of a job printed. after: the `offset` of an earlier answer, to get what came later."""
    with _finding(job_id):
        text, offset = service.jobs.log(job_id, after)
    return JobLog(text=text, offset=offset)


@router.post("/{job_id}/cancel")
def cancel(job_id: JobId, caller: Runner, service: Served) -> JobRecord:
    """Cancel a job. A running one ends in good order within seconds, and what it finished is kept."""
    own_job(service, job_id, caller)
    return JobRecord.of(service.jobs.request(job_id, "cancel"), service.settings.data_roots)


@router.post("/{job_id}/pause")
def pause(job_id: JobId, caller: Runner, service: Served) -> JobRecord:
    """Pause a job until it is resumed. A running one ends in good order, and gives its cores to other jobs."""
    own_job(service, job_id, caller)
    return JobRecord.of(service.jobs.request(job_id, "pause"), service.settings.data_roots)


@router.post("/{job_id}/resume")
def resume(job_id: JobId, caller: Runner, service: Served) -> JobRecord:
    """Queue a job again that is paused, failed or cancelled; let one go on whose study is paused."""
    own_job(service, job_id, caller)
    return JobRecord.of(service.jobs.resume(job_id), service.settings.data_roots)


@router.put("/{job_id}/priority")
def set_priority(job_id: JobId, new: NewPriority, caller: Runner, service: Served) -> JobRecord:
    """Change the priority of a job. Only an admin may raise one above 0."""
    own_job(service, job_id, caller)
    if new.priority > 0 and not caller.may("admin"):
        raise ProblemError(403, "forbidden", "a `priority` above 0 needs the role admin")
    return JobRecord.of(service.jobs.set_priority(job_id, new.priority), service.settings.data_roots)


def find_job(service: Service, job_id: int) -> Job:
    """Return a job. Raises ProblemError, status 404, where there is none of this number."""
    with _finding(job_id):
        return service.jobs.job(job_id)


@contextmanager
def _finding(job_id: int) -> Iterator[None]:
    """Raise ProblemError, status 404, where a block finds no job of this number."""
    try:
        yield
    except OutageError:
        raise
    except StorageError:
        raise not_found(f"there is no job {job_id}; `search jobs --all` lists them") from None


def own_job(service: Service, job_id: int, caller: Caller) -> Job:
    """Return a job that a caller may control: its own, or any for an admin. Raises ProblemError otherwise."""
    job = find_job(service, job_id)
    if job.owner != caller.name and not caller.may("admin"):
        raise ProblemError(
            403, "forbidden", f"job {job_id} belongs to {job.owner}; controlling it needs the role admin"
        )
    return job


def checked_options(values: dict[str, Any], settings: Settings) -> RunOptions:
    """Return the options of a job, after all checks that are made before an image is read. Raises SearchError."""
    options = run_options(values, settings)
    check(options, this_machine=False)
    options.check_finals()
    return options


def run_options(values: dict[str, Any], settings: Settings) -> RunOptions:
    """Return the options of a job with the places of this server. Raises UsageError in words."""
    places = server_places(values.get("data_root"), values.get("backbone"), settings)
    check_name("space", values.get("space", "default"), PRESETS)
    storage = settings.database if isinstance(settings.database, str) else None
    return RunOptions(**values | places, home=settings.home.folder, storage=storage)


def server_places(data_root: str | None, backbone: str | None, settings: Settings) -> dict[str, str]:
    """Return those of `data_root` and `backbone` that are given, as places of this server. Raises UsageError."""
    places = {"data_root": data_root, "backbone": backbone}
    if data_root is not None and not _from_hub(data_root, "data_root", settings):
        places["data_root"] = str(path_below(settings.data_roots, "data_root", data_root))
    if backbone is not None and backbone not in BACKBONES and not _from_hub(backbone, "backbone", settings):
        places["backbone"] = str(_backbone_folder(backbone, settings))
    return {name: place for name, place in places.items() if place is not None}


def _from_hub(text: str, option: str, settings: Settings) -> bool:
    """Return whether a text is the hub id of a network or a dataset, and no folder below a root."""
    if text.partition("/")[0] in settings.data_roots or not is_hub_id(text) or FilePath(text).exists():
        return False
    if not settings.allow_hub:
        raise UsageError(
            f"`{option}` {shown(text)} names no root of this server, and it takes no hub ids; it was started without "
            "`allow_hub`"
        )
    return True


def _backbone_folder(text: str, settings: Settings) -> FilePath:
    """Return the folder of a network below a root. Raises UnknownNameError for a text without a slash."""
    if "/" not in text:
        check_name("backbone", text, BACKBONES)
    return path_below(settings.data_roots, "backbone", text)
