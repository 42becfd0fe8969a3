"""A real SQLite file and a real PostgreSQL server for whatever asks for `storage_url`."""

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from search.cli.main import main
from search.database.records import RunFacts, StudyFacts
from search.database.store import Store
from spaces import Architecture, Block, Space
from tests.search.commands import Ran, Search

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


@pytest.fixture(params=["sqlite", "postgresql"])
def storage_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/deep er/studies.db"
    url: str = request.getfixturevalue("postgresql_url")
    return url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/studies.db"


@pytest.fixture
def store(storage_url: str) -> Iterator[Store]:
    with Store.open(storage_url) as opened:
        yield opened


@pytest.fixture(scope="session")
def space() -> Space:
    """120 timesteps-blocks-pools of two heads on a U-Net of 12 blocks, some of whose maps are too small for pool 4."""
    sides = (16, 16, 8, 4, 2, 2, 2, 4, 4, 8, 16, 16)
    blocks = tuple(
        Block(number, f"block.{number}", "encoder" if number < 7 else "decoder", 32, side, 0.01, 0.01 * number)
        for number, side in enumerate(sides, start=1)
    )
    architecture = Architecture("small", 16, blocks, tuple(0.9999 - 0.9998 * t / 999 for t in range(1000)))
    return Space(architecture, (10, 90, 300), (3, 4, 5, 8, 10), (1, 2, 4), ("linear", "mlp"))


@pytest.fixture(scope="session")
def make_facts(space: Space) -> Callable[..., StudyFacts]:
    def made(**changes: object) -> StudyFacts:
        facts: dict[str, object] = {
            "dataset": "digits",
            "dataset_fingerprint": "d" * 64,
            "backbone": "bundled",
            "weights_digest": "w" * 64,
            "preset": "default",
            "space": space,
            "classes": ("zero", "one"),
            "counts": {"train": 80, "validation": 20, "test": 50},
            "protocol": {"validation split": "20 % of the training images, seed 0"},
        }
        return StudyFacts(**(facts | changes))  # type: ignore[arg-type]

    return made


@pytest.fixture
def run_facts() -> RunFacts:
    return RunFacts(workers=2, command="search run --dataset digits", versions={"optuna": "5.0.0"})


@pytest.fixture
def search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Search:
    """The command line, in this process: each start of its own would load the networks' libraries again."""
    monkeypatch.setenv("SEARCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["search", *words])
        with pytest.raises(SystemExit) as ended:  # typer exits, whether all went well or not
            main()
        said = capsys.readouterr()
        return Ran(int(ended.value.code or 0), said.out, said.err)

    return run
