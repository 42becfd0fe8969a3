"""Products are those of torch, whichever library computes them."""

import pytest
import torch

from objectives.heads.products import add_product, prefers_onednn, product, transposed

SHAPES = {
    "small": (3, 7, 5),
    "one row": (1, 3000, 2000),
    "large": (50, 700, 600),
    "many rows": (5000, 100, 3000),
    "square": (300, 300, 300),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_product_equals_that_in_float64(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    m, k, n = shape
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(rows, k, generator=generator, dtype=dtype) for rows in (m, n))
    expected = left.double() @ right.double().T
    error = 1e-5 if dtype == torch.float32 else 1e-13
    for second in (right, right.T.contiguous().T, torch.cat([right, right], dim=1)[:, :k]):
        result = product(left, second)
        assert (result.dtype, result.shape, result.layout) == (dtype, (m, n), torch.strided)
        assert float((result - expected).abs().max()) <= error * float(expected.abs().max())
        total = torch.ones(m, n, dtype=dtype)
        add_product(total, left, second)
        assert float((total - 1 - expected).abs().max()) <= 2 * error * float(expected.abs().max())


def test_the_factors_stay_as_they_are_and_the_result_is_new_memory() -> None:
    left, right = torch.ones(64, 512), torch.ones(512, 512)
    product(left, right).zero_()
    assert bool((left == 1).all())
    assert bool((right == 1).all())


def test_a_transposed_matrix_is_copied_only_where_that_makes_products_faster() -> None:
    matrix = torch.arange(12.0).reshape(3, 4)
    turned = transposed(matrix)
    assert torch.equal(turned, matrix.T)
    assert turned.is_contiguous() == prefers_onednn("cpu")
    huge = torch.empty(1).expand(2**22, 2**20)  # 16 TiB if it had memory
    assert transposed(huge).shape == (2**20, 2**22)
    assert not transposed(huge).is_contiguous()
