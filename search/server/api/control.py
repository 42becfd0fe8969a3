"""Control of studies: stop, pause and resume their runs, rename and delete them."""

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel

from search.server.access.identity import requires, role_router
from search.server.api.models import STRICT
from search.server.api.studies import StudyName
from search.server.service import Served
from search.study.control import Requested, delete_study, rename_study, request_pause, request_resume, request_stop

router = role_router("/studies", ["studies"])


class RequestedRecord(BaseModel):
    """A request to the runs of a study, which heed it within seconds. runs: how many are alive."""

    study: str
    runs: int


class NewName(BaseModel):
    """The name that a study gets."""

    model_config = STRICT
    name: str


class DeletedRecord(BaseModel):
    """The lines that say what was deleted with a study, and what stays."""

    study: str
    trials: int
    finals: int
    lines: list[str]


@router.post("/{study}/stop", dependencies=[requires("admin")])
def stop(
    study: StudyName,
    service: Served,
    now: Annotated[bool, Query(description="End at once, give unfinished trials back, and test nothing.")] = False,
) -> RequestedRecord:
    """Ask the runs of a study to end. What runs finishes, the answer is tested, and the report is written."""
    service.studies.check(study)
    return _record(request_stop(service.store, study, now))


@router.post("/{study}/pause", dependencies=[requires("admin")])
def pause(study: StudyName, service: Served) -> RequestedRecord:
    """Ask the runs of a study to begin nothing until they are resumed. They keep their cores."""
    service.studies.check(study)
    return _record(request_pause(service.store, study))


@router.post("/{study}/resume", dependencies=[requires("admin")])
def resume(study: StudyName, service: Served) -> RequestedRecord:
    """Let the paused runs of a study go on."""
    service.studies.check(study)
    return _record(request_resume(service.store, study))


@router.put("/{study}/name", dependencies=[requires("admin")])
def rename(study: StudyName, new: NewName, service: Served) -> dict[str, str]:
    """Rename a study, with its report and its classifiers. Status 409 while a run works on it."""
    service.studies.check(study)
    rename_study(service.store, service.settings.home, study, new.name)
    service.studies.forget()
    return {"study": new.name}


@router.delete("/{study}", dependencies=[requires("admin")])
def delete(study: StudyName, service: Served) -> DeletedRecord:
    """Delete a study: its trials, its results and the pages of its report. Its classifiers and features stay."""
    service.studies.check(study)
    deleted = delete_study(service.store, service.settings.home, study)
    service.studies.forget()
    return DeletedRecord(study=deleted.study, trials=deleted.trials, finals=deleted.finals, lines=deleted.lines)


def _record(requested: Requested) -> RequestedRecord:
    return RequestedRecord(study=requested.study, runs=len(requested.runs))
