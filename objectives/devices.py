"""The processors that torch computes on."""

import ctypes
from importlib.metadata import version


def gpu_count() -> int:
    """GPUs that torch can use on this machine. Where there can be none torch is not imported to say so."""
    build = version("torch").partition("+")[2]
    if build == "cpu" or (not build.startswith("rocm") and not _has_cuda_driver()):
        return 0
    import torch

    return torch.cuda.device_count()


def _has_cuda_driver() -> bool:
    """Whether NVIDIA's driver library can be loaded, without which torch finds no CUDA device."""
    for name in ("libcuda.so.1", "nvcuda.dll"):
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return True
    return False


def use_threads(count: int) -> None:
    """Set how many CPU threads torch uses from now on in this process."""
    import torch

    torch.set_num_threads(count)
