"""The study database: Optuna's tables and the project's own behind one URL."""

import time
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self, final

import optuna
from optuna.storages import RDBStorage
from sqlalchemy import select
from sqlalchemy.orm import Session

from objectives.results import Baseline, Final, Picture, Reevaluation, StudyResults
from search.database.connection.dialects import now, upsert
from search.database.connection.opening import open_storage
from search.database.connection.url import Address
from search.database.models import (
    BaselineRow,
    FinalRow,
    PictureRow,
    ReevaluationRow,
    RunRow,
    StudyRow,
    TrialRow,
    study_row,
)
from search.database.optuna_storage.own_trials import INTERRUPTED, STOPPED, OpenStudy, StudyTrials
from search.database.optuna_storage.studies import ensure_optuna_study, optuna_names
from search.database.optuna_storage.system_attributes import edited_attributes
from search.database.records import (
    RunCosts,
    RunRecord,
    RunState,
    RunSummary,
    SavedOptions,
    StudyRecord,
    StudyScores,
    StudySummary,
    TrialRecord,
)
from search.database.rows import finding, reading
from search.database.rows.identity import differences
from search.database.rows.writing import baseline_values, final_values, reevaluation_values, trial_values
from search.database.runs.heartbeat import HEARTBEAT_SECONDS, heartbeat
from search.database.runs.leases import is_alive, running_seconds
from spaces import StorageError


