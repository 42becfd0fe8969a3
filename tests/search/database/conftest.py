"""Tests of the study database run on SQLite and PostgreSQL, the quick ones too."""

from pathlib import Path

import pytest

from tests.support.postgresql import database_url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def storage_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return database_url(request, tmp_path)
