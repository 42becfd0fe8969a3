"""Number of workers on a machine or a cluster, and the share of each."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.scheduling.resources import Resources, equal_share, resources_of_cluster, workers_on
from spaces import UsageError


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


PLAIN, WITH_GPUS = {"CPU": 8.0, "memory": 1e9}, {"CPU": 32.0, "GPU": 4.0, "accelerator_type:A100": 1.0}
OLDER = {"CPU": 16.0, "GPU": 2.0, "accelerator_type:V100": 1.0}


@pytest.mark.parametrize(
    ("machines", "asked", "expected"),
    [
        ([], {}, Resources(1, 1, 0.0, "h:1")),  # before the machines are known
        ([], {"workers": 99, "gpus": 2}, Resources(99, 1, 2, "h:1")),
        ([PLAIN, PLAIN], {}, Resources(16, 1, 0.0, "h:1")),
        ([PLAIN, PLAIN], {"workers": 2}, Resources(2, 8, 0.0, "h:1")),
        ([PLAIN, PLAIN], {"workers": 3}, Resources(3, 4, 0.0, "h:1")),
        ([PLAIN, PLAIN], {"workers": 40}, Resources(40, 1, 0.0, "h:1")),  # the others wait for machines that join
        ([PLAIN, WITH_GPUS], {}, Resources(4, 8, 1.0, "h:1")),
        ([PLAIN, WITH_GPUS, OLDER], {}, Resources(6, 8, 1.0, "h:1")),
        ([PLAIN, WITH_GPUS], {"gpus": 0.5}, Resources(8, 4, 0.5, "h:1")),
        ([PLAIN, WITH_GPUS, OLDER], {"gpus": 0.5, "workers": 4}, Resources(4, 8, 0.5, "h:1")),
        ([PLAIN, WITH_GPUS, OLDER], {"gpus": 2}, Resources(3, 16, 2, "h:1")),
        ([PLAIN, WITH_GPUS], {"gpus": 0}, Resources(40, 1, 0, "h:1")),
        ([PLAIN, WITH_GPUS, OLDER], {"gpu_type": "V100"}, Resources(2, 8, 1.0, "h:1", "V100")),
        ([PLAIN], {"gpus": 1}, Resources(1, 1, 1, "h:1")),  # it has no room, which a session says in words
    ],
)
def test_a_run_takes_what_the_machines_of_a_cluster_have(
    machines: list[dict[str, float]], asked: dict[str, Any], expected: Resources
) -> None:
    assert resources_of_cluster(machines, "h:1", **asked) == expected


def test_a_type_of_gpu_that_a_cluster_lacks_is_refused_with_those_that_it_has() -> None:
    with pytest.raises(UsageError, match=r"`gpu_type` is H100, and no machine .* it has A100, V100"):
        resources_of_cluster([PLAIN, WITH_GPUS, OLDER], "h:1", gpu_type="H100")
    with pytest.raises(UsageError, match=r"it has none of a known type"):
        resources_of_cluster([PLAIN], "h:1", gpu_type="H100")


MACHINES = st.lists(
    st.fixed_dictionaries({"CPU": st.integers(0, 64), "GPU": st.integers(0, 8)}), min_size=1, max_size=6
)


@given(MACHINES, st.none() | st.integers(1, 100), st.sampled_from([None, 0, 0.25, 0.3, 0.5, 1, 2]))
def test_as_many_workers_fit_on_a_cluster_as_it_has_room_for(
    machines: list[dict[str, float]], workers: int | None, gpus: float | None
) -> None:
    resources = resources_of_cluster(machines, "h:1", workers, gpus)
    room = most = 0
    for machine in machines:
        on_gpus = workers_on(int(machine["GPU"]), resources.gpus) if resources.gpus else 64
        room += min(int(machine["CPU"]) // resources.cpus, on_gpus)
        most += min(int(machine["CPU"]), on_gpus)
    assert resources.cpus >= 1
    assert room >= min(resources.workers, most)
    assert workers in (None, resources.workers)


def test_a_worker_takes_almost_nothing_of_the_type_of_its_gpu() -> None:
    assert Resources(2, 3, 0.5, "h:1", "A100").of_worker == {"CPU": 3, "GPU": 0.5, "accelerator_type:A100": 0.001}
    assert Resources(2, 3).of_worker == {"CPU": 3}
