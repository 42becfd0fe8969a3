"""Fixtures of the tests of search: real databases, a small space, and the command line."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.cli.main import main
from search.database.records import RunRecord
from search.database.runs import leases
from search.database.screenings import Screening
from search.database.store import Store
from spaces import Setting, Space
from tests.support.command_line import Ran, Search
from tests.support.postgresql import database_url
from tests.support.studies import MakeRecord, small_record, small_space


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=[pytest.mark.postgresql, pytest.mark.slow])])
def storage_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a SQLite file and of a PostgreSQL server. Tests in `database/` always run on both."""
    return database_url(request, tmp_path)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/studies.db"


@pytest.fixture
def store(storage_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """An open database. Its server counts as an old one, so that a silent run is dead although the server is new."""
    monkeypatch.setattr(leases, "server_started", lambda _session: None)
    with Store.open(storage_url) as opened:
        yield opened


@pytest.fixture(scope="session")
def space() -> Space:
    return small_space()


@pytest.fixture(scope="session")
def make_record() -> MakeRecord:
    return small_record


@pytest.fixture
def screening(space: Space) -> Screening:
    settings = tuple(Setting(90, block, pool, "ridge") for block in (3, 4, 8, 10) for pool in (1, 2, 4))
    errors = tuple((setting, 0.1 * setting.block) for setting in settings)
    return Screening("birds", "b" * 64, "small", "w" * 64, space.architecture, 0, 7, 300, errors, settings[:2])


@pytest.fixture
def run_record() -> RunRecord:
    return RunRecord(workers=2, command="search run --dataset digits", versions={"optuna": "5.0.0"})


@pytest.fixture
def search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Search:
    """Run the command line in this process. A process of its own would load torch and diffusers again."""
    monkeypatch.setenv("SEARCH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SEARCH_STORAGE", raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["search", *words])
        with pytest.raises(SystemExit) as ended:  # typer always exits
            main()
        output = capsys.readouterr()
        return Ran(int(ended.value.code or 0), output.out, output.err)

    return run
