"""Optuna's storage in a study database."""

from collections.abc import Mapping
from typing import Any, final

from optuna.storages import RDBStorage

from search.database.connection.outages import Outages, raise_outages
from search.database.connection.sqlite_file import SqliteFile
from search.database.connection.url import Address


@final
class StudyStorage(RDBStorage):
    """Optuna's storage in a study database. It notices when the database does not answer, and when its file is lost.

    outages: of this database. file: of SQLite; None for PostgreSQL, and where the caller only reads.
    """

    def __init__(self, url: str, options: Mapping[str, Any], address: Address, file: SqliteFile | None = None) -> None:
        """Open the storage. url, options: for SQLAlchemy. The tables of the project must exist already."""
        self.outages = Outages()
        self.file = file
        creator = {} if file is None else {"creator": file.connect}
        super().__init__(url, engine_kwargs={**options, **creator}, skip_compatibility_check=True)
        raise_outages(self.engine, str(address), address.first_line)
        if file is not None:
            file.watch(self.engine)

    @property
    def loss(self) -> str | None:
        """Say how the file of the database was lost in a run, and where its content is; None where it is there."""
        return None if self.file is None else self.file.loss
