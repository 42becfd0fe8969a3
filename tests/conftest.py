"""Settings of all tests: signals, the path on which subprocesses find the product, and what some tests need."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.support.browser", "tests.support.finished_search", "tests.support.postgresql"]

# A shell that starts the suite in the background makes it deaf to Ctrl-C, which several tests send to what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The processes that tests start import this checkout, from whatever folder they are started in.
os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])

# How long an example takes says how busy the machine is. A test that hangs has a timeout.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

NEEDED = {"browser": "browser", "postgresql_url": "postgresql"}
"""Fixture → the mark of the tests that use it. A test of both databases marks its own PostgreSQL case."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for fixture in NEEDED.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(NEEDED[fixture])
