"""The project's own tables, which lie beside Optuna's in the same database and hold what Optuna has no column for.

A study here belongs to the Optuna study of the same name, and a trial to the Optuna trial of the same number. Optuna
holds the parameters, the state, the values and the curve of a trial. These tables hold its cost and its counts.
"""

import json
from datetime import UTC, datetime
from typing import Any, final

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator

from search.database.records import StudyRecord, architecture_to_dict
from spaces import Setting
from spaces.text import one_line


@final
class Moment(TypeDecorator[datetime]):
    """A time in UTC. SQLite forgets the time zone, so it is added when a time is read."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


@final
class OneLine(TypeDecorator[str]):
    """Text whose control characters and surrogates are stored as escapes, since no database takes all of them."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else one_line(value)


@final
class SettingText(TypeDecorator[Setting]):
    """A setting as JSON text. The order of its keys is fixed, so equal settings are equal texts."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Setting | None, dialect: Dialect) -> str | None:
        return None if value is None else value.to_json()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Setting | None:
        return None if value is None else Setting.from_dict(json.loads(value))


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it from the class
        datetime: Moment(),
        Setting: SettingText(),
        dict[str, Any]: JSON(none_as_null=True),
        list[str]: JSON(),
        list[Any]: JSON(none_as_null=True),
        str: OneLine(),
        float: Double(),
    }


LARGE = BigInteger().with_variant(Integer, "sqlite")
"""A whole number of 64 bits. Integers of SQLite have as many, those of PostgreSQL 32."""

OWNED = "all, delete-orphan"


class StudyRow(Base):
    """A study. Deleting it deletes its runs, trials, reevaluations, finals, baselines and pictures.

    name: the name of the Optuna study. identity: a digest of all that makes two studies comparable; see `StudyRecord`.
    majority: see `objectives.results.StudyResults`; null until a run of schema 0007 or later. request: what a person
    wants of the run that works on it: "stop", "stop now" or "pause"; null for nothing.
    """

    __tablename__ = "search_studies"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    identity: Mapped[str]
    created: Mapped[datetime]
    dataset: Mapped[str]
    dataset_fingerprint: Mapped[str]
    backbone: Mapped[str]
    weights_digest: Mapped[str]
    architecture: Mapped[dict[str, Any]]
    preset: Mapped[str]
    space: Mapped[dict[str, Any]]
    space_digest: Mapped[str]
    space_size: Mapped[int] = mapped_column(LARGE)
    classes: Mapped[list[str]]
    counts: Mapped[dict[str, Any]]
    protocol: Mapped[dict[str, Any]]
    majority: Mapped[float | None]
    request: Mapped[str | None]

    runs: Mapped[list["RunRow"]] = relationship(order_by="RunRow.id", cascade=OWNED)
    trials: Mapped[list["TrialRow"]] = relationship(order_by="TrialRow.number", cascade=OWNED)
    finals: Mapped[list["FinalRow"]] = relationship(order_by="FinalRow.id", cascade=OWNED)
    reevaluations: Mapped[list["ReevaluationRow"]] = relationship(order_by="ReevaluationRow.id", cascade=OWNED)
    baselines: Mapped[list["BaselineRow"]] = relationship(cascade=OWNED)
    pictures: Mapped[list["PictureRow"]] = relationship(order_by="PictureRow.image", cascade=OWNED)


class RunRow(Base):
    """One process that works on a study. `ended` and `state` are set when it ends in good order.

    heartbeat: when the process last said that it is alive. process_started: seconds since the epoch; it tells two
    processes of one pid apart. command: repeats the run; it is made from its options and holds no password. options:
    what `RunOptions.to_record` returns; null before schema 0003.
    costs: the fields of `RunCosts`; null before schema 0009, and where the run was killed. reason: why it tried no
    further trial, in words; null before schema 0011, and where it did not come so far.
    """

    __tablename__ = "search_runs"

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("search_studies.id"), index=True)
    host: Mapped[str]
    pid: Mapped[int]
    process_started: Mapped[float]
    started: Mapped[datetime]
    heartbeat: Mapped[datetime]
    ended: Mapped[datetime | None]
    state: Mapped[str]
    workers: Mapped[int]
    command: Mapped[str]
    versions: Mapped[dict[str, Any]]
    options: Mapped[dict[str, Any] | None]
    costs: Mapped[dict[str, Any] | None]
    reason: Mapped[str | None]

    trials: Mapped[list["TrialRow"]] = relationship(cascade="all")


class TrialRow(Base):
    """The cost and the counts of a trial. finished: see `objectives.results.Trial`.

    scores: what `scores_to_dict` returns; null where they were not kept, as before schema 0002. answers: the bytes of a
    `CorrectMask` of the validation images; null before schema 0005.
    """

    __tablename__ = "search_trials"

    study_id: Mapped[int] = mapped_column(ForeignKey("search_studies.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    run_id: Mapped[int] = mapped_column(ForeignKey("search_runs.id"), index=True)
    attempt: Mapped[int]
    setting: Mapped[Setting]
    validation_correct: Mapped[int | None]
    validation_total: Mapped[int | None]
    seconds: Mapped[dict[str, Any]]
    passes_made: Mapped[int]
    passes_needed: Mapped[int]
    details: Mapped[dict[str, Any]]
    finished: Mapped[float]
    scores: Mapped[dict[str, Any] | None]
    answers: Mapped[bytes | None]


class FinalRow(Base):
    """The result of a finalist under one seed; see `objectives.results.Final`.

    validation_scores, test_scores, test_answers: in the form of a TrialRow. confused: a list of [true, predicted,
    count, examples]; before schema 0005 without examples.
    """

    __tablename__ = "search_finals"
    __table_args__ = (UniqueConstraint("study_id", "setting", "seed"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("search_studies.id"))
    setting: Mapped[Setting]
    seed: Mapped[int] = mapped_column(LARGE)
    validation_correct: Mapped[int]
    validation_total: Mapped[int]
    test_correct: Mapped[int]
    test_total: Mapped[int]
    seconds: Mapped[float]
    passes_made: Mapped[int]
    passes_needed: Mapped[int]
    validation_scores: Mapped[dict[str, Any] | None]
    test_scores: Mapped[dict[str, Any] | None]
    confused: Mapped[list[Any] | None]
    test_answers: Mapped[bytes | None]


class ReevaluationRow(Base):
    """The evaluation of a candidate under one seed; see `objectives.results.Reevaluation`.

    images, image_scores: the bytes of an `ImageScores`, compressed by zlib. scores: in the form of a TrialRow.
    """

    __tablename__ = "search_reevaluations"
    __table_args__ = (UniqueConstraint("study_id", "setting", "seed"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("search_studies.id"))
    setting: Mapped[Setting]
    seed: Mapped[int] = mapped_column(LARGE)
    validation_correct: Mapped[int]
    validation_total: Mapped[int]
    seconds: Mapped[float]
    passes_made: Mapped[int]
    passes_needed: Mapped[int]
    images: Mapped[bytes]
    image_scores: Mapped[bytes]
    scores: Mapped[dict[str, Any] | None]


class BaselineRow(Base):
    """A trivial classifier on the images of a study; see `objectives.results.Baseline`.

    key: a digest of all that its numbers depend on, so that another study need not make it again. validation_scores,
    test_scores, test_answers: in the form of a FinalRow.
    """

    __tablename__ = "search_baselines"

    study_id: Mapped[int] = mapped_column(ForeignKey("search_studies.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(index=True)
    setting: Mapped[Setting | None]
    side: Mapped[int]
    features: Mapped[int]
    seed: Mapped[int] = mapped_column(LARGE)
    validation_correct: Mapped[int]
    validation_total: Mapped[int]
    test_correct: Mapped[int]
    test_total: Mapped[int]
    seconds: Mapped[float]
    validation_scores: Mapped[dict[str, Any] | None]
    test_scores: Mapped[dict[str, Any] | None]
    test_answers: Mapped[bytes | None]


class PictureRow(Base):
    """A small picture of an image; see `objectives.results.Picture`."""

    __tablename__ = "search_pictures"

    study_id: Mapped[int] = mapped_column(ForeignKey("search_studies.id"), primary_key=True)
    image: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    position: Mapped[int | None]
    label: Mapped[int]
    name: Mapped[str]
    jpeg: Mapped[bytes]


class ScreeningRow(Base):
    """A finished screening; see `search.database.screenings.Screening`. errors: a list of [setting, error]."""

    __tablename__ = "search_screenings"
    __table_args__ = (UniqueConstraint("dataset_fingerprint", "weights_digest", "seed"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    created: Mapped[datetime]
    dataset: Mapped[str]
    dataset_fingerprint: Mapped[str]
    backbone: Mapped[str]
    weights_digest: Mapped[str]
    architecture: Mapped[dict[str, Any]]
    seed: Mapped[int] = mapped_column(LARGE)
    classes: Mapped[int]
    images: Mapped[int]
    errors: Mapped[list[Any]]
    best: Mapped[list[Any]]


class WorkerRow(Base):
    """A process that runs jobs. Its first fields are those of a RunRow.

    cores: the numbers of the cores that it uses. gpus: the names of its GPUs, as CUDA_VISIBLE_DEVICES has them.
    """

    __tablename__ = "search_workers"

    id: Mapped[int] = mapped_column(primary_key=True)
    host: Mapped[str]
    pid: Mapped[int]
    process_started: Mapped[float]
    started: Mapped[datetime]
    heartbeat: Mapped[datetime]
    ended: Mapped[datetime | None]
    cores: Mapped[list[Any]]
    gpus: Mapped[list[Any]]


class JobRow(Base):
    """A job of the queue: what to run, and how far it is.

    kind: "run", "recommend", "export" or "try". options: the fields of `RunOptions` that are not their defaults, ready
    for JSON; they hold no password, no home folder and no database, which are those of the worker. Those of a job of a
    study, "export" or "try", are as of `search.queue.study_jobs`. owner: who submitted it. priority: jobs of a higher
    one come first. state: "queued", "running", "paused", "finished", "failed" or "cancelled". request: what a person
    wants of a running job: "cancel" or "pause". attempts: how often a worker has begun it. worker_id: the worker that
    runs it, or ran it last. study: the study in which it searches, once that is known. progress: how far it is. result:
    the answer, the recommendation, the classifier, or how the settings did. error: why it failed. log: the last lines
    that its process printed. log_dropped: the characters before them, which are not kept.
    """

    __tablename__ = "search_jobs"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    options: Mapped[dict[str, Any]]
    owner: Mapped[str]
    priority: Mapped[int]
    state: Mapped[str] = mapped_column(index=True)
    request: Mapped[str | None]
    attempts: Mapped[int]
    created: Mapped[datetime]
    started: Mapped[datetime | None]
    ended: Mapped[datetime | None]
    worker_id: Mapped[int | None] = mapped_column(ForeignKey("search_workers.id"))
    study: Mapped[str | None]
    progress: Mapped[dict[str, Any] | None]
    result: Mapped[dict[str, Any] | None]
    error: Mapped[str | None]
    log: Mapped[str] = mapped_column(Text)
    log_dropped: Mapped[int]


class TokenRow(Base):
    """A token of the server. digest: SHA-256 of its text, as 64 hex digits. role: "viewer", "runner" or "admin"."""

    __tablename__ = "search_tokens"

    name: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str]
    digest: Mapped[str] = mapped_column(unique=True)
    created: Mapped[datetime]
    last_used: Mapped[datetime | None]


def study_row(record: StudyRecord, created: datetime) -> StudyRow:
    """Return the row of a new study."""
    return StudyRow(
        name=record.name,
        identity=record.identity,
        created=created,
        dataset=record.dataset,
        dataset_fingerprint=record.dataset_fingerprint,
        backbone=record.backbone,
        weights_digest=record.weights_digest,
        architecture=architecture_to_dict(record.space.architecture),
        preset=record.preset,
        space=record.space.to_dict(),
        space_digest=record.space.digest(),
        space_size=len(record.space),
        classes=list(record.classes),
        counts=dict(record.counts),
        protocol=dict(record.protocol),
        majority=record.majority,
    )
