"""A throw-away PostgreSQL server, and the fixtures `postgresql` and `postgresql_url`."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

PASSWORD = "s3cret/pass%word"
QUOTED_PASSWORD = "s3cret%2Fpass%25word"


def _program(name: str) -> Path | None:
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    on_path = shutil.which(name)
    return versions[-1] if versions else Path(on_path) if on_path else None


class NotInstalledError(Exception):
    """PostgreSQL is not installed."""


class Server:
    """A throw-away PostgreSQL server, which asks for `PASSWORD`. It can be stopped and started again."""

    def __init__(self, folder: Path, pg_ctl: Path, port: int, as_user: list[str]) -> None:
        self.folder = folder
        self.address = f"127.0.0.1:{port}"
        self._ctl = [*as_user, str(pg_ctl), "-D", str(folder / "data")]
        self._options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://search:{QUOTED_PASSWORD}@{self.address}/postgres"

    def start(self, options: str = "") -> None:
        """Start the server. options: more of those of `postgres`, such as `-c max_connections=5`."""
        _run(*self._ctl, "-o", f"{self._options} {options}", "-l", self.folder / "log", "-w", "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server. mode: smart, fast or immediate, as `pg_ctl` has it."""
        _run(*self._ctl, "-m", mode, "stop")

    def empty(self) -> None:
        """End all connections, and delete all tables: ten times as quick as a new database."""
        host, _, port = self.address.partition(":")
        with psycopg.connect(
            host=host, port=port, user="search", password=PASSWORD, dbname="postgres", autocommit=True
        ) as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")


@contextmanager
def running_server() -> Iterator[Server]:
    """Make a server in a folder of its own, start it, and remove both at the end. Raises NotInstalledError."""
    initdb, pg_ctl = _program("initdb"), _program("pg_ctl")
    if initdb is None or pg_ctl is None:
        raise NotInstalledError("PostgreSQL is not installed: no initdb in /usr/lib/postgresql/*/bin or on the PATH")
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
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
    server = Server(folder, pg_ctl, port, as_user)
    try:
        data = folder / "data"
        _run(*as_user, initdb, "-D", data, "-U", "search", "-A", "scram-sha-256", f"--pwfile={password_file}", "-N")
        server.start()
        try:
            yield server
        finally:
            with suppress(subprocess.CalledProcessError):  # a test may have stopped it
                server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(*command: str | Path) -> None:
    subprocess.run([*map(str, command)], check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, cwd="/")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Server]:
    """A throw-away PostgreSQL server that all tests share."""
    try:
        with running_server() as server:
            yield server
    except NotInstalledError as error:
        pytest.skip(str(error))


@pytest.fixture
def postgresql(postgresql_server: Server) -> str:
    """Host and port of the server."""
    return postgresql_server.address


@pytest.fixture
def postgresql_url(postgresql_server: Server) -> Iterator[str]:
    """A database that is empty, and emptied again."""
    yield postgresql_server.url
    postgresql_server.empty()


def database_url(request: pytest.FixtureRequest, folder: Path) -> str:
    """Return the URL of an empty database of the kind that `request.param` names: sqlite or postgresql."""
    if request.param == "sqlite":
        return f"sqlite:///{folder}/deep er/studies.db"
    url: str = request.getfixturevalue("postgresql_url")
    return url
