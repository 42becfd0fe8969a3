"""Transactions on the project's own tables, and the locks of studies."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import select
from sqlalchemy.orm import Session

from search.database.connection.outages import BUSY_SECONDS, SLICE_SECONDS, Outages
from search.database.connection.study_storage import StudyStorage
from search.database.connection.url import Address
from search.database.models import StudyRow
from search.database.rows import finding


class Transactions:
    """An open study database, as `Store` uses it. `optuna` is Optuna's storage in it."""

    def __init__(self, address: Address, storage: StudyStorage) -> None:
        self.address = address
        self.optuna = storage

    @property
    def outages(self) -> Outages:
        """The outages of the database, which all stores of one storage share."""
        return self.optuna.outages

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Open a transaction on the project's own tables."""
        with self.address.errors(), Session(self.optuna.engine) as session, session.begin():
            yield session

    @contextmanager
    def exclusive(self, study: str) -> Iterator[Callable[[], None]]:
        """Hold the lock of a study, which one driver has at a time. Raises OutageError after a minute's wait.

        A server forgets the lock if it loses the connection. Then this raises OutageError at the end, and what was done
        must be done again. Yields a function that raises OutageError at once if the lock is lost.
        """
        with self.locked(f"search study {study}") as check:
            yield check

    @contextmanager
    def locked(self, name: str) -> Iterator[Callable[[], None]]:
        """Hold the lock of this name, as `exclusive` holds that of a study."""
        seconds = SLICE_SECONDS if self.outages.repeats else BUSY_SECONDS
        with self.address.errors(), self.address.lock(self.optuna.engine, name, seconds) as check:
            yield check

    def _row(self, session: Session, study: str) -> StudyRow:
        row = session.scalar(select(StudyRow).where(StudyRow.name == study))
        if row is None:
            raise finding.no_study(study, self.address)
        return row
