"""The routes that queue jobs of a study: they export its answer as a classifier, and try settings in it."""

from typing import Annotated, Any

from fastapi import Body, Response
from pydantic import AfterValidator, BaseModel, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from search.queue.study_jobs import settings_in, submit_export, submit_settings
from search.server.access.identity import role_router
from search.server.api.jobs import Runner, server_places
from search.server.api.models import PLACES, STRICT, JobRecord
from search.server.api.studies import StudyName
from search.server.service import Served
from search.study.control import tried_records

router = role_router("/studies", ["studies"])

MOST_SETTINGS = 100
"""Settings of one request."""

LONGEST = 100
"""Characters of a name or a value of a setting."""


def _checked_setting(values: dict[str, Any]) -> dict[str, Any]:
    """Return names and values of a setting. Raises an error of Pydantic where one is too long or of another type."""
    for name, value in values.items():
        is_number = value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))
        if len(name) > LONGEST or not (is_number or (isinstance(value, str) and len(value) <= LONGEST)):
            raise PydanticCustomError("setting", "a name or a value is none")
    return values


GivenSetting = Annotated[
    dict[str, Any],
    AfterValidator(_checked_setting),
    WithJsonSchema(
        {
            "type": "object",
            "additionalProperties": {"type": ["number", "string", "null"], "maxLength": LONGEST},
            "propertyNames": {"maxLength": LONGEST},
        }
    ),
]


class NewPlaces(BaseModel):
    """The places of a study's images and network, where they have moved since its last run."""

    model_config = STRICT
    data_root: Annotated[str | None, Field(min_length=1, max_length=4096, description=PLACES["data_root"])] = None
    backbone: Annotated[str | None, Field(min_length=1, max_length=4096, description=PLACES["backbone"])] = None


class NewSettings(BaseModel):
    """Settings to try, such as `{"block": 19, "timestep": 90, "pool": 4, "head": "linear"}`.

    A value may be text, as a person types it. Options of a head that are left out have their middle values. finals:
    whether the candidates are then compared and the answer is tested.
    """

    model_config = STRICT
    settings: Annotated[list[GivenSetting], Field(min_length=1, max_length=MOST_SETTINGS)]
    finals: bool = False


class TriedSetting(BaseModel):
    """A setting and the state of its trial. words: say how it did. validation: None where it is not measured yet."""

    setting: dict[str, Any]
    state: str
    validation: float | None
    interval: list[float] | None
    words: str


class TriedRecord(BaseModel):
    """Settings that are to be tried in a study.

    job: tries those that are not measured yet; None where all are, and where a run works on the study, which tries them
    before its others.
    """

    study: str
    tried: list[TriedSetting]
    job: JobRecord | None


@router.post("/{study}/export", status_code=201)
def export(
    study: StudyName,
    caller: Runner,
    service: Served,
    response: Response,
    places: Annotated[NewPlaces | None, Body()] = None,
) -> JobRecord:
    """Queue a job that exports the answer of a study as a classifier. Its `result` has the name of the `classifier`."""
    results, places = service.studies.results(study), places or NewPlaces()
    moved = server_places(places.data_root, places.backbone, service.settings)
    job = submit_export(service.store, service.settings.home, results, caller.name, **moved)
    response.headers["Location"] = f"/api/v1/jobs/{job.id}"
    return JobRecord.of(job, service.settings.data_roots)


@router.post("/{study}/settings")
def try_settings(study: StudyName, new: NewSettings, caller: Runner, service: Served) -> TriedRecord:
    """Let settings be tried in a study: by the run that works on it, or by a job. They are trials like all others."""
    results = service.studies.results(study)
    settings = settings_in(results, new.settings)
    job = submit_settings(service.store, service.settings.home, results, settings, new.finals, caller.name)
    return TriedRecord(
        study=results.name,
        tried=[TriedSetting(**record) for record in tried_records(results, settings)],
        job=None if job is None else JobRecord.of(job, service.settings.data_roots),
    )
