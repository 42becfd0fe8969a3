"""The form that submits a search: it shows the plan first, and then puts the search into the queue."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from objectives.backbones.catalog import BACKBONES
from search.checks import check
from search.options.option import MOST
from search.options.run_options import RunOptions
from search.prepare import moved_options
from search.queue.submission import job_record, submit
from search.server.access.identity import requires, role_router
from search.server.api import catalog
from search.server.api.jobs import Runner, find_job, run_options
from search.server.api.models import PLACES
from search.server.content.roots import name_below
from search.server.pages.form import Form, empty_form, filled, parse_form, with_error, with_values
from search.server.pages.job_views import option_text
from search.server.pages.plan import Facts, PlanTask, planner_of
from search.server.pages.rendering import page
from search.server.problems import ProblemError
from search.server.service import Served, Service
from spaces import SearchError

router = role_router(in_document=False)

MOST_FIELDS = 200

UNPROCESSABLE = 422


@router.get("/submit", dependencies=[requires("runner")])
def form_page(
    request: Request,
    service: Served,
    job: Annotated[int | None, Query(ge=1, le=MOST)] = None,
    study: Annotated[str | None, Query(max_length=500)] = None,
) -> HTMLResponse:
    """Show the form: empty, or with the options of a job or of a study."""
    form = _empty(service)
    if job is not None:
        form = with_values(form, _texts(find_job(service, job).options, service))
    elif study is not None:
        form = with_values(form, _texts(_options_of(study, service), service))
    return page(request, "submit.html", "submit", form=form, plan=None)


@router.post("/submit")
async def plan_or_start(request: Request, caller: Runner, service: Served) -> Response:
    """Show the plan of the search that was typed, or put it into the queue; or say beside a field what is wrong."""
    typed = await request.form(max_files=0, max_fields=MOST_FIELDS)
    values = {name: value for name, value in typed.items() if isinstance(value, str)}
    form, options = parse_form(filled(await run_in_threadpool(_empty, service), values))
    plan: Facts | None = None
    if not form.wrong:
        try:
            checked = await run_in_threadpool(_checked, options, service)
            if values.get("action") == "start":
                job = await run_in_threadpool(submit, checked, "run", caller.name, 0, service.settings.database)
                return RedirectResponse(f"/jobs/{job.id}", 303)
            plan = await planner_of(request).plan(_task(checked, service))
        except SearchError as error:
            form = with_error(form, str(error))
        except ProblemError as error:  # what was typed is not lost because the server is busy
            form = with_error(form, error.detail)
    return page(request, "submit.html", "submit", 200 if plan else UNPROCESSABLE, form=form, plan=plan)


def _empty(service: Service) -> Form:
    """Return the form with the datasets, networks and folders that this server knows."""
    datasets = sorted(catalog.datasets(service), key=lambda dataset: not dataset.ready)
    known = tuple((one.name, _dataset_words(one)) for one in datasets)
    folders = [f"{root.name}/{folder}" for root in catalog.data_roots(service) for folder in root.folders]
    return empty_form({"dataset": known}, {"backbone": tuple(BACKBONES), "data_root": tuple(folders)})


def _dataset_words(dataset: catalog.DatasetRecord) -> str:
    """Return the name of a dataset, what it is, and whether its images must be named."""
    words = dataset.description.partition(":")[0]
    return f"{dataset.name}: {words}{'' if dataset.ready else '; name its folder'}"


def _checked(values: dict[str, Any], service: Service) -> RunOptions:
    """Return the options of a job, after all checks that are made before an image is read. Raises SearchError."""
    options = run_options(values, service.settings)
    check(options, this_machine=False)
    options.check_finals()
    return options


def _task(options: RunOptions, service: Service) -> PlanTask:
    settings = service.settings
    storage = settings.database if isinstance(settings.database, str) else None
    return PlanTask(job_record(options, "run", {}), str(settings.home.folder), storage)


def _options_of(study: str, service: Service) -> Mapping[str, Any]:
    """Return the options of the last run of a study, as a job keeps them."""
    results = service.studies.results(study)
    options = moved_options(results, service.store.saved_options(study), service.settings.home)
    return job_record(options, "run", {}) | {"name": study}


def _texts(options: Mapping[str, Any], service: Service) -> dict[str, str]:
    """Return options as a person types them. A switch that is on is "on"."""
    roots = service.settings.data_roots
    texts = {
        name: ("on" if value else "") if isinstance(value, bool) else option_text(value)
        for name, value in options.items()
    }
    return {name: name_below(roots, text) if name in PLACES else text for name, text in texts.items()}
