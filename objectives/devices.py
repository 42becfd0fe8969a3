"""The processors on which torch computes."""

import ctypes
from importlib.metadata import version


def gpu_count() -> int:
    """Return the number of GPUs that torch can use. Without a GPU driver, torch is not imported."""
    build = version("torch").partition("+")[2]
    if build == "cpu" or (not build.startswith("rocm") and not _has_cuda_driver()):
        return 0
    import torch

    return torch.cuda.device_count()


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
    """Set the number of CPU threads that torch uses in this process."""
    import torch

    torch.set_num_threads(count)
