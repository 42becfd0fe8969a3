"""Opening a study database: the versions of its tables, and clear errors for databases that cannot be used."""

import os
import socket
import stat
import subprocess
import sys
import traceback
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import event, inspect, text

from objectives.results import Accuracy, Final
from search.database import migrations
from search.database.dialects import roll_back_schema_changes
from search.database.models import Base
from search.database.records import RunRecord
from search.database.store import Store
from search.database.url import Address
from spaces import Space, StorageError
from tests.support.processes import child_process
from tests.support.studies import MakeRecord


def test_opening_a_new_database_from_several_processes_at_once(storage_url: str) -> None:
    count = 2 if storage_url.startswith("sqlite") else 3
    code = "import sys; from search.database.store import Store; Store.open(sys.argv[1]).close()"
    command = [sys.executable, "-W", "error", "-c", code, storage_url]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(child_process(command, stderr=subprocess.PIPE, text=True)) for _ in range(count)
        ]
        errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * count, errors


def test_migrations_create_the_schema_of_the_models(store: Store) -> None:
    ours = [name for name in inspect(store.optuna.engine).get_table_names() if name.startswith("search_")]
    assert set(ours) == {*Base.metadata.tables, migrations.VERSION_TABLE}

    def is_ours(_object: object, name: str | None, kind: str, _reflected: bool, _other: object) -> bool:
        return kind != "table" or (str(name).startswith("search_") and name != migrations.VERSION_TABLE)

    with store.optuna.engine.connect() as connection:
        options = {"include_object": is_ours, "compare_type": True, "version_table": migrations.VERSION_TABLE}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata) == []


def test_a_newer_schema_is_refused_and_not_changed(storage_url: str) -> None:
    with Store.open(storage_url) as store, store.optuna.engine.begin() as connection:
        connection.execute(text(f"UPDATE {migrations.VERSION_TABLE} SET version_num = '9999'"))
    words = rf"newer version of this program: its schema is 9999, .* up to {migrations.versions()[-1]}"
    with pytest.raises(StorageError, match=words) as caught:
        Store.open(storage_url)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("version", "mend"), [("v99.0.0.a", "; upgrade Optuna$"), ("v3.0.0.a", "; run `optuna storage")]
)
def test_tables_of_another_optuna_are_refused(storage_url: str, version: str, mend: str) -> None:
    with Store.open(storage_url) as store, store.optuna.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})
    with pytest.raises(StorageError, match=rf"is of Optuna's schema {version}, not v.*{mend}") as caught:
        Store.open(storage_url)
    _says_nothing_of(caught.value, "s3cret")


def test_sqlite_is_tuned(sqlite_url: str) -> None:
    with Store.open(sqlite_url) as store, store.optuna.engine.connect() as connection:
        pragmas = {
            name: connection.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 1, "busy_timeout": 60_000}


def test_an_interrupted_migration_changes_nothing(sqlite_url: str) -> None:
    engine = sqlalchemy.create_engine(sqlite_url, poolclass=sqlalchemy.NullPool)
    roll_back_schema_changes(engine)

    def cut_short() -> None:
        with engine.begin() as connection:
            migrations.upgrade(connection)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_short()
    assert inspect(engine).get_table_names() == []
    Store.open(sqlite_url).close()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "must be SQLite or PostgreSQL, got 'no URL'"),
        ("studies.db", "must be SQLite or PostgreSQL"),
        ("mysql://bob:topsecret@host/db", "must be SQLite or PostgreSQL, got 'mysql'"),
        ("nonsense+x://bob:topsecret@host/db", "must be SQLite or PostgreSQL, got 'nonsense"),
        ("postgresql://bob:topsecret@host:notaport/db", "must be SQLite or PostgreSQL"),
        ("sqlite://", "must name a plain file"),
        ("sqlite:///:memory:", "must name a plain file"),
        ("sqlite:///file:x.db?mode=ro&uri=true", "must name a plain file"),
        ("sqlite:////proc/nowhere/studies.db", "cannot be used"),
    ],
)
def test_a_wrong_url_is_one_error_line(url: str, words: str) -> None:
    with pytest.raises(StorageError) as caught:
        Store.open(url)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "topsecret" not in str(caught.value)


