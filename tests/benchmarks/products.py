"""How fast float32 matrices are multiplied on one core: by torch itself, and by `objectives.heads.products`.

    python tests/benchmarks/products.py

Shapes are those of the fits of the linear heads: (classes, features) × (features, images).
"""

import time
from collections.abc import Callable

import torch

from objectives.heads.products import prefers_onednn, product

SHAPES = ((10, 448, 1200), (50, 1200, 1200), (250, 1200, 1500), (1500, 1280, 1500))
OPERATIONS, REPEATS = 2e9, 7


def fastest(multiply: Callable[[], torch.Tensor], times: int) -> float:
    """Return the seconds of one product: of the fastest of several rounds."""
    multiply()
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        for _ in range(times):
            multiply()
        seconds.append((time.perf_counter() - began) / times)
    return min(seconds)


def main() -> None:
    torch.set_num_threads(1)
    print(f"oneDNN is used: {prefers_onednn('cpu')}\n\n{'shape':>20} {'torch':>8} {'product':>8}  GFLOP/s")
    for m, k, n in SHAPES:
        left, right = torch.randn(m, k), torch.randn(n, k)
        operations = 2 * m * k * n
        times = max(int(OPERATIONS / operations), 1)
        rates = [
            operations / fastest(multiply, times) / 1e9
            for multiply in (lambda: left @ right.T, lambda: product(left, right))  # noqa: B023
        ]
        print(f"{f'{m} x {k} x {n}':>20} {rates[0]:8.0f} {rates[1]:8.0f}")


if __name__ == "__main__":
    main()
