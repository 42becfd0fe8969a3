"""Some inputs of the fuzzer, so that it stays alive, and what it once found stays mended."""

import pytest

from tests.fuzzing.dataset_inputs import GENERATORS
from tests.fuzzing.datasets import fuzz

INPUTS = {"class folders": 40, "csv file": 80, "published": 12, "space file": 150}
"""The number of inputs of each kind, of about a second all together."""


@pytest.mark.parametrize("kind", GENERATORS)
def test_odd_datasets_are_read_whole_or_refused(kind: str) -> None:
    outcomes, faults = fuzz(seed=5, numbers=range(INPUTS.get(kind, 40)), seconds=100, kinds=[kind])
    assert not faults, "\n".join(faults.values())
    assert outcomes["read"] > 0
    assert outcomes["refused"] > 0
