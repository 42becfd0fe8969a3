"""A few odd requests to every route; `tests/fuzzing/http_api.py` sends many."""

from pathlib import Path

import pytest

from tests.fuzzing.http_api import fuzz
from tests.support.api_server import ApiServer


@pytest.mark.parametrize("role", ["admin", None])
def test_no_request_makes_the_server_fail(served: ApiServer, tmp_path: Path, role: str | None) -> None:
    code, text = fuzz(served, role, 2, tmp_path, "coverage,fuzzing")
    assert code == 0, text
