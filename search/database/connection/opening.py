"""Opens a study database: makes or upgrades the tables, and checks that this program can use them."""

import shlex

import optuna
import sqlalchemy
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool, QueuePool, StaticPool

from search.database import migrations
from search.database.connection.dialects import roll_back_schema_changes, use_write_ahead_log
from search.database.connection.sqlite_file import SqliteFile
from search.database.connection.study_storage import StudyStorage
from search.database.connection.url import Address, is_disk_full
from spaces import StorageError

optuna.logging.set_verbosity(optuna.logging.WARNING)  # by default it logs every study and trial


def open_storage(address: Address, reading: bool = False) -> StudyStorage:
    """Return Optuna's storage, in a database whose tables are up to date.

    reading: the caller only reads. A file that may only be read, or that lies on a full disk, is then opened for
    reading. The missing file of a home folder is taken as an empty database, and not made; so is a database of a server
    without our tables. Raises StorageError where
    the database cannot be reached or written, where one that is only read does not exist, and where it is from a newer
    version of this program or of Optuna.
    """
    with address.errors():
        if reading and address.file and not address.file.exists():
            address.check_may_be_missing()
            return _empty_storage(address)
        if reading and not address.file and not _has_tables(address):
            return _empty_storage(address)
        if reading and address.is_read_only():
            return _open_to_read(address)
        try:
            return _open_to_write(address)
        except (DBAPIError, StorageInternalError, OSError) as error:
            if not (reading and address.file and is_disk_full(error)):
                raise
        return _open_to_read(address)


def _has_tables(address: Address) -> bool:
    """Return whether a database of a server has the tables of this program, in any version."""
    engine = sqlalchemy.create_engine(address.url, **address.engine_options(NullPool))
    with engine.connect() as connection:
        return migrations.version_of(connection) is not None


def _open_to_read(address: Address) -> StudyStorage:
    engine = sqlalchemy.create_engine(address.url, **address.engine_options(NullPool, reading=True))
    with engine.connect() as connection:
        _check_version(address, migrations.version_of(connection), reading=True)
    return _optuna_storage(address, reading=True)


def _open_to_write(address: Address) -> StudyStorage:
    if address.file:
        address.file.parent.mkdir(parents=True, exist_ok=True)
    engine = sqlalchemy.create_engine(address.url, **address.engine_options(NullPool))
    if address.file:
        roll_back_schema_changes(engine)
    with address.lock(engine, "search schema"):
        with engine.begin() as connection:
            _check_version(address, migrations.version_of(connection))
            migrations.upgrade(connection)
        return _optuna_storage(address)


def _empty_storage(address: Address) -> StudyStorage:
    """Return an empty database in memory."""
    options = {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}}
    storage = StudyStorage("sqlite://", options, address)
    with storage.engine.begin() as connection:
        migrations.upgrade(connection)
    return storage


def _check_version(address: Address, version: str | None, reading: bool = False) -> None:
    versions = migrations.versions()
    if reading and (version is None or version in versions[:-1]):
        raise StorageError(
            f"the study database {address} is from an older version of this program, and may only be read here; "
            "`search status`, typed by somebody who may write it, upgrades it"
        )
    if version is not None and version not in versions:
        raise StorageError(
            f"the study database {address} is from a newer version of this program: its schema is {version}, "
            f"this program knows up to {versions[-1]}; upgrade this program"
        )


def _optuna_storage(address: Address, reading: bool = False) -> StudyStorage:
    options = address.engine_options(NullPool if reading else QueuePool, reading)
    file = None if address.file is None or reading else SqliteFile(address.file)
    storage = StudyStorage(address.optuna_url, options, address, file)
    version, expected = storage.get_current_version(), storage.get_head_version()
    if version != expected:
        storage.engine.dispose()
        remedy = (
            f"run `optuna storage upgrade --storage {shlex.quote(str(address))}`"
            if version in storage.get_all_versions()
            else "upgrade Optuna"
        )
        raise StorageError(f"the study database {address} is of Optuna's schema {version}, not {expected}; {remedy}")
    if address.file and not reading:
        use_write_ahead_log(storage.engine)
        storage.engine.dispose()  # so that the next connections use it
    return storage
