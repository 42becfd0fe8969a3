"""A few inputs of the fuzzer, so that it stays alive, and what it once found stays mended."""

from itertools import chain
from pathlib import Path

import pytest

from tests.fuzzing.network_folders import build_networks, fuzz

FOUND = (223,)
"""Inputs of seed 5 that once ended in a fault."""


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_networks(tmp_path_factory.mktemp("networks"))


def test_a_damaged_folder_is_refused_in_one_line_or_loaded_completely(networks: Path) -> None:
    outcomes, faults = fuzz(networks, seed=5, numbers=chain(FOUND, range(40)), seconds=200)
    assert not faults, "\n".join(faults.values())
    assert outcomes["refused"] > outcomes["read"] > 0


@pytest.mark.slow
def test_more_damaged_folders(networks: Path) -> None:
    _, faults = fuzz(networks, seed=1, numbers=range(150), seconds=100)
    assert not faults, "\n".join(faults.values())
