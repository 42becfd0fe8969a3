"""A server with a study and jobs, for the tests of its routes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from objectives.home import Home
from search.database.jobs.job_table import JobTable
from search.database.store import Store
from search.server.settings import settings_of
from tests.support.api_server import ApiServer, api_server
from tests.support.stored_study import store_study


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder, and beside it the folder `data`, which is a root of the server."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "data" / "birds" / "train").mkdir(parents=True)
    (folder / "home").mkdir()
    return folder / "home"


@pytest.fixture(scope="module")
def study(home: Path) -> str:
    """The name of a study of 12 trials."""
    return store_study(home / "studies.db", 12)


@pytest.fixture(scope="module")
def served(home: Path, study: str) -> Iterator[ApiServer]:
    """A server that demands tokens, with the root `data`, a cancelled job of the runner, and two that wait."""
    with Store.open(home / "studies.db") as store:
        jobs = JobTable(store)
        for owner in ("runner", "runner", "other"):
            jobs.submit("run", {"dataset": "digits", "trials": 3}, owner)
        jobs.request(1, "cancel")
    with api_server(settings_of(Home.at(home), data_roots=[f"data={home.parent / 'data'}"])) as running:
        yield running
