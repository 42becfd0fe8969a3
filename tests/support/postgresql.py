"""A throw-away PostgreSQL server: the fixtures `postgresql` and `postgresql_url`."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

PASSWORD = "s3cret/pass%word"
QUOTED_PASSWORD = "s3cret%2Fpass%25word"


def _program(name: str) -> Path | None:
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    on_path = shutil.which(name)
    return versions[-1] if versions else Path(on_path) if on_path else None


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """Host and port of a throw-away PostgreSQL server, which asks for `PASSWORD`."""
    initdb, pg_ctl = _program("initdb"), _program("pg_ctl")
    if initdb is None or pg_ctl is None:
        pytest.skip("PostgreSQL is not installed: no initdb in /usr/lib/postgresql/*/bin or on the PATH")
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    as_user: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        owner = pwd.getpwnam("postgres")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        as_user = ["runuser", "-u", "postgres", "--"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    password_file = folder / "password"
    password_file.write_text(PASSWORD)
    password_file.chmod(0o644)
    data = folder / "data"
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    try:
        _run(*as_user, initdb, "-D", data, "-U", "search", "-A", "scram-sha-256", f"--pwfile={password_file}", "-N")
        _run(*as_user, pg_ctl, "-D", data, "-o", options, "-l", folder / "log", "-w", "start")
        try:
            yield f"127.0.0.1:{port}"
        finally:
            _run(*as_user, pg_ctl, "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(*command: str | Path) -> None:
    subprocess.run([*map(str, command)], check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, cwd="/")


@pytest.fixture
def postgresql_url(postgresql: str) -> Iterator[str]:
    """A database that is empty, and emptied again: ten times as quick as a new one."""
    yield f"postgresql+psycopg://search:{QUOTED_PASSWORD}@{postgresql}/postgres"
    host, _, port = postgresql.partition(":")
    with psycopg.connect(
        host=host, port=port, user="search", password=PASSWORD, dbname="postgres", autocommit=True
    ) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")


def database_url(request: pytest.FixtureRequest, folder: Path) -> str:
    """Return the URL of an empty database of the kind that `request.param` names: sqlite or postgresql."""
    if request.param == "sqlite":
        return f"sqlite:///{folder}/deep er/studies.db"
    url: str = request.getfixturevalue("postgresql_url")
    return url
