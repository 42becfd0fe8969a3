"""The processors that this process may use."""

import ctypes
from functools import cache
from importlib.metadata import version
from pathlib import Path


@cache
def available_cores() -> int:
    """Return how many CPU cores this process may use, by its affinity and its cgroup's quota; at least 1."""
    import joblib

    return int(joblib.cpu_count())


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


def use_threads(count: int) -> None:
    """Set the number of CPU threads of this process: those of torch, and those that decode images and make noise."""
    import torch

    global _threads  # noqa: PLW0603
    torch.set_num_threads(count)
    _threads = count


_threads: int | None = None


def threads() -> int:
    """Return the number of threads that `use_threads` set; by default one for each available core."""
    return _threads or available_cores()
