"""Opening a study database: the versions of its tables, and clear errors for databases that cannot be used."""

import os
import socket
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
from search.database.connection.dialects import roll_back_schema_changes
from search.database.connection.url import Address
from search.database.models import Base
from search.database.records import RunRecord
from search.database.store import Store
from spaces import Space, StorageError
from tests.support.permissions import somebody_else
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
    assert pragmas == {"journal_mode": "wal", "synchronous": 1, "busy_timeout": 5_000}


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
        ("", "must be a URL of SQLite or PostgreSQL, got no URL; try sqlite:////path/to/studies.db"),
        ("foo", "must be a URL of SQLite or PostgreSQL, got no URL"),
        ("mysql://bob:topsecret@host/db", "must be a URL of SQLite or PostgreSQL, got 'mysql'"),
        ("nonsense+x://bob:topsecret@host/db", "must be a URL of SQLite or PostgreSQL, got 'nonsense"),
        ("postgresql://bob:topsecret@host:notaport/db", "must have a whole number as its port"),
        ("sqlite://", "must name a plain file"),
        ("sqlite:///:memory:", "must name a plain file"),
        ("sqlite:///file:x.db?mode=ro&uri=true", "must name a plain file"),
        ("sqlite:///what?", "must name a plain file"),
        ("sqlite:///what?/x.db", "must name a plain file"),
        ("sqlite:///%FF.db", "must name a plain file"),
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
    with pytest.raises(StorageError, match=r"//bob@127.*cannot be used: connection.*refused") as caught:
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
    address = Address("postgresql://bob:top%2Fsecret@host/db?sslpassword=other")
    with pytest.raises(StorageError) as caught, address.errors():
        raise sqlalchemy.exc.OperationalError(
            "SELECT 1", {}, Exception("no luck with top/secret or top%2Fsecret or other")
        )
    assert str(caught.value).endswith("cannot be used: no luck with *** or *** or ***")
    assert "//bob@host" in str(caught.value)


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


ODD_NAMES = ("what?", "what?mode=memory", "100%", "%41", "a#b", "[x]", "a b", "é", "e\u0301", "~", "it's", '"q"')
ODDER_NAMES = ("new\nline", "{x}", "a:b@c", "*", "back\\slash", "bad\udcff", "file:x", ":memory:")


@pytest.mark.parametrize("name", [*ODD_NAMES, *ODDER_NAMES])
def test_a_path_is_never_read_as_a_url(tmp_path: Path, name: str, make_record: MakeRecord) -> None:
    file = tmp_path / name / "studies.db"
    with Store.open(file) as store:
        study = store.ensure_study(make_record())
        assert file.is_file()
    with Store.open(file, reading=True) as store:
        assert store.names() == {study}
    if "\udcff" not in name:  # a text can be pasted, a byte that is no text cannot
        with Store.open(str(Address(file))) as store:
            assert store.names() == {study}
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_reading_makes_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEARCH_HOME", str(tmp_path / "home"))
    for file in (tmp_path / "home" / "studies.db", tmp_path / "studies.db"):  # the default home, and one that exists
        with Store.open(file, reading=True) as store:
            assert store.studies() == []
    assert not any(tmp_path.iterdir())


def test_a_database_that_was_named_must_exist_to_be_read(sqlite_url: str, tmp_path: Path) -> None:
    for storage, words in (
        (sqlite_url, "there is no database at"),
        (tmp_path / "no" / "studies.db", "there is no folder"),
    ):
        with pytest.raises(StorageError, match=words):
            Store.open(storage, reading=True)
    assert not any(tmp_path.iterdir())


def test_a_database_that_cannot_be_written_is_refused_for_writing(sqlite_url: str, tmp_path: Path) -> None:
    Store.open(sqlite_url).close()
    with somebody_else(tmp_path), pytest.raises(StorageError, match=r"studies.db cannot be used: Permission denied$"):
        Store.open(sqlite_url)


def test_a_database_that_cannot_be_written_can_be_read(
    sqlite_url: str, tmp_path: Path, make_record: MakeRecord, run_record: RunRecord
) -> None:
    with Store.open(sqlite_url) as store:
        study = store.ensure_study(make_record())
        store.begin_run(study, run_record)
    files = {path.name for path in tmp_path.iterdir()}
    with somebody_else(tmp_path), Store.open(sqlite_url, reading=True) as store:
        assert (store.find_study(), len(store.read_runs(study))) == (study, 1)
        with pytest.raises(StorageError, match="cannot be used: attempt to write a readonly database"):
            store.begin_run(study, run_record)
    assert {path.name for path in tmp_path.iterdir()} == files


def test_reading_sees_what_a_run_has_just_written(
    sqlite_url: str, tmp_path: Path, make_record: MakeRecord, run_record: RunRecord
) -> None:
    with Store.open(sqlite_url) as writer:
        study = writer.ensure_study(make_record())
        with somebody_else(tmp_path), Store.open(sqlite_url, reading=True) as store:
            assert store.names() == {study}
            os.seteuid(0)
            writer.begin_run(study, run_record)
            os.seteuid(65534 if os.getuid() == 0 else os.getuid())
            assert len(store.read_runs(study)) == 1


def test_changes_that_cannot_be_read_are_never_left_out(sqlite_url: str, tmp_path: Path) -> None:
    Store.open(sqlite_url).close()
    (tmp_path / "studies.db-wal").write_bytes(b"changes of a killed run")
    with somebody_else(tmp_path), pytest.raises(StorageError, match="cannot be used: unable to open database file"):
        Store.open(sqlite_url, reading=True)


def test_an_older_database_that_cannot_be_written_is_refused(sqlite_url: str, tmp_path: Path) -> None:
    engine = sqlalchemy.create_engine(sqlite_url, poolclass=sqlalchemy.NullPool)
    with engine.begin() as connection:
        migrations.upgrade(connection, migrations.versions()[0])
    with somebody_else(tmp_path), pytest.raises(StorageError, match=r"older version .* and may only be read here"):
        Store.open(sqlite_url, reading=True)


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
    """Assert that neither the message nor a traceback shows a secret."""
    printed = "".join(traceback.format_exception(error))
    assert "\n" not in str(error)
    for secret in secrets:
        assert secret not in printed


def test_a_database_is_read_where_nothing_more_can_be_written(
    sqlite_url: str, make_record: MakeRecord, tmp_path: Path
) -> None:
    with Store.open(sqlite_url) as store:
        study = store.ensure_study(make_record())
    code = "import sys; from search.database.store import Store; print(Store.open(sys.argv[1], {}).studies()[0].name)"
    for reading, words in (("True", study), ("False", "free space on its disk, or raise the limit of file sizes")):
        command = ["sh", "-c", f'ulimit -f 1; {sys.executable} -c "$0" "$1"', code.format(reading), sqlite_url]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        assert words in ran.stdout + ran.stderr


def test_reading_makes_no_tables_in_a_database_of_a_server(postgresql_url: str) -> None:
    """A mistyped name may be that of another program's database."""
    with Store.open(postgresql_url, reading=True) as store:
        assert not store.names()
    engine = sqlalchemy.create_engine(postgresql_url)
    assert inspect(engine).get_table_names() == []
    with Store.open(postgresql_url) as store:  # a run makes them
        assert not store.names()
    assert "studies" in inspect(engine).get_table_names()
    engine.dispose()
