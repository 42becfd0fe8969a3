"""The server while its database does not answer, and after that."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from objectives.home import Home
from search.server.settings import settings_of
from tests.support.api_server import api_server
from tests.support.postgresql import NotInstalledError, Server, running_server


@pytest.fixture
def database() -> Iterator[Server]:
    """A PostgreSQL server of its own, which may be stopped."""
    try:
        with running_server() as server:
            yield server
    except NotInstalledError as error:
        pytest.skip(str(error))


@pytest.mark.postgresql
def test_a_server_outlives_its_database(database: Server, tmp_path: Path) -> None:
    with api_server(settings_of(Home.at(tmp_path), database.url)) as served:
        assert served.ask("GET", "/api/v1/studies", "viewer").json() == []
        assert served.ask("GET", "/readyz").status_code == 200
        database.stop()
        time.sleep(1.2)
        assert served.ask("GET", "/healthz").status_code == 200
        answer = served.ask("GET", "/readyz")
        assert answer.status_code == 503
        assert answer.json()["type"] == "unavailable"
        assert served.ask("GET", "/api/v1/studies", "viewer").status_code == 503
        database.start()
        assert served.ask("GET", "/readyz").status_code == 200
        assert served.ask("GET", "/api/v1/studies", "viewer").status_code == 200
