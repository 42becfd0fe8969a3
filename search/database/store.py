"""The study database: Optuna's tables and the project's own behind one URL."""

from collections.abc import Container, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self, final

from sqlalchemy import select

from objectives.results import Baseline, Final, Picture, Reevaluation
from search.database.connection.dialects import upsert
from search.database.connection.opening import open_storage
from search.database.connection.outages import repeated
from search.database.connection.url import Address
from search.database.models import (
    BaselineRow,
    FinalRow,
    PictureRow,
    ReevaluationRow,
    TrialRow,
)
from search.database.records import (
    TrialRecord,
)
from search.database.rows import reading
from search.database.rows.writing import baseline_values, final_values, record_trial, reevaluation_values
from search.database.study_table import StudyTable


@final
class Store(StudyTable):
    """An open study database. `optuna` is Optuna's storage in it, which Optuna Dashboard can show.

    Several threads and several processes may use one database at once. Every method raises StorageError, in one line
    and without the password, where the database cannot be used. In a run, an operation is repeated as a whole for five
    minutes while the database does not answer; so every operation is safe to repeat.
    """

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

    @repeated
    def record_trial(self, study: str, record: TrialRecord) -> None:
        """Save the cost and the counts of a trial, in place of what was saved of it before."""
        with self._transaction(study) as connection:
            record_trial(connection, study, record, self._notice_beat)

    @repeated
    def forget_results(self, study: str, numbers: Container[int]) -> None:
        """Delete the results, but not the costs, that were recorded of these trials. They are not counted any more."""
        with self.session() as session:
            recorded = TrialRow.validation_correct.is_not(None)
            rows = session.scalars(select(TrialRow).where(TrialRow.study_id == self._row(session, study).id, recorded))
            for row in rows:
                if row.number in numbers:
                    row.validation_correct = row.validation_total = row.scores = row.answers = None

    @repeated
    def record_final(self, study: str, final: Final) -> None:
        """Save a finalist's result under one seed, in place of an earlier one of that setting and seed."""
        with self.session() as session:
            values = {"study_id": self._row(session, study).id, **final_values(final)}
            upsert(session, FinalRow, values, ("study_id", "setting", "seed"))

    @repeated
    def record_reevaluation(self, study: str, reevaluation: Reevaluation) -> None:
        """Save a candidate's evaluation under one seed, in place of an earlier one of that setting and seed."""
        with self.session() as session:
            values = {"study_id": self._row(session, study).id, **reevaluation_values(reevaluation)}
            upsert(session, ReevaluationRow, values, ("study_id", "setting", "seed"))

    @repeated
    def record_baseline(self, study: str, key: str, baseline: Baseline) -> None:
        """Save a baseline, in place of an earlier one of its kind. key: a digest of all that it depends on."""
        with self.session() as session:
            values = {"study_id": self._row(session, study).id, **baseline_values(baseline, key)}
            upsert(session, BaselineRow, values, ("study_id", "kind"))

    @repeated
    def find_baseline(self, key: str) -> Baseline | None:
        """Return the baseline of this key, of any study; None where there is none."""
        with self.session() as session:
            row = session.scalar(select(BaselineRow).where(BaselineRow.key == key).limit(1))
            return None if row is None else reading.baseline_of(row)

    @repeated
    def record_pictures(self, study: str, pictures: Sequence[Picture]) -> None:
        """Save the pictures of a study in place of all earlier ones."""
        with self.session() as session:
            self._row(session, study).pictures = [PictureRow(**asdict(picture)) for picture in pictures]
