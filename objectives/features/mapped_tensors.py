"""Tensors larger than memory, in files that the operating system pages, and that end with the process."""

import errno
import os
import resource
import shutil
import tempfile
from pathlib import Path

import psutil
import torch

from objectives.features.cache.shards import explaining_full_disk

MEMORY_SHARE = 0.25
"""Share of the free memory above which a tensor is mapped from a file. A head needs several tensors at once."""


def free_memory() -> int:
    """Return the bytes that this process can take: the machine's free memory, within the limit of `ulimit -d`."""
    free = psutil.virtual_memory().available
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    if limit != resource.RLIM_INFINITY:
        free = min(free, limit - psutil.Process().memory_info().data)
    return max(free, 0)


def large_empty(shape: tuple[int, ...], folder: Path, kind: torch.dtype = torch.float32) -> torch.Tensor:
    """Return an uninitialised tensor. A large one is mapped from an unnamed file in `folder`.

    Raises CacheError if the file cannot be made or the disk has no room for it.
    """
    count = torch.Size(shape).numel()
    size = kind.itemsize * count
    if size <= MEMORY_SHARE * free_memory():
        return torch.empty(shape, dtype=kind)
    with explaining_full_disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if size > shutil.disk_usage(folder).free:  # an attempt would fill the disk for all programs
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        handle, name = tempfile.mkstemp(dir=folder, prefix="scratch-")
        try:
            if hasattr(os, "posix_fallocate"):  # macOS has none
                os.posix_fallocate(handle, 0, size)  # fails now, instead of a signal while pages are written
            return torch.from_file(name, shared=True, size=count, dtype=kind).reshape(shape)
        finally:
            os.close(handle)
            Path(name).unlink()
