"""The study database: Optuna's tables and the project's own behind one URL."""

import json
import warnings
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self, final

import optuna
import sqlalchemy
from optuna.exceptions import ExperimentalWarning
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.storages._rdb.models import StudySystemAttributeModel
from optuna.trial import FrozenTrial
from sqlalchemy import NullPool, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from objectives.results import Final, Picture, StudyResults
from search.database import leases as runs
from search.database import migrations, reading
from search.database.models import Base, FinalRow, PictureRow, RunRow, StudyRow, TrialRow
from search.database.records import (
    Recipe,
    RunFacts,
    RunState,
    RunSummary,
    StudyFacts,
    StudySummary,
    TrialFacts,
    architecture_to_dict,
    scores_to_dict,
)
from search.database.url import Address, own_transactions, tune_sqlite
from search.samplers.catalog import DIRECTIONS
from spaces import StorageError


@final
class Store:
    """An open study database. `optuna` is Optuna's storage in it, which Optuna Dashboard can show.

    Safe to use from several threads, and from several processes at once. Every method raises StorageError, in one line
    and without the password, where the database cannot be used.
    """

    def __init__(self, address: Address, storage: RDBStorage) -> None:
        self.address = address
        self.optuna = storage
        self._studies: dict[str, optuna.Study] = {}

    @classmethod
    def open(cls, url: str) -> Self:
        """Open, and where needed make or upgrade, the database at a SQLAlchemy URL of SQLite or PostgreSQL.

        Raises StorageError where it cannot be reached or written, or is from a newer version of this program.
        """
        address = Address(url)
        with address.errors():
            if address.file:
                address.file.parent.mkdir(parents=True, exist_ok=True)
            engine = sqlalchemy.create_engine(address.url, poolclass=NullPool, connect_args=address.connect_args)
            if address.file:
                own_transactions(engine)
            with address.lock(engine, "search schema"):
                with engine.begin() as connection:
                    _refuse_newer(address, migrations.version_of(connection))
                    migrations.upgrade(connection)
                return cls(address, _optuna_storage(address))

    def close(self) -> None:
        self._studies.clear()
        self.optuna.remove_session()
        self.optuna.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A transaction on the project's own tables."""
        with self.address.errors(), Session(self.optuna.engine) as session, session.begin():
            yield session

    @contextmanager
    def exclusive(self, study: str) -> Iterator[None]:
        """Only one holder at a time among all drivers of the study. Raises StorageError after a minute's wait."""
        with self.address.errors(), self.address.lock(self.optuna.engine, f"search study {study}"):
            yield

    # Studies

    def ensure_study(self, facts: StudyFacts) -> str:
        """Make the study, unless it is there, and return its name.

        Raises StorageError where the chosen name is that of a study whose trials cannot be compared with these.
        """
        with self.exclusive(facts.name):
            there = facts.name in optuna.get_all_study_names(self.optuna)
            with self.session() as session:
                row = session.scalar(select(StudyRow).where(StudyRow.name == facts.name))
                if row and not there:
                    _forget(session, row)  # deleted in Optuna Dashboard
                    row = None
                if row and row.identity != facts.identity:
                    raise StorageError(
                        f"study {facts.name!r} was made with another dataset, network, space or protocol, and its "
                        f"trials cannot be compared with these; choose another name"
                    )
                if row is None:
                    session.add(_study_row(facts, runs.now(session)))
            names = [f"validation {facts.metric.score_words}", *(["GMAC an image"] if facts.by_cost else [])]
            study = optuna.create_study(
                storage=self.optuna, study_name=facts.name, directions=DIRECTIONS[: len(names)], load_if_exists=True
            )
            if not there:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ExperimentalWarning)  # metric names, since Optuna 3.2
                    study.set_metric_names(names)
        return facts.name

    def studies(self) -> list[StudySummary]:
        """All studies, the one that ran last first."""
        with self.session() as session:
            known = set(optuna.get_all_study_names(self.optuna))
            rows = [row for row in session.scalars(select(StudyRow)) if row.name in known]
            summaries = [reading.summary(session, row, self.trials(row.name)) for row in rows]
        return sorted(summaries, key=lambda each: each.last_run or each.created, reverse=True)

    def names(self) -> frozenset[str]:
        """Of all studies."""
        with self.session() as session:
            ours = frozenset(session.scalars(select(StudyRow.name)))
            return ours & frozenset(optuna.get_all_study_names(self.optuna))

    def find_study(self, dataset: str | None = None, name: str | None = None) -> str:
        """Name of the study that ran last, of this dataset and of this name where they are given.

        Raises StorageError, which lists what there is, where there is none.
        """
        latest = select(sqlalchemy.func.max(RunRow.started)).where(RunRow.study_id == StudyRow.id).scalar_subquery()
        with self.session() as session:
            known = set(optuna.get_all_study_names(self.optuna))
            found = session.execute(
                select(StudyRow.name, StudyRow.dataset).order_by(
                    sqlalchemy.func.coalesce(latest, StudyRow.created).desc(), StudyRow.id.desc()
                )
            )
            rows: list[tuple[str, str]] = [(row.name, row.dataset) for row in found if row.name in known]
        for its_name, its_dataset in rows:
            if dataset in (None, its_dataset) and name in (None, its_name):
                return its_name
        wanted = " and ".join(
            f"{what} {value!r}" for what, value in (("dataset", dataset), ("name", name)) if value is not None
        )
        there = "; ".join(f"{its_name} of dataset {its_dataset}" for its_name, its_dataset in rows) or "none yet"
        raise StorageError(f"no study{' of ' + wanted if wanted else ''} in {self.address}; there are: {there}")

    def read_study(self, name: str) -> StudyResults:
        """Everything known of a study. Raises StorageError where there is none of that name."""
        with self.session() as session:
            return reading.read_study(session, self._row(session, name), self.trials(name))

    def recipe(self, name: str) -> Recipe:
        """What is needed to make a study's features and fits again. Raises StorageError where there is none."""
        with self.session() as session:
            return reading.recipe(session, self._row(session, name))

    def load(self, name: str) -> optuna.Study:
        """Optuna's study, one object a store: it remembers the finished trials, so that reading again is quick."""
        if name not in self._studies:
            with self.address.errors():
                try:
                    self._studies[name] = optuna.load_study(study_name=name, storage=self.optuna)
                except KeyError:
                    raise StorageError(f"there is no study {name!r} in {self.address}") from None
        return self._studies[name]

    def trials(self, name: str) -> list[FrozenTrial]:
        """Optuna's trials of a study, in order of their numbers. Not copies: leave them as they are."""
        with self.address.errors():
            return self.load(name).get_trials(deepcopy=False)

    def optuna_id(self, name: str) -> int:
        """By which Optuna, and its dashboard, know a study. Raises StorageError where there is none of that name."""
        with self.address.errors():
            try:
                return self.optuna.get_study_id_from_name(name)
            except KeyError:
                raise StorageError(f"there is no study {name!r} in {self.address}") from None

    @contextmanager
    def annotating(self, name: str, but: Container[str] = ()) -> Iterator[optuna.Study]:
        """A study in memory, of this one's system attributes alone: those that are changed in it are written at the
        end, all at once, and none where the block raises. One holder at a time.

        Optuna itself writes them one by one. In them Optuna Dashboard keeps notes and figures, each in many, and who
        reads meanwhile would find half of one. but: those that stay as they are, where they are there.
        """
        study_id, storage = self.optuna_id(name), InMemoryStorage()
        in_memory = storage.create_new_study(DIRECTIONS[:1], name)
        with self.address.errors(), self.address.lock(self.optuna.engine, f"search notes {name}"):
            there = self.optuna.get_study_system_attrs(study_id)
            for key, value in there.items():
                storage.set_study_system_attr(in_memory, key, value)
            yield optuna.load_study(study_name=name, storage=storage)
            with self.session() as session:
                for key, value in storage.get_study_system_attrs(in_memory).items():
                    if key not in there or (there[key] != value and key not in but):
                        values = {"study_id": study_id, "key": key, "value_json": json.dumps(value)}
                        upsert(session, StudySystemAttributeModel, values, ("study_id", "key"))

    # Runs

    def begin_run(self, study: str, facts: RunFacts) -> int:
        """Say that a process, this one if nothing else is said, works on the study; it must `beat`. Returns its id."""
        with self.session() as session:
            moment = runs.now(session)
            run = RunRow(
                study_id=self._row(session, study).id,
                host=facts.host,
                pid=facts.pid,
                process_started=facts.process_started,
                started=moment,
                heartbeat=moment,
                ended=None,
                state="running",
                workers=facts.workers,
                command=facts.command,
                versions=dict(facts.versions),
                options=None if facts.options is None else dict(facts.options),
            )
            session.add(run)
            session.flush()
            return run.id

    def beat(self, run_id: int) -> None:
        with self.session() as session:
            session.get_one(RunRow, run_id).heartbeat = runs.now(session)

    def end_run(self, run_id: int, state: RunState) -> None:
        with self.session() as session:
            run = session.get_one(RunRow, run_id)
            run.ended = run.heartbeat = runs.now(session)
            run.state = state

    def read_runs(self, study: str) -> tuple[RunSummary, ...]:
        """Of a study, the one that began last is last."""
        with self.session() as session:
            return reading.run_summaries(session, self._row(session, study))

    def is_alive(self, run_id: int) -> bool:
        """Whether the run may still tell its trials; a killed one is seen at once on its own machine, else in 60 s."""
        with self.session() as session:
            run = session.get(RunRow, run_id)
            return run is not None and runs.is_alive(run, runs.now(session))

    def live_runs(self, study: str) -> frozenset[int]:
        """Ids of the study's runs that are alive."""
        with self.session() as session:
            row = self._row(session, study)
            open_runs = session.scalars(select(RunRow).where(RunRow.study_id == row.id, RunRow.ended.is_(None))).all()
            moment = runs.now(session)
            return frozenset(run.id for run in open_runs if runs.is_alive(run, moment))

    # Results

    def record_trial(self, study: str, facts: TrialFacts) -> None:
        """Keep what a trial cost and counted. To be called before Optuna is told; the last call of a number counts."""
        with self.session() as session:
            row = self._row(session, study)
            session.get_one(RunRow, facts.run_id).heartbeat = runs.now(session)
            session.flush()
            all_runs = session.scalars(select(RunRow).where(RunRow.study_id == row.id)).all()
            values = {
                "study_id": row.id,
                "number": facts.number,
                "run_id": facts.run_id,
                "attempt": facts.attempt,
                "setting": facts.setting,
                "validation_correct": facts.validation.correct if facts.validation else None,
                "validation_total": facts.validation.total if facts.validation else None,
                "seconds": dict(facts.seconds),
                "passes_made": facts.passes_made,
                "passes_needed": facts.passes_needed,
                "details": dict(facts.details),
                "finished": runs.running_seconds(all_runs),
                "scores": scores_to_dict(facts.scores),
                "answers": facts.correct_mask.to_bytes() if facts.correct_mask else None,
            }
            upsert(session, TrialRow, values, ("study_id", "number"))

    def record_final(self, study: str, final: Final) -> None:
        """Keep a finalist's result under one seed; the last call of a (setting, seed) counts."""
        with self.session() as session:
            values = {
                "study_id": self._row(session, study).id,
                "setting": final.setting,
                "seed": final.seed,
                "validation_correct": final.validation.correct,
                "validation_total": final.validation.total,
                "test_correct": final.test.correct,
                "test_total": final.test.total,
                "seconds": final.seconds,
                "passes_made": final.passes_made,
                "passes_needed": final.passes_needed,
                "validation_scores": scores_to_dict(final.validation_scores),
                "test_scores": scores_to_dict(final.test_scores),
                "confused": [[p.true, p.predicted, p.count, list(p.examples)] for p in final.confused],
                "test_answers": final.test_correct_mask.to_bytes() if final.test_correct_mask else None,
            }
            upsert(session, FinalRow, values, ("study_id", "setting", "seed"))

    def keep_pictures(self, study: str, pictures: Sequence[Picture]) -> None:
        """In place of those that there were."""
        with self.session() as session:
            study_id = self._row(session, study).id
            session.execute(delete(PictureRow).where(PictureRow.study_id == study_id))
            session.add_all(PictureRow(study_id=study_id, **asdict(picture)) for picture in pictures)

    def _row(self, session: Session, study: str) -> StudyRow:
        row = session.scalar(select(StudyRow).where(StudyRow.name == study))
        if row is None:
            raise StorageError(f"there is no study {study!r} in {self.address}")
        return row


