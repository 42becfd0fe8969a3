"""Unbiased linear CKA by minibatches (Nguyen, Raghu and Kornblith 2021, arXiv 2010.15327, section 3.1).

Linear CKA measures whether images that are similar in one representation are also similar in another. Rotating or
scaling the features does not change it (Kornblith et al. 2019). The usual estimate is near 1 for any two
representations with more features than images. This estimate uses unbiased HSIC (Song et al. 2012), and is 0 on average
for independent representations.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch

MIN_BATCH = 4
"""The smallest number of images in a minibatch for which the estimate exists."""

BATCH = 256
"""The approximate number of images in a minibatch."""


def parts_of(images: int, batch: int) -> list[slice]:
    """Divide the images into minibatches of about `batch` images, with sizes that differ by one at most.

    Raises ValueError for fewer than `MIN_BATCH` images.
    """
    if images < MIN_BATCH:
        raise ValueError(f"a comparison takes at least {MIN_BATCH} images, got {images}")
    count = min(-(-images // batch), images // MIN_BATCH)
    bounds = [images * part // count for part in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(bounds)]


def u_centred(features: torch.Tensor) -> torch.Tensor:
    """Return the U-centred Gram matrix of n images, (n, n) (Székely and Rizzo 2014, equation 2.2).

    The diagonal is zero, and every row and column sums to zero. HSIC_1 of two representations (Nguyen et al. 2021,
    equation 3) is the sum of the element-wise product of their matrices, divided by n (n − 3). features: float (n, …).
    """
    rows = features.flatten(1)
    rows = rows - rows.mean(dim=0)  # the result stays the same, but float32 adds and subtracts smaller numbers
    n, gram = len(rows), rows @ rows.T
    gram.fill_diagonal_(0)
    sums = gram.sum(dim=0)
    gram -= sums[:, None] / (n - 2)
    gram -= sums[None, :] / (n - 2)
    gram += sums.sum() / ((n - 1) * (n - 2))
    return gram.fill_diagonal_(0)


@dataclass(frozen=True)
class Cka:
    """The CKA of m representations.

    hsic: float64 (batches, m, m), HSIC_1 of each pair of representations in each minibatch.
    """

    hsic: np.ndarray

    @cached_property
    def values(self) -> np.ndarray:
        """The CKA of each pair, (m, m) (Nguyen et al. 2021, equation 2); NaN for a constant representation."""
        return _ratio(self.hsic.mean(axis=0))

    @cached_property
    def errors(self) -> np.ndarray:
        """The standard errors of `values`, (m, m), by the jackknife over minibatches; NaN for one minibatch.

        Minibatches share no image, so their errors are independent.
        """
        count = len(self.hsic)
        if count < 2:
            return np.full(self.hsic.shape[1:], np.nan)
        total = self.hsic.sum(axis=0)
        without = np.stack([_ratio((total - batch) / (count - 1)) for batch in self.hsic])
        spread: np.ndarray = (without - without.mean(axis=0)) ** 2
        return np.asarray(np.sqrt((count - 1) / count * spread.sum(axis=0)))


def cka(representations: Iterable[torch.Tensor], batch: int = BATCH) -> Cka:
    """Estimate the CKA of each pair of representations.

    representations: m tensors, read one at a time, each float (n, …) for the same n images in the same random order.
    (batches, batch, batch) numbers are kept for each. batch: images in a minibatch; n or more for one minibatch.

    Raises ValueError for representations of different numbers of images, and as `parts_of` does.
    """
    parts: list[slice] = []
    kept: list[list[torch.Tensor]] = []
    images = 0
    for features in representations:
        if not kept:
            images, parts = len(features), parts_of(len(features), batch)
            kept = [[] for _ in parts]
        if len(features) != images:
            raise ValueError(f"representations must be of the same images, got {images} and {len(features)} images")
        for part, matrices in zip(parts, kept, strict=True):
            matrices.append(u_centred(features[part]))
    return Cka(np.stack([_hsic(matrices) for matrices in kept]))


def _hsic(matrices: list[torch.Tensor]) -> np.ndarray:
    """Return HSIC_1 of each pair in one minibatch, (m, m)."""
    n = len(matrices[0])
    count = len(matrices)
    products = torch.zeros(count, count, dtype=torch.float64)
    # Process some rows at a time: a copy of all matrices would not fit into memory if the minibatch has all images.
    step = max(2**24 // n, 1)
    for start in range(0, n, step):
        rows = torch.stack([matrix[start : start + step].flatten() for matrix in matrices])
        products += (rows @ rows.T).double()
    return np.asarray(products.numpy() / (n * (n - 3)))


def _ratio(hsic: np.ndarray) -> np.ndarray:
    """Divide each HSIC by the root of the product of the two representations' own; NaN if that is not positive."""
    own = np.diagonal(hsic)
    scale = np.sqrt(np.where(own > 0, own, np.nan))
    return np.asarray(hsic / np.outer(scale, scale))
