"""Products of float32 matrices by the library that is fastest on this processor.

torch multiplies matrices with MKL, which uses AVX-512 on Intel's processors alone. oneDNN, which comes with torch too,
uses it wherever it exists: on an AMD EPYC of 2024 it is twice as fast.
"""

from functools import cache

import torch
from torch.nn.functional import linear

from objectives.features.mapped_tensors import MEMORY_SHARE, free_memory
from objectives.heads.head import SLAB_BYTES

_FEWEST = 2**22
"""Multiplications below which the conversion to oneDNN and back costs more than it saves."""


def product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return left @ rightᵀ, (m, n), for left (m, k) and right (n, k). It is fastest if `right` is contiguous."""
    if _is_faster_with_onednn(left, right):
        return linear(left.to_mkldnn(), right).to_dense()
    return left @ right.T


def add_product(total: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> None:
    """Add left @ rightᵀ to `total`, (m, n), in place, with little more memory. left: (m, k). right: (n, k)."""
    if _is_faster_with_onednn(left, right):
        step = max(SLAB_BYTES // (total.element_size() * len(right)), 1)
        for rows, part in zip(total.split(step), left.split(step), strict=True):  # type: ignore[no-untyped-call]
            rows.add_(product(part, right))
    else:
        total.addmm_(left, right.T)


def transposed(matrix: torch.Tensor) -> torch.Tensor:
    """Return matrixᵀ: a contiguous copy where it makes products faster and memory has room for it, else a view."""
    if prefers_onednn(matrix.device.type) and matrix.nbytes <= MEMORY_SHARE * free_memory():
        return matrix.T.contiguous()
    return matrix.T


@cache
def prefers_onednn(device: str) -> bool:
    """Return whether oneDNN multiplies float32 matrices on a device faster than, or as fast as, torch does itself."""
    backends = torch.backends
    return (
        device == "cpu"
        and backends.mkl.is_available()  # type: ignore[no-untyped-call]
        and backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and backends.cpu.get_cpu_capability() == "AVX512"
    )


def _is_faster_with_onednn(left: torch.Tensor, right: torch.Tensor) -> bool:
    large = left.numel() * len(right) >= _FEWEST
    return large and right.is_contiguous() and left.dtype == torch.float32 and prefers_onednn(left.device.type)
