"""Opens a study database: makes or upgrades the tables, and checks that this program can use them."""

import sqlalchemy
from optuna.storages import RDBStorage

from search.database import migrations
from search.database.dialects import roll_back_schema_changes, use_write_ahead_log
from search.database.url import Address
from spaces import StorageError


def open_storage(address: Address) -> RDBStorage:
    """Return Optuna's storage, in a database whose tables are up to date.

    Raises StorageError where the database cannot be reached or written, or is from a newer version of this program or
    of Optuna.
    """
    with address.errors():
        if address.file:
            address.file.parent.mkdir(parents=True, exist_ok=True)
        engine = sqlalchemy.create_engine(address.url, poolclass=sqlalchemy.NullPool, connect_args=address.connect_args)
        if address.file:
            roll_back_schema_changes(engine)
        with address.lock(engine, "search schema"):
            with engine.begin() as connection:
                _check_version(address, migrations.version_of(connection))
                migrations.upgrade(connection)
            return _optuna_storage(address)


def _check_version(address: Address, version: str | None) -> None:
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
    version, expected = storage.get_current_version(), storage.get_head_version()
    if version != expected:
        storage.engine.dispose()
        remedy = (
            f"run `optuna storage upgrade --storage {address}`"
            if version in storage.get_all_versions()
            else "upgrade Optuna"
        )
        raise StorageError(f"the study database {address} is of Optuna's schema {version}, not {expected}; {remedy}")
    if address.file:
        use_write_ahead_log(storage.engine)
        storage.engine.dispose()  # so that the next connections use it
    return storage
