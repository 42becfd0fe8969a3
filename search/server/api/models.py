"""Requests and answers of the API about jobs. The options of a job are made of the fields of `RunOptions`."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, fields
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from search.database.jobs.job_table import MOST_PRIORITY, Job
from search.options.option import MOST, OptionInfo, option_info
from search.options.run_options import RunOptions
from search.options.sets import SCREENING_OPTIONS
from search.server.content.roots import name_below
from spaces.space import MOST_VALUES

REFUSED = frozenset({"home", "storage", "ray_address", "notify", "on_finish"})
"""Options that no request may set: they name places of the server, or a program that it runs."""

PLACES = {
    "data_root": "Where the images lie: NAME/sub/folder below a root of this server. Fetched datasets need none.",
    "backbone": "A name from /api/v1/backbones, or NAME/sub/folder below a root of this server.",
    "space": "default or paper.",
}
"""Help of the options that are files or folders elsewhere."""

STRICT = ConfigDict(strict=True, extra="forbid")


def _options_model(name: str, words: str, names: Collection[str] | None = None) -> type[BaseModel]:
    """Make the model of options. names: those that it has; None for all that a request may set."""
    hints, members = get_type_hints(RunOptions), dict[str, Any]()
    for item in fields(RunOptions):
        info = option_info(item)
        if info is None or item.name in REFUSED or (names is not None and item.name not in names):
            continue
        members[item.name] = _member(hints[item.name], info, item.name, item.default)
    return create_model(name, __config__=STRICT, __doc__=words, **members)


def _member(hint: Any, info: OptionInfo, name: str, default: Any) -> Any:
    """Return the type and the field of an option."""
    kinds, limits = set(get_args(hint)) or {hint}, dict[str, Any]()
    if Path in kinds:
        kinds -= {Path}
    sequence = next((kind for kind in kinds if getattr(kind, "__origin__", None) is not None), None)
    if sequence is not None:
        limits["max_length"] = MOST_VALUES
        kind: Any = list.__class_getitem__(get_args(sequence)[0])
    else:
        kind = next(kind for kind in (bool, float, int, str) if kind in kinds)
        if kind in (int, float) and info.low is not None and info.high is not None:
            limits |= {"ge": info.low, "le": info.high}
        if kind is str:
            limits |= {"min_length": 1, "max_length": 4096}
    described = Field(... if default is MISSING else default, description=PLACES.get(name, info.help), **limits)
    return (kind | None if type(None) in kinds else kind, described)


SearchOptions = _options_model("SearchOptions", "The options of a search, as of `search run`.")
ScreeningOptions = _options_model(
    "ScreeningOptions", "The options of a recommendation, as of `search recommend`.", SCREENING_OPTIONS
)

Priority = Annotated[int, Field(ge=-MOST_PRIORITY, le=MOST_PRIORITY, description="Higher ones run first.")]


class Limits(BaseModel):
    """The limits of a recommendation."""

    model_config = STRICT
    passes: Annotated[
        int | None, Field(ge=1, le=MOST, description="The most forward passes. [default: a tenth of all]")
    ] = None
    budget: Annotated[float | None, Field(gt=0, le=MOST, description="Time limit in seconds.")] = None
    memory: Annotated[bool, Field(description="Learn from past studies, and keep this screening for later ones.")] = (
        True
    )

    def given(self) -> dict[str, Any]:
        """Return the limits that are not their defaults."""
        return self.model_dump(exclude_defaults=True)


class NewSearch(BaseModel):
    """A search to put into the queue."""

    model_config = STRICT
    kind: Literal["run"]
    options: SearchOptions  # type: ignore[valid-type]
    priority: Priority = 0


class NewRecommendation(BaseModel):
    """A recommendation to put into the queue."""

    model_config = STRICT
    kind: Literal["recommend"]
    options: ScreeningOptions  # type: ignore[valid-type]
    limits: Limits = Limits()
    priority: Priority = 0


NewJob = Annotated[NewSearch | NewRecommendation, Field(discriminator="kind")]


class NewPriority(BaseModel):
    """The priority that a job gets."""

    model_config = STRICT
    priority: Priority


class WorkerRecord(BaseModel):
    """The process that runs a job, or ran it last."""

    host: str
    pid: int
    cores: list[int]
    gpus: list[str]


class JobRecord(BaseModel):
    """A job of the queue.

    kind: "run", "recommend", "export" or "try". options: those that are not their defaults. request: what a person
    wants of a running job. attempts: how often a worker has begun it. study: the study in which it searches, once that
    is known. progress: how far it is. result: of a finished job: the answer, the recommendation, the name of the
    `classifier`, or in `tried` how settings did. error: why it failed.
    """

    id: int
    kind: str
    options: dict[str, Any]
    owner: str
    priority: int
    state: Literal["queued", "running", "paused", "finished", "failed", "cancelled"]
    request: Literal["cancel", "pause"] | None
    attempts: int
    created: datetime
    started: datetime | None
    ended: datetime | None
    worker: WorkerRecord | None
    study: str | None
    progress: dict[str, Any] | None
    result: dict[str, Any] | None
    error: str | None

    @classmethod
    def of(cls, job: Job, roots: Mapping[str, Path]) -> "JobRecord":
        """Return what a job is, with paths below the roots as NAME/sub/folder."""
        options = {
            name: name_below(roots, value) if name in PLACES and isinstance(value, str) else value
            for name, value in job.options.items()
        }
        worker = None if job.worker is None else worker_record(job.worker)
        values = {name: getattr(job, name) for name in cls.model_fields if name not in ("options", "worker")}
        return cls(options=options, worker=worker, **values)


def worker_record(worker: Any) -> WorkerRecord:
    return WorkerRecord(host=worker.host, pid=worker.pid, cores=[*worker.cores], gpus=[*worker.gpus])


class JobLog(BaseModel):
    """A part of what the process of a job printed. offset: give it as `after` to get what comes later."""

    text: str
    offset: int


def job_records(jobs: Sequence[Job], roots: Mapping[str, Path]) -> list[JobRecord]:
    return [JobRecord.of(job, roots) for job in jobs]