def test_an_unreachable_server_is_an_error_without_the_password() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"postgresql://bob:top%2Fsecret@127.0.0.1:{free.getsockname()[1]}/db?password=top%2Fsecret"
    with pytest.raises(StorageError, match=r"bob:\*\*\*@127.*cannot be used: connection.*refused") as caught:
        Store.open(url)
    _says_nothing_of(caught.value, "top/secret", "top%2Fsecret")


@pytest.mark.parametrize("wrong", ["user", "database"])
def test_an_error_of_the_server_does_not_show_the_password(postgresql_url: str, wrong: str) -> None:
    url = {
        "user": postgresql_url.replace("//search:", "//nobody:"),
        "database": postgresql_url.rpartition("/")[0] + "/nowhere",
    }[wrong]
    with pytest.raises(StorageError, match=r"cannot be used: .*FATAL") as caught:
        Store.open(url)
    _says_nothing_of(caught.value, "s3cret")


def test_a_password_in_an_error_of_the_driver_is_masked() -> None:
    address = Address("postgresql://bob:top%2Fsecret@host/db?password=other")
    with pytest.raises(StorageError) as caught, address.errors():
        raise sqlalchemy.exc.OperationalError(
            "SELECT 1", {}, Exception("no luck with top/secret or top%2Fsecret or other")
        )
    assert str(caught.value).endswith("cannot be used: no luck with *** or *** or ***")
    assert "bob:***@host" in str(caught.value)


def test_a_missing_driver_is_a_readable_error() -> None:
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from search.database.store import Store\n"
        "from spaces import StorageError\n"
        "try: Store.open('postgresql://bob:topsecret@host/db')\n"
        "except StorageError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "driver is missing; pip install" in done.stdout
    assert "topsecret" not in done.stdout + done.stderr


def test_a_file_that_is_no_database_is_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "studies.db"
    path.write_text("something precious " * 100)
    with pytest.raises(StorageError, match="file is not a database"):
        Store.open(f"sqlite:///{path}")
    assert path.read_text() == "something precious " * 100


def test_a_read_only_database_is_a_readable_error(sqlite_url: str, tmp_path: Path) -> None:
    Store.open(sqlite_url).close()
    tmp_path.parent.parent.chmod(0o755)
    tmp_path.parent.chmod(0o755)
    tmp_path.chmod(0o555)
    for path in tmp_path.iterdir():
        path.chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)  # whom permissions hold for
    try:
        with pytest.raises(
            StorageError, match=r"cannot be used: .*(readonly|read-only|Permission denied|unable to open)"
        ):
            Store.open(sqlite_url)
    finally:
        if root:
            os.seteuid(0)
        tmp_path.chmod(0o755)


def test_a_full_disk_is_a_readable_error_and_loses_nothing(
    sqlite_url: str, make_record: MakeRecord, run_record: RunRecord
) -> None:
    with Store.open(sqlite_url) as store:
        name = store.ensure_study(make_record())
        engine = store.optuna.engine

        @event.listens_for(engine, "connect")
        def fill(connection: sqlalchemy.engine.interfaces.DBAPIConnection, _record: object) -> None:
            # SQLite's own limit: from here on it answers as on a full disk.
            cursor = connection.cursor()
            cursor.execute("PRAGMA max_page_count = 1")
            cursor.close()

        engine.dispose()
        with pytest.raises(StorageError, match="cannot be used: database or disk is full") as caught:
            store.begin_run(name, replace(run_record, command="x" * 100_000))
        assert "\n" not in str(caught.value)
        event.remove(engine, "connect", fill)
        engine.dispose()
        assert store.read_study(name).wall_seconds == 0


def test_a_lost_database_connection_is_a_readable_error(store: Store, make_record: MakeRecord, space: Space) -> None:
    name = store.ensure_study(make_record())
    with store.optuna.engine.begin() as connection:
        connection.execute(text("DROP TABLE search_finals"))
    with pytest.raises(StorageError, match=r"cannot be used: .*search_finals") as caught:
        store.record_final(name, Final(next(space.settings()), 0, Accuracy(1, 2), Accuracy(1, 2), 1.0, 0, 0))
    assert "\n" not in str(caught.value)


def _says_nothing_of(error: BaseException, *secrets: str) -> None:
    """Neither the message nor any that a traceback would print."""
    printed = "".join(traceback.format_exception(error))
    assert "\n" not in str(error)
    for secret in secrets:
        assert secret not in printed
