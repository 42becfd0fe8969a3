"""A few inputs of the fuzzer, so that it stays alive, and what it once found stays mended."""

from itertools import chain

import pytest

from tests.fuzzing.hub_tables import fuzz

FOUND = (33, 43, 3320, 10851)
"""Inputs of seed 0 that once ended in a fault."""


def test_a_table_is_read_completely_or_refused_in_one_line() -> None:
    outcomes, faults = fuzz(seed=0, numbers=chain(FOUND, range(150)), seconds=200)
    assert not faults, "\n".join(faults.values())
    assert outcomes["read"] > outcomes["refused"] > 20


@pytest.mark.slow
def test_more_tables() -> None:
    _, faults = fuzz(seed=1, numbers=range(3000), seconds=200)
    assert not faults, "\n".join(faults.values())
