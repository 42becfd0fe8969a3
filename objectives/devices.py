"""The processors that this process may use."""

import ctypes
import math
import os
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@cache
def available_cores() -> int:
    """Return how many CPU cores this process may use, by its affinity and the quotas of its cgroups; at least 1."""
    import joblib

    groups = Path("/proc/self/cgroup")
    lines = groups.read_text("utf-8").splitlines() if groups.exists() else []
    quotas = [quota for line in lines for quota in cgroup_quotas(line, Path("/sys/fs/cgroup"))]
    return max(1, min([int(joblib.cpu_count()), *map(math.ceil, quotas)]))


def available_threads() -> int:
    """Return how many threads this process may compute on: one for each available core, at most OMP_NUM_THREADS."""
    limit = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]  # of nested regions the outermost
    return min(available_cores(), int(limit)) if limit.isdecimal() and int(limit) else available_cores()


def cgroup_quotas(line: str, root: Path) -> list[float]:
    """Return the quotas, in cores, of a cgroup and of those above it. joblib reads the one at the root alone.

    line: of /proc/self/cgroup, as "0::/user.slice" (version 2) or "4:cpu,cpuacct:/job" (version 1).
    """
    _, controllers, path = line.split(":", 2)
    if controllers and "cpu" not in controllers.split(","):
        return []
    top = root / controllers
    quotas = []
    for folder in (top / path.lstrip("/"), *(top / path.lstrip("/")).parents):
        if not folder.is_relative_to(top):
            break
        names = ["cpu.cfs_quota_us", "cpu.cfs_period_us"] if controllers else ["cpu.max"]
        files = [folder / name for name in names]
        words = [word for file in files if file.is_file() for word in file.read_text("utf-8").split()]
        if len(words) == 2 and words[0].isdecimal():
            quotas.append(int(words[0]) / int(words[1]))
    return quotas


def gpu_count() -> int:
    """Return the number of GPUs that torch can use. Without a GPU driver, torch is not imported."""
    build = version("torch").partition("+")[2]
    if build == "cpu" or not (build.startswith("rocm") or _has_amd_driver() or _has_cuda_driver()):
        return 0
    import torch

    return torch.cuda.device_count()


def _has_amd_driver() -> bool:
    """Return whether AMD's driver runs, by its device file. Not every ROCm build of torch says so in its version."""
    return Path("/dev/kfd").exists()


def _has_cuda_driver() -> bool:
    """Return whether NVIDIA's driver library can be loaded. Without it, torch has no CUDA device."""
    for name in ("libcuda.so.1", "nvcuda.dll"):
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return True
    return False


def use_gpu_share(share: float) -> None:
    """Let this process take no more than a share of the memory of its GPU, if it has one. share: in (0, 1]."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(share)


def free_gpu_memory(device: "torch.device") -> int:
    """Return the bytes of a GPU's memory that this process may still use: they are free, and in its share.

    Memory that torch holds for later use is free too, so the result does not depend on the passes made before.
    """
    import torch

    free, total = torch.cuda.mem_get_info(device)
    used = torch.cuda.memory_allocated(device)
    share = torch.cuda.get_per_process_memory_fraction(device.index)  # no index: the current GPU
    return min(free + torch.cuda.memory_reserved(device) - used, int(share * total) - used)


def use_threads(count: int) -> None:
    """Set the number of CPU threads of this process: those of torch and BLAS, and those that decode and make noise."""
    import torch
    from threadpoolctl import threadpool_limits

    global _threads  # noqa: PLW0603
    torch.set_num_threads(count)
    threadpool_limits(count, user_api="blas")
    _threads = count


@contextmanager
def one_thread_of_blas() -> Iterator[None]:
    """Let numpy and scipy compute on one thread in the context.

    Their library, OpenBLAS, takes every core and spins. On matrices of some hundred rows it gains nothing, and beside
    other work it takes ten times as long.
    """
    import scipy.linalg  # noqa: F401  # it has a BLAS of its own, and only what is loaded can be limited
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield


_threads: int | None = None


def threads() -> int:
    """Return the number of threads that `use_threads` set; by default all available ones."""
    return _threads or available_threads()


@contextmanager
def single_threads(count: int) -> Iterator["Executor"]:
    """Yield an executor of `count` threads, in each of which torch computes on that thread alone."""
    import torch

    before = torch.get_num_threads()
    with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as executor:
        try:
            yield executor
        finally:
            torch.set_num_threads(before)  # torch also keeps the last number set, for threads that begin later
