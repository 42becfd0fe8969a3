"""Devices on which torch can compute, and the number of cores that this process may use."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from objectives import devices
from objectives.devices import available_cores, cgroup_quotas, gpu_count


def test_the_gpus_are_those_that_torch_sees() -> None:
    assert gpu_count() == torch.cuda.device_count()


def test_threads_are_the_available_cores_until_a_worker_sets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_threads", None)
    assert devices.threads() == devices.available_cores()
    before = torch.get_num_threads()
    devices.use_threads(3)
    assert devices.threads() == torch.get_num_threads() == 3
    torch.set_num_threads(before)


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
