"""The pages of classifiers: their list, and one that classifies dropped images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import File, Request, UploadFile
from fastapi.responses import HTMLResponse

from dashboards.formatting import percent, shortened
from search.server.access.identity import requires, role_router
from search.server.api import classifiers as api
from search.server.api.classifiers import ClassifierName, ClassifierRecord
from search.server.pages.rendering import page
from search.server.problems import ProblemError, problem_of
from search.server.service import Json, Served, Service
from spaces import SearchError, Setting

router = role_router(in_document=False)

SHOWN = 5
"""Classes of an image that are shown, and classes that a list names."""


Images = Annotated[list[UploadFile], File()]


@dataclass(frozen=True)
class ClassifierView:
    """A classifier as pages show it.

    setting: the features that it reads, and its head. scores: its accuracies with their intervals. some_classes: the
    first classes, and the number of others.
    """

    record: ClassifierRecord
    setting: str
    scores: str
    some_classes: str


def classifier_view(record: ClassifierRecord) -> ClassifierView:
    """Return what pages show of a classifier."""
    scores = ", ".join(filter(None, (_score(part, record.results) for part in ("validation", "test"))))
    setting = str(Setting.from_dict(record.setting))
    return ClassifierView(record, setting, scores or "its accuracy was not kept", shortened(record.classes, SHOWN))


@router.get("/classifiers", dependencies=[requires("viewer")])
def classifiers(request: Request, service: Served) -> HTMLResponse:
    """List the exported classifiers, the newest first."""
    views = [classifier_view(record) for record in api.classifiers(service)]
    return page(request, "classifiers.html", "classifiers", classifiers=views)


@router.get("/classifiers/{classifier}", dependencies=[requires("viewer")])
def classifier_page(request: Request, classifier: ClassifierName, service: Served) -> HTMLResponse:
    """Show a classifier, and ask for images."""
    return _page(request, service, classifier)


@router.post("/classifiers/{classifier}", dependencies=[requires("runner")])
async def classify(request: Request, classifier: ClassifierName, service: Served, images: Images) -> HTMLResponse:
    """Classify images for a browser without scripts: the whole page with the results."""
    try:
        answers = await api.classify(classifier, service, images, SHOWN)
    except (ProblemError, SearchError) as error:
        problem = problem_of(error)
        return _page(request, service, classifier, (), problem.detail, problem.status)
    return _page(request, service, classifier, answers)


@router.post("/fragments/classifiers/{classifier}", dependencies=[requires("runner")])
async def classify_fragment(
    request: Request, classifier: ClassifierName, service: Served, images: Images
) -> HTMLResponse:
    """Classify images for the script of the page: the results alone."""
    try:
        answers = await api.classify(classifier, service, images, SHOWN)
    except (ProblemError, SearchError) as error:
        answers = [{"image": image.filename or "image", "error": problem_of(error).detail} for image in images[:1]]
    return page(request, "classified.html", images=answers)


def _page(
    request: Request,
    service: Service,
    name: str,
    images: Sequence[Json] = (),
    problem: str = "",
    status: int = 200,
) -> HTMLResponse:
    view = classifier_view(api.classifier(name, service))
    facts = {"one": view, "images": images, "problem": problem, "limits": service.settings.limits}
    return page(request, "classifier.html", "classifiers", status, **facts)


def _score(part: str, results: Mapping[str, Any]) -> str:
    value, bounds = results.get(f"{part}_accuracy"), results.get(f"{part}_interval")
    if value is None:
        return ""
    interval = f" ({100 * bounds[0]:.1f} to {100 * bounds[1]:.1f})" if bounds else ""
    return f"{part} accuracy {percent(value)}{interval}"
