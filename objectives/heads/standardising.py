"""Features standardised by the training images, a part at a time: there may be more of them than memory."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from objectives.features.mapped_tensors import large_empty
from objectives.heads.head import SLAB_BYTES, LabelledFeatures


@dataclass(frozen=True)
class Standardiser:
    """Each feature less its mean, over its standard deviation; a constant one only less its mean. mean, scale: (d,)."""

    mean: torch.Tensor
    scale: torch.Tensor

    @classmethod
    def of(cls, train: LabelledFeatures) -> "Standardiser":
        """Of the training images' features, by their weights. Slabs are joined as Chan, Golub and LeVeque 1983 do, in
        float64.

        It has the features' type, and so has all that is computed from what it standardises."""
        count, (_, features), weights = 0.0, train.shape, train.weights
        mean, squares = torch.zeros(2, features, dtype=torch.float64, device=train.labels.device)
        for rows in train.slabs():
            more, variance, middle = _moments(train.flat(rows), None if weights is None else weights[rows])
            away = middle - mean
            squares += more * variance + away.square() * (count * more / (count + more))
            mean += away * (more / (count + more))
            count += more
        scale = (squares / count).sqrt()
        constant = scale <= 1e-6 * mean.abs()  # what rounding leaves of a constant
        kind = train.features.dtype
        return cls(mean.to(kind), scale.masked_fill(constant, 1).to(kind))

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        return (features - self.mean).div_(self.scale)

    def only(self, columns: slice) -> "Standardiser":
        return Standardiser(self.mean[columns], self.scale[columns])


@dataclass(frozen=True)
class Standardised:
    """The features of `data`, (n, d), by a standardiser."""

    data: LabelledFeatures
    by: Standardiser

    @property
    def shape(self) -> tuple[int, int]:
        return self.data.shape

    def slabs(self) -> Iterator[tuple[slice, torch.Tensor]]:
        """Some rows at a time, (k, d)."""
        for rows in self.data.slabs():
            yield rows, self.by(self.data.flat(rows))

    def strip(self, columns: slice) -> torch.Tensor:
        """Some columns, (n, k)."""
        return self.by.only(columns)(self.data.strip(columns))

    def empty(self, columns: int) -> torch.Tensor:
        """Uninitialised (n, columns) beside the features, of their type; in a file where it is large."""
        shape, device, kind = (self.shape[0], columns), self.by.mean.device, self.by.mean.dtype
        if device.type == "cpu":
            return large_empty(shape, self.data.scratch, kind)
        return torch.empty(shape, device=device, dtype=kind)


def _moments(slab: torch.Tensor, weights: torch.Tensor | None) -> tuple[float, torch.Tensor, torch.Tensor]:
    """What images (k, d) weigh together, and each feature's variance and mean, float64 (d,)."""
    if weights is None:
        variance, mean = torch.var_mean(slab, dim=0, correction=0)
        return len(slab), variance.double(), mean.double()
    total, slab = weights.sum(), slab.double()
    mean = weights @ slab / total
    return float(total), weights @ (slab - mean).square_() / total, mean


def strips(*sides: Standardised) -> Iterator[slice]:
    """Columns to take of all sides at a time."""
    rows, columns = max(side.shape[0] for side in sides), sides[0].shape[1]
    step = max(SLAB_BYTES // (torch.float32.itemsize * rows), 1)
    for start in range(0, columns, step):
        yield slice(start, min(start + step, columns))
