"""The pages of classifiers: their list, and one that classifies dropped images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import File, Request, UploadFile
from fastapi.responses import HTMLResponse

from dashboards.formatting import percent, shortened
from search.server.access.identity import requires, role_router
from search.server.api import classifiers as api
from search.server.api.classifiers import ClassifierName, ClassifierRecord
from search.server.pages.rendering import page
from search.server.problems import ProblemError, problem_of
from search.server.service import Served, Service
from spaces import SearchError, Setting

router = role_router(in_document=False)

SHOWN = 5
"""Classes of an image that are shown, and classes that a list names."""


@dataclass(frozen=True)
class ClassProbability:
    """A class of an image. probability: in [0, 1]."""

    name: str
    probability: float

    @property
    def text(self) -> str:
        return percent(self.probability)


@dataclass(frozen=True)
class ClassifiedImage:
    """An uploaded image. classes: the most probable ones first. error: why it has none. preview: its address."""

    name: str
    classes: tuple[ClassProbability, ...]
    error: str
    preview: str = ""


@dataclass(frozen=True)
class ClassifierView:
    """A classifier.

    setting: the features that it reads, and its head. scores: its accuracies with their intervals. some_classes: the
    first classes, and the number of others. study: the name of the study that made it. page: whether it has one.
    """

    name: str
    setting: str
    scores: str
    classes: tuple[str, ...]
    some_classes: str
    written: datetime
    study: str | None
    page: bool


def classifier_view(record: ClassifierRecord) -> ClassifierView:
    """Return what pages show of a classifier."""
    scores = filter(None, (_score(part, record.results) for part in ("validation", "test")))
    return ClassifierView(
        record.name,
        str(Setting.from_dict(record.setting)),
        ", ".join(scores) or "its accuracy was not kept",
        tuple(record.classes),
        shortened(record.classes, SHOWN),
        record.written,
        record.results.get("study"),
        record.page,
    )


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
async def classify(
    request: Request, classifier: ClassifierName, service: Served, images: Annotated[list[UploadFile], File()]
) -> HTMLResponse:
    """Classify images for a browser without scripts: the whole page with the results."""
    try:
        answers = await api.classify(classifier, service, images, SHOWN)
    except (ProblemError, SearchError) as error:
        problem = error if isinstance(error, ProblemError) else problem_of(error)
        return _page(request, service, classifier, (), problem.detail, problem.status)
    return _page(request, service, classifier, classified_images(answers))


@router.post("/fragments/classifiers/{classifier}", dependencies=[requires("runner")])
async def classify_fragment(
    request: Request, classifier: ClassifierName, service: Served, images: Annotated[list[UploadFile], File()]
) -> HTMLResponse:
    """Classify images for the script of the page: the results alone."""
    try:
        answers = await api.classify(classifier, service, images, SHOWN)
    except (ProblemError, SearchError) as error:
        problem = error if isinstance(error, ProblemError) else problem_of(error)
        failed = [ClassifiedImage(image.filename or "image", (), problem.detail) for image in images[:1]]
        return page(request, "classified.html", images=failed)
    return page(request, "classified.html", images=classified_images(answers))


def classified_images(answers: Sequence[Mapping[str, Any]]) -> tuple[ClassifiedImage, ...]:
    """Return what a page shows of answers of the API."""
    return tuple(
        ClassifiedImage(
            answer["image"],
            tuple(ClassProbability(row["class"], row["probability"]) for row in answer.get("classes", ())),
            answer.get("error", ""),
        )
        for answer in answers
    )


def _page(
    request: Request,
    service: Service,
    name: str,
    images: Sequence[ClassifiedImage] = (),
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
