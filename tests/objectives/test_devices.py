"""Devices on which torch can compute, and the number of cores that this process may use."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from objectives import devices
from objectives.devices import available_cores, cgroup_quotas, gpu_count, single_threads


def test_the_gpus_are_those_that_torch_sees() -> None:
    assert gpu_count() == torch.cuda.device_count()


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.fixture
def threads_restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(devices, "_threads", None)
    before = torch.get_num_threads()
    with threadpool_limits():
        yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads_restored")
def test_threads_are_the_available_ones_until_a_worker_sets_them() -> None:
    assert devices.threads() == devices.available_threads()
    devices.use_threads(3)
    assert devices.threads() == torch.get_num_threads() == 3
    assert max(blas_threads()) <= 3


@pytest.mark.parametrize(("limit", "most"), [("1", 1), ("1,4", 1), ("64", 64), ("", 64), ("0", 64), ("x", 64)])
def test_openmps_variable_limits_the_threads_of_a_process(
    monkeypatch: pytest.MonkeyPatch, limit: str, most: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", limit)
    assert devices.available_threads() == min(available_cores(), most)


@pytest.mark.usefixtures("threads_restored")
def test_blas_computes_on_one_thread_for_a_while() -> None:
    before = blas_threads()
    with devices.one_thread_of_blas():
        assert blas_threads() == {1}
    assert blas_threads() >= before


@pytest.mark.usefixtures("threads_restored")
def test_each_thread_of_an_executor_computes_alone() -> None:
    torch.set_num_threads(2)
    with single_threads(2) as executor:
        assert [*executor.map(lambda _: torch.get_num_threads(), range(4))] == [1] * 4
    assert torch.get_num_threads() == 2
    with ThreadPoolExecutor(1) as executor:
        assert executor.submit(torch.get_num_threads).result() == 2  # as before for threads that begin later


def test_idle_threads_of_openmp_do_not_spin() -> None:
    lines = "import os, objectives\nprint(os.environ['OMP_WAIT_POLICY'])"
    for value, expected in ((None, "PASSIVE"), ("ACTIVE", "ACTIVE")):
        environment = {name: text for name, text in os.environ.items() if name != "OMP_WAIT_POLICY"}
        environment |= {} if value is None else {"OMP_WAIT_POLICY": value}
        ran = subprocess.run([sys.executable, "-c", lines], env=environment, capture_output=True, text=True, check=True)
        assert ran.stdout == expected + "\n"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_the_cores_are_those_of_the_affinity() -> None:
    core = min(os.sched_getaffinity(0))
    lines = f"import os; os.sched_setaffinity(0, {{{core}}})\n"
    lines += "from objectives.devices import available_cores\nprint(available_cores())"
    assert subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True).stdout == "1\n"
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("line", "files", "quotas"),
    [
        ("0::/a/b", {"a/b/cpu.max": "max 100000", "a/cpu.max": "150000 100000"}, [1.5]),
        ("0::/a/b", {"a/b/cpu.max": "50000 100000", "cpu.max": "400000 100000"}, [0.5, 4.0]),
        ("0::/", {}, []),
        ("0::/../..", {}, []),
        ("4:cpu,cpuacct:/job", {"cpu,cpuacct/job/cpu.cfs_quota_us": "-1"}, []),
        (
            "1:cpu:/job",
            {"cpu/job/cpu.cfs_quota_us": "100000", "cpu/job/cpu.cfs_period_us": "50000"},
            [2.0],
        ),
        ("5:cpuset:/job", {"cpuset/job/cpu.max": "100000 100000"}, []),
        ("9:name=systemd:/a:b", {}, []),
    ],
)
def test_the_quota_of_a_cgroup_and_of_those_above_it_counts(
    tmp_path: Path, line: str, files: dict[str, str], quotas: list[float]
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert cgroup_quotas(line, tmp_path) == quotas


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_process_takes_its_share_of_a_gpu_alone() -> None:
    free, total = torch.cuda.mem_get_info()
    devices.use_gpu_share(0.25)
    assert devices.free_gpu_memory(torch.device("cuda")) <= min(free, total / 4)
    devices.use_gpu_share(1.0)
