"""Products of float32 matrices by the library that is fastest on this processor.

torch multiplies matrices with MKL, which uses AVX-512 on Intel's processors alone. oneDNN, which comes with torch too,
uses it wherever it exists: on an AMD EPYC of 2024 it is twice as fast.
"""

from functools import cache

import torch
from torch.nn.functional import linear

_FEWEST = 2**22
"""Multiplications below which the conversion to oneDNN and back costs more than it saves."""

_MOST_COPIED = 2**28
"""Bytes of the largest matrix that is copied."""


def product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return left @ rightᵀ, (m, n), for left (m, k) and right (n, k). It is fastest if `right` is contiguous."""
    large = left.numel() * len(right) >= _FEWEST
    if large and right.is_contiguous() and left.dtype == torch.float32 and prefers_onednn(left.device.type):
        return linear(left.to_mkldnn(), right).to_dense()
    return left @ right.T


def transposed(matrix: torch.Tensor) -> torch.Tensor:
    """Return matrixᵀ: a contiguous copy where it makes products faster and takes little memory, else a view."""
    few = matrix.nbytes <= _MOST_COPIED
    return matrix.T.contiguous() if few and prefers_onednn(matrix.device.type) else matrix.T


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
