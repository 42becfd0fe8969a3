"""The pages of all studies and of one study, and the forms that control its runs."""

from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from dashboards.backbone_figure import network_strip
from dashboards.study.answer.answer import study_answer
from dashboards.study.answer.scores import scores
from dashboards.study.commands import export_command
from dashboards.study.report import comparison_bars
from objectives.results import ACCURACY, StudyResults
from search.database.records import StudySummary
from search.server.access.identity import requires, role_router
from search.server.api import control, study_jobs
from search.server.api.classifiers import has_classifier
from search.server.api.jobs import Runner
from search.server.api.studies import StudyName
from search.server.pages.rendering import caller_of, page
from search.server.pages.study_views import (
    Facts,
    StudyView,
    by_dataset,
    card_facts,
    detailed_facts,
    study_card,
    study_view,
)
from search.server.service import Served, Service

router = role_router(in_document=False)

ON_A_PAGE = 25
"""Studies on one page."""


@router.get("/studies", dependencies=[requires("viewer")])
def studies(
    request: Request, service: Served, page_number: Annotated[int, Query(alias="page", ge=1, le=10**6)] = 1
) -> HTMLResponse:
    """Show studies by their datasets, with their answers; those that ran last are on the first page."""
    summaries = service.studies.summaries()
    start = (page_number - 1) * ON_A_PAGE
    shown = summaries[start : start + ON_A_PAGE]
    cards = [
        (summary, study_card(summary, _card_facts(service, summary), number)) for number, summary in enumerate(shown, 1)
    ]
    more = page_number + 1 if start + ON_A_PAGE < len(summaries) else None
    return page(request, "studies.html", "studies", groups=by_dataset(cards), more=more)


@router.get("/studies/{study}", dependencies=[requires("viewer")])
def study_page(request: Request, study: StudyName, service: Served) -> HTMLResponse:
    """Show the answer of a study, its runs, and what leads further."""
    results, view = service.studies.results(study), _view(request, study, service)
    facts = service.studies.derived(study, f"answer {view.at_work}", lambda read: _answer(read, view.at_work))
    return page(request, "study.html", "studies", study=view, architecture=results.architecture, **facts)


@router.get("/fragments/studies/{study}", dependencies=[requires("viewer")])
def study_fragment(request: Request, study: StudyName, service: Served) -> HTMLResponse:
    """Return the part of a study's page that changes."""
    return page(request, "study_state.html", study=_view(request, study, service))


@router.post("/studies/{study}/export")
def export(study: StudyName, caller: Runner, service: Served) -> RedirectResponse:
    """Queue the export of a study's answer as a classifier, and show the job."""
    return RedirectResponse(f"/jobs/{study_jobs.export(study, caller, service, Response()).id}", 303)


@router.post("/studies/{study}/{action}", dependencies=[requires("admin")])
def act(study: StudyName, action: Literal["stop", "stop-now", "pause", "resume"], service: Served) -> RedirectResponse:
    """Stop, pause or resume the runs of a study, and show the study."""
    match action:
        case "pause":
            control.pause(study, service)
        case "resume":
            control.resume(study, service)
        case _:
            control.stop(study, service, now=action == "stop-now")
    return RedirectResponse(f"/studies/{quote(study, safe='')}", 303)


def _card_facts(service: Service, summary: StudySummary) -> Facts:
    running = summary.at_work
    return service.studies.derived(summary.name, f"card {running}", lambda results: card_facts(results, running))


def _view(request: Request, study: str, service: Service) -> StudyView:
    results, runs = service.studies.results(study), service.studies.runs(study)
    wanted = service.store.read_request(study) if any(run.alive for run in runs) else None
    name = study if has_classifier(service, study) else None
    return study_view(results, runs, wanted, caller_of(request), service.store.optuna_id(study), name)


def _answer(results: StudyResults, running: bool) -> dict[str, Any]:
    """Return the facts of the template about the answer: the same as in the report and in `search best`."""
    answer = study_answer(results)
    if answer is None:
        return {"answer": None}
    accuracy = next((row for row in scores(results) if row.metric == ACCURACY), None)
    return {
        "answer": answer,
        "metric": results.metric.label,
        "accuracy": None if results.metric == ACCURACY else accuracy,
        "strip": network_strip(results.architecture, answer.setting),
        "bars": comparison_bars(answer),
        "facts": detailed_facts(results, running),
        "use": export_command(results),
    }
