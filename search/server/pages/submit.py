"""The form that submits a search: it shows the plan first, and then puts the search into the queue."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from objectives.backbones.catalog import BACKBONES
from search.options.option import MOST
from search.prepare import options_of_study
from search.queue.submission import job_record, submit
from search.server.access.identity import requires, role_router
from search.server.api import catalog
from search.server.api.jobs import Runner, checked_options, find_job
from search.server.api.models import PLACES
from search.server.content.planning import SearchPlan
from search.server.content.roots import name_below
from search.server.pages.form import Form, empty_form, filled, parse_form, with_error, with_values
from search.server.pages.job_views import option_text
from search.server.pages.rendering import page
from search.server.problems import ProblemError, problem_of
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
    plan: SearchPlan | None = None
    if not form.wrong:
        try:
            checked = await run_in_threadpool(checked_options, options, service.settings)
            if values.get("action") == "start":
                job = await run_in_threadpool(submit, checked, "run", caller.name, 0, service.settings.database)
                return RedirectResponse(f"/jobs/{job.id}", 303)
            plan = await service.planner.plan(checked)
        except (SearchError, ProblemError) as error:  # what was typed is not lost because the server is busy
            form = with_error(form, problem_of(error).detail)
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


def _options_of(study: str, service: Service) -> Mapping[str, Any]:
    """Return the options with which a run continues a study, as a job keeps them."""
    results = service.studies.results(study)
    return job_record(options_of_study(results, service.store.saved_options(study), service.settings.home), "run", {})


def _texts(options: Mapping[str, Any], service: Service) -> dict[str, str]:
    """Return options as a person types them. A switch that is on is "on"."""
    roots = service.settings.data_roots
    texts = {
        name: ("on" if value else "") if isinstance(value, bool) else option_text(value)
        for name, value in options.items()
    }
    return {name: name_below(roots, text) if name in PLACES else text for name, text in texts.items()}
