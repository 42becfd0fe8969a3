"""Tensors larger than memory: they lie in a file that is gone with the process, and the system pages them."""

import os
import tempfile
from pathlib import Path

import psutil
import torch

SHARE = 0.25
"""Of the memory that is free now: a tensor that takes more goes to a file. A head needs a few of its size at once."""


def large_empty(shape: tuple[int, ...], folder: Path) -> torch.Tensor:
    """An uninitialised float32 tensor; where it is large, mapped from an unnamed file in `folder`.

    Raises OSError where that file cannot be made or the disk has no room for it.
    """
    size = torch.float32.itemsize * torch.Size(shape).numel()
    if size <= SHARE * psutil.virtual_memory().available:
        return torch.empty(shape)
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=folder, prefix="scratch-")
    try:
        os.posix_fallocate(handle, 0, size)  # room is refused now, not by a signal while the pages are written
        return torch.from_file(name, shared=True, size=size // torch.float32.itemsize).reshape(shape)
    finally:
        os.close(handle)
        Path(name).unlink()