@final
class Store:
    """An open study database. `optuna` is Optuna's storage in it, which Optuna Dashboard can show.

    Several threads and several processes may use one database at once. Every method raises StorageError, in one line
    and without the password, where the database cannot be used.
    """

    def __init__(self, address: Address, storage: RDBStorage) -> None:
        self.address = address
        self.optuna = storage
        self._studies: dict[str, OpenStudy] = {}

    @classmethod
    def open(cls, storage: str | Path, reading: bool = False) -> Self:
        """Open the database at a SQLAlchemy URL of SQLite or PostgreSQL, or the SQLite file at a path.

        Its tables are made or upgraded where needed. reading: the caller only reads; then a file that cannot be written
        is opened too, and a home folder without a database is taken as an empty one. Raises StorageError where the
        database cannot be reached or written, where one that is named by its URL and only read does not exist, and
        where it is from a newer version of this program.
        """
        address = Address(storage)
        return cls(address, open_storage(address, reading))

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
        """Open a transaction on the project's own tables."""
        with self.address.errors(), Session(self.optuna.engine) as session, session.begin():
            yield session

    @contextmanager
    def exclusive(self, study: str) -> Iterator[None]:
        """Hold the lock of a study, which one driver has at a time. Raises StorageError after a minute's wait."""
        with self.address.errors(), self.address.lock(self.optuna.engine, f"search study {study}"):
            yield

    # Studies

    def ensure_study(self, record: StudyRecord) -> str:
        """Create the study unless it exists, and return its name.

        Raises StorageError where the name belongs to a study whose trials cannot be compared with these, or to one
        that another program made.
        """
        record = replace(record, chosen_name=self.name_of(record))
        with self.exclusive(record.name):
            made = self._optuna_name(record.name)
            with self.session() as session:
                row = session.scalar(select(StudyRow).where(StudyRow.name == record.name))
                if row and made is None:  # somebody deleted it in Optuna Dashboard
                    session.delete(row)
                    session.flush()
                    row = None
                if made and (row is None or self.load(record.name).directions != record.directions):
                    raise StorageError(
                        f"study {made!r} in {self.address} was made by another program, and a run needs a study of its "
                        "own; delete or rename that study with Optuna Dashboard"
                    )
                if row and row.identity != record.identity:
                    raise StorageError(
                        f"study {record.name!r} was made with {differences(row, record)}, so that its trials cannot be "
                        "compared with these; search as it was, or choose another `name`"
                    )
                if row is None:
                    finding.check_case(record.name, session.scalars(select(StudyRow.name)))
                    session.add(study_row(record, now(session)))
                elif row.majority is None:  # a version before schema 0007 made the study
                    row.majority = record.majority
            ensure_optuna_study(self.optuna, record, made)
        return record.name

    def name_of(self, record: StudyRecord) -> str:
        """Return the name of a study: a former automatic one where a study of the same identity has it."""
        former = select(StudyRow.name).where(StudyRow.name == record.former_name, StudyRow.identity == record.identity)
        if record.former_name == record.name:
            return record.name
        with self.session() as session:
            return session.scalar(former) or record.name

    def discard_unused(self, name: str) -> None:
        """Delete a study in which nothing was found out: without finals, trials but stopped ones, and live runs."""
        with self.exclusive(name), self.reaching(name):
            trials, results = self.trials(name), self.read_study(name)
            stopped = all(trial.user_attrs.get(INTERRUPTED) == STOPPED for trial in trials.own)
            if not stopped or trials.enqueued or trials.others or results.finals or self.live_runs(name):
                return
            self.optuna.delete_study(self.optuna_id(name))
            self._studies.pop(name)
            with self.session() as session:
                session.delete(self._row(session, name))

    def studies(self) -> list[StudySummary]:
        """Return all studies. The one that ran last is first."""
        with self.session() as session:
            rows = finding.study_rows(session, self.optuna)
            summaries = [reading.study_summary(session, row, self.trials(row.name)) for row in rows]
        return sorted(summaries, key=lambda summary: summary.last_run or summary.created, reverse=True)

    def names(self) -> frozenset[str]:
        """Return the names of all studies, and the names that they have in Optuna where a person renamed them there."""
        with self.session() as session:
            names = optuna_names(self.optuna, session.scalars(select(StudyRow.name)).all())
        return frozenset([*names, *names.values()])

    def find_study(self, dataset: str | None = None, name: str | None = None) -> str:
        """Return the name of the study that `find_studies` has first. Raises as it does."""
        return self.find_studies(dataset, name)[0].name

    def find_studies(self, dataset: str | None = None, name: str | None = None) -> list[StudySummary]:
        """Return the studies of this dataset and this name, where they are given; first the one to answer with.

        Of a dataset, that is a tested study before others, then the one with most finished trials, then the one that
        ran last. Without a dataset, it is the one that ran last of those with a complete trial. A dataset is named as
        in the catalog, or a person's own images as `objectives.datasets.catalog.called` does. Raises StorageError
        where there is no such study. The error lists the studies that exist.
        """
        with self.session() as session:
            fitting, rows = finding.fitting_rows(session, self.optuna, dataset, name)
            if not fitting:
                raise StorageError(finding.none_found(dataset, name, str(self.address), rows))
            found = [reading.study_summary(session, row, self.trials(row.name)) for row in fitting]
        if dataset is None:
            return sorted(found, key=lambda study: not study.complete)
        return sorted(found, key=lambda study: study.rank, reverse=True)

    def read_study(self, name: str) -> StudyResults:
        """Return all that is known of a study. Raises StorageError where there is none of that name."""
        with self.session() as session:
            results = reading.study_results(session, self._row(session, name), self.trials(name))
        return replace(results, home_words=tuple(self.address.words))

    def study_scores(self) -> list[StudyScores]:
        """Return the settings and scores of the complete trials of every study, the oldest study first."""
        with self.session() as session:
            return [
                reading.study_scores(row, self.trials(row.name)) for row in finding.study_rows(session, self.optuna)
            ]

    def saved_options(self, name: str) -> SavedOptions:
        """Return what the features and the fits of a study can be made again from.

        Raises StorageError where there is no study of that name.
        """
        with self.session() as session:
            return reading.saved_options(self._row(session, name))

    def load(self, name: str) -> optuna.Study:
        """Return Optuna's study. It is one object for each store, which remembers finished trials and so reads quickly.

        Raises StorageError where there is no study of that name.
        """
        return self._open(name).study

    def trials(self, name: str) -> StudyTrials:
        """Return the trials of a study: its own, those that wait, and those of other programs.

        They are not copies: do not change them. Raises StorageError where there is no study of that name any more.
        """
        study = self._open(name)
        with self.reaching(name), self.session() as session:
            return study.trials(session)

    @contextmanager
    def reaching(self, name: str) -> Iterator[None]:
        """Turn every error of Optuna's storage into a StorageError, also where the study is gone meanwhile."""
        try:
            with self.address.errors():
                yield
        except KeyError:
            self._studies.pop(name, None)
            raise StorageError(
                f"study {name!r} is no longer in {self.address}: somebody deleted or renamed it; `search status` lists "
                "the studies"
            ) from None

    def _open(self, name: str) -> OpenStudy:
        if name not in self._studies:
            with self.address.errors():
                optuna_name = self._optuna_name(name)
                if optuna_name is None:
                    raise finding.no_study(name, self.address)
                self._studies[name] = OpenStudy(name, optuna.load_study(study_name=optuna_name, storage=self.optuna))
        return self._studies[name]

    def _optuna_name(self, name: str) -> str | None:
        return optuna_names(self.optuna, [name]).get(name)

    def optuna_id(self, name: str) -> int:
        """Return the id of a study in Optuna and Optuna Dashboard. Raises StorageError where there is none."""
        with self.reaching(name):
            return self.optuna.get_study_id_from_name(self._open(name).study.study_name)

    @contextmanager
    def edit_attributes(self, name: str, keep: Container[str] = ()) -> Iterator[optuna.Study]:
        """Yield a study in memory with the system attributes of this one, and write all changes together at the end.

        One holder at a time. Nothing is written where the block raises. keep: keys that are not overwritten.
        """
        study_id = self.optuna_id(name)
        with (
            self.reaching(name),
            self.address.lock(self.optuna.engine, f"search notes {name}"),
            edited_attributes(self.optuna, study_id, name, keep) as study,
        ):
            yield study

    # Runs

    @contextmanager
    def run(self, study: str, record: RunRecord, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> Iterator[int]:
        """Register a run of the study, keep it alive while the block works, and yield its id.

        At the end the state of the run is "finished", or "interrupted" after a KeyboardInterrupt, or "failed" after any
        other exception.
        """
        run_id = self.begin_run(study, record)
        state: RunState = "failed"
        try:
            with heartbeat(lambda: self.record_heartbeat(run_id), heartbeat_seconds):
                yield run_id
            state = "finished"
        except KeyboardInterrupt:
            state = "interrupted"
            raise
        finally:
            self.end_run(run_id, state)

    def begin_run(self, study: str, record: RunRecord) -> int:
        """Register a run of the study and return its id. Prefer `run`, which also sends heartbeats and ends the run."""
        with self.session() as session:
            moment = now(session)
            before = 0.0 if record.began is None else time.monotonic() - record.began
            run = RunRow(
                study_id=self._row(session, study).id,
                host=record.host,
                pid=record.pid,
                process_started=record.process_started,
                started=moment - timedelta(seconds=before),
                heartbeat=moment,
                ended=None,
                state="running",
                workers=record.workers,
                command=record.command,
                versions=dict(record.versions),
                options=None if record.options is None else dict(record.options),
            )
            session.add(run)
            session.flush()
            return run.id

    def record_heartbeat(self, run_id: int) -> None:
        """Record that the run is alive now."""
        with self.session() as session:
            session.get_one(RunRow, run_id).heartbeat = now(session)

    def record_costs(self, run_id: int, costs: RunCosts) -> None:
        """Save what the run cost beside its finished trials, in place of what was saved before."""
        with self.session() as session:
            session.get_one(RunRow, run_id).costs = asdict(costs)

    def end_run(self, run_id: int, state: RunState) -> None:
        with self.session() as session:
            run = session.get_one(RunRow, run_id)
            run.ended = run.heartbeat = now(session)
            run.state = state

    def read_runs(self, study: str) -> tuple[RunSummary, ...]:
        """Return the runs of a study in the order in which they began."""
        with self.session() as session:
            return reading.run_summaries(session, self._row(session, study))

    def is_alive(self, run_id: int) -> bool:
        """Return whether the run may still report trials.

        A killed run is dead at once to a process of its own machine, and after 60 s to others.
        """
        with self.session() as session:
            run = session.get(RunRow, run_id)
            return run is not None and is_alive(run, now(session))

    def live_runs(self, study: str) -> frozenset[int]:
        """Return the ids of the study's runs that are alive."""
        with self.session() as session:
            moment = now(session)
            return frozenset(run.id for run in self._row(session, study).runs if is_alive(run, moment))

    # Results

    def record_trial(self, study: str, record: TrialRecord) -> None:
        """Save the cost and the counts of a trial, in place of what was saved of it before.

        Call this before Optuna is told that the trial has ended.
        """
        with self.session() as session:
            row = self._row(session, study)
            session.get_one(RunRow, record.run_id).heartbeat = now(session)
            session.flush()
            values = {"study_id": row.id, "finished": running_seconds(row.runs), **trial_values(record)}
            upsert(session, TrialRow, values, ("study_id", "number"))

    def record_final(self, study: str, final: Final) -> None:
        """Save a finalist's result under one seed, in place of an earlier one of that setting and seed."""
        with self.session() as session:
            values = {"study_id": self._row(session, study).id, **final_values(final)}
            upsert(session, FinalRow, values, ("study_id", "setting", "seed"))

    def record_reevaluation(self, study: str, reevaluation: Reevaluation) -> None:
        """Save a candidate's evaluation under one seed, in place of an earlier one of that setting and seed."""
        with self.session() as session:
            values = {"study_id": self._row(session, study).id, **reevaluation_values(reevaluation)}
            upsert(session, ReevaluationRow, values, ("study_id", "setting", "seed"))

    def record_baseline(self, study: str, key: str, baseline: Baseline) -> None:
        """Save a baseline, in place of an earlier one of its kind. key: a digest of all that it depends on."""
        with self.session() as session:
            values = {"study_id": self._row(session, study).id, **baseline_values(baseline, key)}
            upsert(session, BaselineRow, values, ("study_id", "kind"))

    def find_baseline(self, key: str) -> Baseline | None:
        """Return the baseline of this key, of any study; None where there is none."""
        with self.session() as session:
            row = session.scalar(select(BaselineRow).where(BaselineRow.key == key).limit(1))
            return None if row is None else reading.baseline_of(row)

    def record_pictures(self, study: str, pictures: Sequence[Picture]) -> None:
        """Save the pictures of a study in place of all earlier ones."""
        with self.session() as session:
            self._row(session, study).pictures = [PictureRow(**asdict(picture)) for picture in pictures]

    def _row(self, session: Session, study: str) -> StudyRow:
        row = session.scalar(select(StudyRow).where(StudyRow.name == study))
        if row is None:
            raise finding.no_study(study, self.address)
        return row
