"""Exported classifiers: list them, download one, and classify images with one."""

from datetime import UTC, datetime
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import File, Path, Query, UploadFile
from fastapi.responses import FileResponse, HTMLResponse
from pydantic import BaseModel

from dashboards.server import SANDBOX
from objectives.classifier_facts import read_facts
from search.options.option import MOST
from search.server.access.identity import requires, role_router
from search.server.problems import ProblemError, not_found
from search.server.service import Served, Service
from search.server.settings import Limits
from search.study.export import SUFFIX
from spaces.errors import did_you_mean, shown

router = role_router("/classifiers", ["classifiers"])

LARGEST_UPLOAD = (Limits.upload + 10_000) * Limits.images
"""Bytes of a request with images. Those of each image are counted too."""

ClassifierName = Annotated[str, Path(max_length=500, description="Name of a classifier.")]


class ClassifierRecord(BaseModel):
    """A classifier in the home folder of the server.

    bytes: of its file. setting: which features it reads, and its head. results: of its study: name, dataset, metric and
    accuracies. page: whether it has a page that says how good it is.
    """

    name: str
    bytes: int
    written: datetime
    setting: dict[str, Any]
    classes: list[str]
    backbone: str
    results: dict[str, Any]
    page: bool


@router.get("", dependencies=[requires("viewer")])
def classifiers(service: Served) -> list[ClassifierRecord]:
    """List the classifiers that were exported into the home folder, the newest first."""
    records = [record for file in _files_by_name(service).values() if (record := _record(file)) is not None]
    return sorted(records, key=lambda record: record.written, reverse=True)


@router.get("/{classifier}", dependencies=[requires("viewer")])
def classifier(classifier: ClassifierName, service: Served) -> ClassifierRecord:
    """Show one classifier."""
    record = _record(classifier_file(service, classifier))
    if record is None:
        raise not_found(f"the file of classifier {shown(classifier)} is damaged; export it again")
    return record


@router.get("/{classifier}/file", dependencies=[requires("viewer")], response_class=FileResponse)
def download(classifier: ClassifierName, service: Served) -> FileResponse:
    """Download the file of a classifier, which `search classify` and `search.Classifier` use."""
    file = classifier_file(service, classifier)
    return FileResponse(file, media_type="application/octet-stream", filename=file.name)


@router.get("/{classifier}/page", dependencies=[requires("viewer")], response_class=HTMLResponse)
def page(classifier: ClassifierName, service: Served) -> HTMLResponse:
    """Return the page of a classifier: how good it is on each class, its mistakes, and likely label errors."""
    file = classifier_file(service, classifier).with_suffix(".html")
    if not file.is_file():
        raise not_found(f"classifier {shown(classifier)} has no page")
    return HTMLResponse(file.read_bytes(), headers={"Content-Security-Policy": SANDBOX})


@router.post("/{classifier}/classify", dependencies=[requires("runner")], max_body_size=LARGEST_UPLOAD)
async def classify(
    classifier: ClassifierName,
    service: Served,
    images: Annotated[list[UploadFile], File(description="The files of the images.")],
    top: Annotated[int, Query(ge=1, le=MOST, description="Number of classes, the most probable first.")] = 1,
) -> list[dict[str, Any]]:
    """Classify uploaded images. Each answer has the most probable classes of an image, or the error why it has none."""
    limits, file = service.settings.limits, classifier_file(service, classifier)
    if len(images) > limits.images:
        raise ProblemError(413, "too-large", f"at most {limits.images} `images` at once, got {len(images)}")
    service.classifying.check_free()  # before anything is read
    uploads = []
    for image in images:
        content = await image.read(limits.upload + 1)
        if len(content) > limits.upload:
            raise ProblemError(413, "too-large", f"one of `images` has more than {limits.upload:,} bytes")
        uploads.append((image.filename or "image", content))
    return await service.classifying.classify(file, uploads, top, limits.pixels)


def has_classifier(service: Service, name: str) -> bool:
    """Return whether there is a classifier of this name."""
    return name in _files_by_name(service)


def classifier_file(service: Service, name: str) -> FilePath:
    """Return the file of a classifier. Raises ProblemError, status 404, where there is none of this name."""
    files = _files_by_name(service)
    if name not in files:
        raise not_found(
            f"there is no classifier {shown(name)}; {did_you_mean(name, files)}`search export` makes one of a study"
        )
    return files[name]


def _files_by_name(service: Service) -> dict[str, FilePath]:
    """Return the names of the classifiers and their files. Links are left out, since they may lead anywhere."""
    try:
        files = [*service.settings.home.classifiers.iterdir()]
    except OSError:
        return {}
    return {
        file.name.removesuffix(SUFFIX): file
        for file in files
        if file.suffix == SUFFIX and file.is_file() and not file.is_symlink()
    }


def _record(file: FilePath) -> ClassifierRecord | None:
    facts = read_facts(file)
    if facts is None:
        return None
    status = file.stat()
    return ClassifierRecord(
        name=file.name.removesuffix(SUFFIX),
        bytes=status.st_size,
        written=datetime.fromtimestamp(status.st_mtime, UTC),
        setting=dict(facts.setting),
        classes=[*facts.classes],
        backbone=facts.backbone,
        results=dict(facts.results),
        page=file.with_suffix(".html").is_file(),
    )
