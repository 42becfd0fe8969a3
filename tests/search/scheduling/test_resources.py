"""Number of workers on a machine, and the share of each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.scheduling.resources import equal_share, workers_on


@pytest.mark.parametrize(
    ("gpus", "share", "workers"),
    [
        (1, 0.25, 4),
        (1, 1 / 3, 3),
        (1, 0.7, 1),
        (2, 0.7, 2),
        (3, 0.6, 3),
        (4, 2, 2),
        (5, 2, 2),
        (1, 1, 1),
        (1, 0.01, 100),
    ],
)
def test_a_worker_lies_on_one_gpu_or_has_whole_ones(gpus: int, share: float, workers: int) -> None:
    assert workers_on(gpus, share) == workers


@given(st.integers(1, 64), st.integers(1, 200))
def test_the_workers_that_share_gpus_equally_fit_on_them(gpus: int, workers: int) -> None:
    share = equal_share(gpus, workers)
    assert share < 1 or share.is_integer()
    assert workers_on(gpus, share) >= workers
