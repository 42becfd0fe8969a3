"""Lists what jobs can name: datasets, networks and the roots of this server; and says who calls."""

from typing import Annotated

from pydantic import BaseModel

from objectives.backbones.catalog import BACKBONES
from objectives.datasets.catalog import DATASETS
from objectives.datasets.fetch import dataset_folder, how_to_get
from search.database.tokens import Role
from search.server.access.identity import Caller, requires, role_router
from search.server.api.models import WorkerRecord, worker_record
from search.server.content.roots import folders_below
from search.server.service import Served

router = role_router(tags=["catalog"])


class DatasetRecord(BaseModel):
    """A dataset that a job can name.

    download: the size of the download, "by hand", or empty where nothing is to be fetched. ready: whether a job needs
    no `data_root`.
    """

    name: str
    description: str
    download: str
    ready: bool


class BackboneRecord(BaseModel):
    """A network that a job can name. source: a URL, a hub id, or "this package"."""

    name: str
    description: str
    source: str


class RootRecord(BaseModel):
    """A folder of the server below which images and networks of jobs may lie. folders: the first ones in it."""

    name: str
    folders: list[str]


class CallerRecord(BaseModel):
    """Who calls. open: whether the server demands no tokens, since only its own machine can connect."""

    name: str
    role: Role
    open: bool


@router.get("/datasets", dependencies=[requires("viewer")])
def datasets(service: Served) -> list[DatasetRecord]:
    """List the datasets that a job can name."""
    folder = service.settings.home.datasets
    return [
        DatasetRecord(
            name=name,
            description=entry.description,
            download=how_to_get(name),
            ready=not entry.needs_root or (bool(how_to_get(name)) and dataset_folder(name, folder).is_dir()),
        )
        for name, entry in DATASETS.items()
    ]


@router.get("/backbones", dependencies=[requires("viewer")])
def backbones() -> list[BackboneRecord]:
    """List the networks that a job can name."""
    return [
        BackboneRecord(name=name, description=backbone.words, source=backbone.source)
        for name, backbone in BACKBONES.items()
    ]


@router.get("/data-roots", dependencies=[requires("viewer")])
def data_roots(service: Served) -> list[RootRecord]:
    """List the folders below which the images and networks of jobs may lie."""
    return [
        RootRecord(name=name, folders=folders_below(root)) for name, root in sorted(service.settings.data_roots.items())
    ]


@router.get("/workers", dependencies=[requires("viewer")])
def workers(service: Served) -> list[WorkerRecord]:
    """List the workers that are alive, with their cores and GPUs."""
    return [worker_record(worker) for worker in service.workers.live()]


@router.get("/caller")
async def caller(caller: Annotated[Caller, requires("viewer")], service: Served) -> CallerRecord:
    """Say who calls, and with which role."""
    return CallerRecord(name=caller.name, role=caller.role, open=service.callers.open)
