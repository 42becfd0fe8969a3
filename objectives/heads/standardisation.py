"""Standardisation of features by the training images, part by part, because features may be larger than memory."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from objectives.features.mapped_tensors import large_empty
from objectives.heads.head import SLAB_BYTES, LabelledFeatures


@dataclass(frozen=True)
class Standardiser:
    """Subtracts each feature's mean and divides by its standard deviation; of a constant feature it only subtracts.

    mean, scale: (d,), of the features' type.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    @classmethod
    def of(cls, train: LabelledFeatures) -> "Standardiser":
        """Compute the mean and the standard deviation of the training features, with the images' weights.

        The moments of slabs are merged in float64 by the formulas of Chan, Golub and LeVeque 1983.
        """
        count, (_, features), weights = 0.0, train.shape, train.weights
        mean, squares = torch.zeros(2, features, dtype=torch.float64, device=train.labels.device)
        for rows in train.slabs():
            weight, variance, slab_mean = _moments(train.flat(rows), None if weights is None else weights[rows])
            shift = slab_mean - mean
            squares += weight * variance + shift.square() * (count * weight / (count + weight))
            mean += shift * (weight / (count + weight))
            count += weight
        scale = (squares / count).sqrt()
        constant = scale <= 1e-6 * mean.abs()  # a constant's deviation is rounding error
        dtype = train.features.dtype
        return cls(mean.to(dtype), scale.masked_fill(constant, 1).to(dtype))

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Standardise features (n, d)."""
        return (features - self.mean).div_(self.scale)

    def for_columns(self, columns: slice) -> "Standardiser":
        """Return the standardiser of some of the d features."""
        return Standardiser(self.mean[columns], self.scale[columns])


@dataclass(frozen=True)
class Standardised:
    """The standardised features of `data`, (n, d), computed part by part when they are read."""

    data: LabelledFeatures
    standardiser: Standardiser

    @property
    def shape(self) -> tuple[int, int]:
        return self.data.shape

    def slabs(self) -> Iterator[tuple[slice, torch.Tensor]]:
        """Yield the standardised features part by part: a slice of the n images, and their features (k, d)."""
        for rows in self.data.slabs():
            yield rows, self.standardiser(self.data.flat(rows))

    def strip(self, columns: slice) -> torch.Tensor:
        """Return some standardised features of all images, (n, k)."""
        return self.standardiser.for_columns(columns)(self.data.strip(columns))

    def empty(self, columns: int) -> torch.Tensor:
        """Return an uninitialised (n, columns) tensor of the features' type and device; a large one is in a file."""
        shape, device, dtype = (self.shape[0], columns), self.standardiser.mean.device, self.standardiser.mean.dtype
        if device.type == "cpu":
            return large_empty(shape, self.data.scratch, dtype)
        return torch.empty(shape, device=device, dtype=dtype)


def _moments(slab: torch.Tensor, weights: torch.Tensor | None) -> tuple[float, torch.Tensor, torch.Tensor]:
    """Return the total weight of images (k, d), and each feature's variance and mean, float64 (d,)."""
    if weights is None:
        variance, mean = torch.var_mean(slab, dim=0, correction=0)
        return len(slab), variance.double(), mean.double()
    total, slab = weights.sum(), slab.double()
    mean = weights @ slab / total
    return float(total), weights @ (slab - mean).square_() / total, mean


def strips(*parts: Standardised) -> Iterator[slice]:
    """Yield slices of the d features, in order. All images' values of one slice take at most about `SLAB_BYTES`.

    parts: standardised features of the same d. The one with the most images decides.
    """
    rows, columns = max(part.shape[0] for part in parts), parts[0].shape[1]
    step = max(SLAB_BYTES // (torch.float32.itemsize * rows), 1)
    for start in range(0, columns, step):
        yield slice(start, min(start + step, columns))
