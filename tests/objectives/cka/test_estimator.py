"""CKA against a computation of all images at once that is written out of the paper, and by its laws."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from objectives.cka.estimator import BATCH, cka, parts_of, u_centred

Array = np.ndarray


def hsic_1(one: Array, other: Array) -> float:
    """Song et al. 2012, equation 5, term by term, of Gram matrices."""
    n, ones = len(one), np.ones(len(one))
    k, l = (matrix - np.diag(np.diag(matrix)) for matrix in (one, other))  # noqa: E741
    total = np.trace(k @ l) + (ones @ k @ ones) * (ones @ l @ ones) / ((n - 1) * (n - 2))
    return float((total - 2 / (n - 2) * (ones @ k @ l @ ones)) / (n * (n - 3)))


def plain(representations: list[Array]) -> Array:
    """Return the CKA of each pair of representations, from all images at once."""
    grams = [each @ each.T for each in representations]
    hsic = np.array([[hsic_1(one, other) for other in grams] for one in grams])
    return np.asarray(hsic / np.sqrt(np.outer(np.diag(hsic), np.diag(hsic))))


def drawn(n: int, widths: tuple[int, ...], seed: int = 0, shared: float = 1.0) -> list[Array]:
    """Representations of what they share, each turned its own way, and of what is their own."""
    generator = np.random.default_rng(seed)
    common = generator.normal(size=(n, 5))
    return [
        shared * common @ generator.normal(size=(5, width)) + generator.normal(size=(n, width)) + 3 for width in widths
    ]


def tensors(representations: list[Array], dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    return [torch.tensor(each, dtype=dtype) for each in representations]


@pytest.mark.parametrize(("n", "widths"), [(60, (3, 40, 500)), (257, (8, 64)), (4, (2, 9))])
def test_of_all_images_at_once_it_is_what_the_paper_says(n: int, widths: tuple[int, ...]) -> None:
    representations = drawn(n, widths)
    assert np.abs(cka(tensors(representations), batch=n).values - plain(representations)).max() < 1e-6


def test_a_minibatch_is_of_its_images_and_the_whole_a_ratio_of_means() -> None:
    representations = drawn(90, (6, 30))
    found = cka(tensors(representations), batch=30)
    grams = [[each[at : at + 30] @ each[at : at + 30].T for each in representations] for at in (0, 30, 60)]
    hsic = np.mean([[[hsic_1(one, other) for other in batch] for one in batch] for batch in grams], axis=0)
    assert found.values == pytest.approx(hsic / np.sqrt(np.outer(np.diag(hsic), np.diag(hsic))), abs=1e-6)


def test_float32_comes_to_the_same() -> None:
    representations = drawn(300, (64, 4000))
    exact = cka(tensors(representations), batch=100).values
    assert np.abs(cka(tensors(representations, torch.float32), batch=100).values - exact).max() < 1e-5


def test_means_of_minibatches_come_to_that_of_all_images() -> None:
    """HSIC_1 has no bias: over many partitions its mean is that of all images at once."""
    representations, generator = drawn(48, (4, 12), shared=0.7), np.random.default_rng(1)
    whole = cka(tensors(representations), batch=48).hsic[0]
    found = []
    for _ in range(400):
        order = generator.permutation(48)
        found.append(cka(tensors([each[order] for each in representations]), batch=8).hsic.mean(axis=0))
    error = np.std(found, axis=0) / len(found) ** 0.5
    assert (np.abs(np.mean(found, axis=0) - whole) < 4 * error).all()


def test_what_shares_nothing_is_not_alike_however_wide_it_is() -> None:
    """The usual estimate is close to 1 here."""
    wide = drawn(64, (4000, 4000), shared=0.0)
    centred = [each - each.mean(axis=0) for each in wide]
    grams = [each @ each.T for each in centred]
    usual = (grams[0] * grams[1]).sum() / np.sqrt((grams[0] ** 2).sum() * (grams[1] ** 2).sum())
    assert usual > 0.9
    assert abs(cka(tensors(wide), batch=64).values[0, 1]) < 0.05


def test_errors_tell_how_far_minibatches_stray() -> None:
    everything = drawn(4000, (6, 9), shared=0.5)
    truth = cka(tensors(everything), batch=4000).values[0, 1]
    held = 0
    for seed in range(60):
        rows = np.random.default_rng(seed).permutation(4000)[:240]
        found = cka(tensors([each[rows] for each in everything]), batch=20)
        held += abs(found.values[0, 1] - truth) < 1.96 * found.errors[0, 1]
    assert 48 <= held <= 60
    assert np.isnan(cka(tensors(drawn(40, (3, 4))), batch=40).errors).all()


def test_what_tells_no_image_from_another_has_no_similarity() -> None:
    representations = [*tensors(drawn(40, (5,))), torch.ones(40, 3, dtype=torch.float64)]
    values = cka(representations, batch=20).values
    assert values[0, 0] == pytest.approx(1)
    assert np.isnan(values[1]).all()
    assert np.isnan(values[:, 1]).all()


@given(
    n=st.integers(8, 40), width=st.integers(1, 12), other=st.integers(1, 12), seed=st.integers(0, 2**31),
    scale=st.floats(1e-3, 1e3), batch=st.integers(8, 50),
)  # fmt: skip
def test_laws(n: int, width: int, other: int, seed: int, scale: float, batch: int) -> None:
    representations = drawn(n, (width, other), seed)
    values = cka(tensors(representations), batch).values
    assert values == pytest.approx(values.T, abs=1e-9)
    assert np.diag(values) == pytest.approx(1)
    assert (np.abs(values) <= 1 + 1e-9).all() or batch < n  # Cauchy and Schwarz bound one batch, not a ratio of means
    turned, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(width, width)))
    again = [scale * representations[0] @ turned + 5, representations[1]]
    assert cka(tensors(again), batch).values == pytest.approx(values, abs=1e-6)


@given(st.integers(4, 3000), st.integers(4, 400))
def test_no_image_is_left_out_and_minibatches_are_of_one_size(images: int, batch: int) -> None:
    parts = parts_of(images, batch)
    assert [part.start for part in parts[1:]] == [part.stop for part in parts[:-1]]
    assert (parts[0].start, parts[-1].stop) == (0, images)
    sizes = [part.stop - part.start for part in parts]
    assert max(sizes) <= max(batch, 7)  # of 7 images in minibatches of 4 there is one
    assert min(sizes) >= 4
    assert max(sizes) - min(sizes) <= 1


def test_a_u_centred_matrix_sums_to_zero_along_each_row() -> None:
    (features,) = tensors(drawn(30, (7,)))
    matrix = u_centred(features)
    assert matrix.diagonal().abs().max() == 0
    assert matrix.sum(dim=0).abs().max() < 1e-9
    assert torch.allclose(matrix, matrix.T, atol=1e-12)


@pytest.mark.parametrize(
    ("representations", "batch", "message"),
    [
        ([torch.zeros(3, 2)], BATCH, "a comparison takes at least 4 images, got 3"),
        ([torch.zeros(9, 2), torch.zeros(8, 2)], BATCH, "representations must be of the same images, got 9 and 8"),
    ],
)
def test_what_cannot_be_compared_is_refused(representations: list[torch.Tensor], batch: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cka(representations, batch)