def _refuse_newer(address: Address, version: str | None) -> None:
    known = migrations.versions()
    if version is not None and version not in known:
        raise StorageError(
            f"the study database {address} is from a newer version of this program: its schema is {version}, "
            f"this program knows up to {known[-1]}; upgrade this program"
        )


def _optuna_storage(address: Address) -> RDBStorage:
    # Optuna fills braces in its URL with its schema version.
    url = address.url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")
    storage = RDBStorage(url, engine_kwargs=address.engine_options(), skip_compatibility_check=True)
    version, fitting = storage.get_current_version(), storage.get_head_version()
    if version != fitting:
        storage.engine.dispose()
        mend = (
            f"run `optuna storage upgrade --storage {address}`"
            if version in storage.get_all_versions()
            else "upgrade Optuna"
        )
        raise StorageError(f"the study database {address} is of Optuna's schema {version}, not {fitting}; {mend}")
    if address.file:
        tune_sqlite(storage.engine)
        storage.engine.dispose()  # so that the next connections are tuned
    return storage


def _study_row(facts: StudyFacts, created: Any) -> StudyRow:
    return StudyRow(
        name=facts.name,
        identity=facts.identity,
        created=created,
        dataset=facts.dataset,
        dataset_fingerprint=facts.dataset_fingerprint,
        backbone=facts.backbone,
        weights_digest=facts.weights_digest,
        architecture=architecture_to_dict(facts.space.architecture),
        preset=facts.preset,
        space=facts.space.to_dict(),
        space_digest=facts.space.digest(),
        space_size=len(facts.space),
        classes=list(facts.classes),
        counts=dict(facts.counts),
        protocol=dict(facts.protocol),
    )


def _forget(session: Session, study: StudyRow) -> None:
    for table in (TrialRow, FinalRow, PictureRow, RunRow):
        session.execute(delete(table).where(table.study_id == study.id))
    session.delete(study)
    session.flush()


def upsert(session: Session, model: type[Base], values: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    """INSERT … ON CONFLICT DO UPDATE, of which each database has its own."""
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    rest = {name: value for name, value in values.items() if name not in keys}
    session.execute(insert(model).values(**values).on_conflict_do_update(index_elements=keys, set_=rest))
