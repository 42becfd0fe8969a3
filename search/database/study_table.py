"""Studies in the study database: made, found, read, changed and deleted."""

from collections.abc import Container, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, select, update
from sqlalchemy.orm import Session

from objectives.results import StudyResults
from search.database.connection.dialects import now
from search.database.connection.outages import repeated
from search.database.connection.study_storage import StudyStorage
from search.database.connection.url import Address
from search.database.models import (
    JobRow,
    StudyRow,
    study_row,
)
from search.database.optuna_storage.own_trials import INTERRUPTED, STOPPED, OpenStudy, StudyTrials, given_params
from search.database.optuna_storage.parameters import setting_or_none, to_params, to_setting
from search.database.optuna_storage.studies import ensure_optuna_study, optuna_names, rename_optuna_study
from search.database.optuna_storage.system_attributes import edited_attributes
from search.database.records import (
    SavedOptions,
    StudyRecord,
    StudyScores,
    StudySummary,
)
from search.database.rows import finding, reading
from search.database.rows.identity import differences
from search.database.rows.trial_writer import TrialWriter
from search.database.rows.version import content_version
from search.database.run_table import RunTable
from spaces import Setting, StorageError


class StudyTable(RunTable):
    """The studies of an open study database, as `Store` offers them."""

    def __init__(self, address: Address, storage: StudyStorage) -> None:
        super().__init__(address, storage)
        self._studies: dict[str, OpenStudy] = {}

    @repeated
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

    @repeated
    def name_of(self, record: StudyRecord) -> str:
        """Return the name of a study: a former automatic one where a study of the same identity has it."""
        former = select(StudyRow.name).where(StudyRow.name == record.former_name, StudyRow.identity == record.identity)
        if record.former_name == record.name:
            return record.name
        with self.session() as session:
            return session.scalar(former) or record.name

    @repeated
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

    @repeated
    def enqueue(self, name: str, settings: Sequence[Setting]) -> None:
        """Let the next run, or the one that works on the study, try these settings first, as Optuna enqueues trials.

        A setting that is complete, running or enqueued already is left out.
        """
        with self.exclusive(name), self.reaching(name):
            trials, study = self.trials(name), self.load(name)
            states = (TrialState.COMPLETE, TrialState.RUNNING)
            taken = [to_setting(trial.params) for trial in trials.own if trial.state in states]
            taken += [setting for trial in trials.enqueued if (setting := setting_or_none(given_params(trial)))]
            for setting in dict.fromkeys(settings):
                if setting not in taken:
                    study.enqueue_trial(to_params(setting))

    @repeated
    def delete_study(self, name: str) -> None:
        """Delete a study with its runs, trials and all results. Screenings stay: other studies learn from them.

        Raises StorageError where a run works on it.
        """
        with self.exclusive(name), self.reaching(name):
            self._check_idle(name, "deleted")
            self.optuna.delete_study(self.optuna_id(name))
            self._studies.pop(name)
            with self.session() as session:
                session.delete(self._row(session, name))

    @repeated
    def rename_study(self, name: str, new: str) -> None:
        """Give a study another name, in Optuna and in the jobs that name it too.

        Raises StorageError where a run works on it, and where another study has that name, also in Optuna.
        """
        with self.exclusive(name), self.reaching(name):
            self._check_idle(name, "renamed")
            study_id, own = self.optuna_id(name), self._optuna_name(name)
            if new in {study.study_name for study in self.optuna.get_all_studies()} - {own}:
                raise StorageError(f"{new!r} is the name of another study in {self.address}; choose another")
            self._studies.pop(name)
            with self.session() as session:
                names = session.scalars(select(StudyRow.name).where(StudyRow.name != name)).all()
                if new in names:
                    raise StorageError(f"{new!r} is the name of another study in {self.address}; choose another")
                finding.check_case(new, names)
                self._row(session, name).name = new
                rename_optuna_study(session, study_id, new)
                session.execute(update(JobRow).where(JobRow.study == name).values(study=new))

    def _check_idle(self, name: str, what: str) -> None:
        """Raise StorageError where a run works on the study."""
        if self.live_runs(name):
            raise StorageError(
                f"a run works on study {name!r}, which cannot be {what} meanwhile; `search stop {name}` ends the run"
            )

    @repeated
    def studies(self) -> list[StudySummary]:
        """Return all studies. The one that ran last is first."""
        with self.session() as session:
            rows = finding.study_rows(session, self.optuna)
            summaries = [self._summary(session, row) for row in rows]
        return sorted(summaries, key=lambda summary: summary.last_run or summary.created, reverse=True)

    @repeated
    def names(self) -> frozenset[str]:
        """Return the names of all studies, and the names that they have in Optuna where a person renamed them there."""
        with self.session() as session:
            names = optuna_names(self.optuna, session.scalars(select(StudyRow.name)).all())
        return frozenset([*names, *names.values()])

    def find_study(self, dataset: str | None = None, name: str | None = None) -> str:
        """Return the name of the study that `find_studies` has first. Raises as it does."""
        return self.find_studies(dataset, name)[0].name

    @repeated
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
            found = [self._summary(session, row) for row in fitting]
        if dataset is None:
            return sorted(found, key=lambda study: not study.complete)
        return sorted(found, key=lambda study: study.rank, reverse=True)

    @repeated
    def read_study(self, name: str) -> StudyResults:
        """Return all that is known of a study. Raises StorageError where there is none of that name."""
        with self.session() as session:
            row = self._row(session, name)
            results = reading.study_results(session, row, self.trials(name), self._live(session, row.runs))
        return replace(results, home_words=tuple(self.address.words))

    def _summary(self, session: Session, row: StudyRow) -> StudySummary:
        return reading.study_summary(row, self.trials(row.name), self._live(session, row.runs))

    @repeated
    def version(self, name: str | None = None) -> Hashable:
        """Return a value that differs once a study, or any study, has changed; see `content_version`.

        Raises StorageError where there is no study of that name.
        """
        optuna_id = None if name is None else self.optuna_id(name)
        with self.session() as session:
            return content_version(session, name, optuna_id)

    @repeated
    def study_scores(self) -> list[StudyScores]:
        """Return the settings and scores of the complete trials of every study, the oldest study first."""
        with self.session() as session:
            return [
                reading.study_scores(row, self.trials(row.name)) for row in finding.study_rows(session, self.optuna)
            ]

    @repeated
    def saved_options(self, name: str) -> SavedOptions:
        """Return what the features and the fits of a study can be made again from.

        Raises StorageError where there is no study of that name.
        """
        with self.session() as session:
            return reading.saved_options(self._row(session, name))

    @repeated
    def load(self, name: str) -> optuna.Study:
        """Return Optuna's study. It is one object for each store, which remembers finished trials and so reads quickly.

        Raises StorageError where there is no study of that name.
        """
        return self._open(name).study

    @repeated
    def trials(self, name: str, as_they_began: bool = False) -> StudyTrials:
        """Return the trials of a study: its own, those that wait, and those of other programs.

        They are not copies: do not change them. as_they_began: whether running trials may lack what was written since
        they began. Raises StorageError where there is no study of that name any more.
        """
        study = self._open(name)
        with self.reaching(name), self.session() as session:
            return study.trials(session, as_they_began)

    def trial_writer(self, name: str) -> TrialWriter:
        """Return what writes the trials of a study. Raises StorageError where there is no study of that name."""
        return TrialWriter(name, self.optuna_id(name), lambda: self._transaction(name), self._notice_beat)

    @contextmanager
    def _transaction(self, name: str) -> Iterator[Connection]:
        """Open a transaction on the tables of a study, Optuna's and the project's own; see `reaching`."""
        with self.reaching(name), self.optuna.engine.begin() as connection:
            yield connection

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

    def _remembered(self) -> dict[str, list[dict[str, Any]]]:
        """Return the trials of each study as they were read last."""
        return {name: [_plain(trial) for trial in study.last] for name, study in self._studies.items()}

    @repeated
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
            self.locked(f"search notes {name}"),
            edited_attributes(self.optuna, study_id, name, keep) as study,
        ):
            yield study


def _plain(trial: FrozenTrial) -> dict[str, Any]:
    """Return what a trial holds, ready for JSON."""
    return {
        "number": trial.number,
        "state": trial.state.name,
        "params": trial.params,
        "values": trial.values,
        "attributes": trial.user_attrs,
        "curve": trial.intermediate_values,
    }
