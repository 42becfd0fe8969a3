"""Similarities of representations (CKA), as plain results."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Representation:
    """The features of one block of a network.

    backbone: the network's name. block: 1-based.
    timestep, draw: the noise that the images got; the timestep of an encoder of clean images is None.
    """

    backbone: str
    block: int
    timestep: int | None
    draw: int = 0


@dataclass(frozen=True)
class Similarity:
    """Unbiased linear CKA of each row with each column, on the same images (see `objectives.cka.estimator`).

    values: (rows, columns), at most about 1. Unrelated representations have values around 0, which may be negative. A
    value is None if a representation is the same for all images.
    errors: standard errors over the minibatches, of the shape of `values`; None for a single minibatch.
    images: the number of images, in `batches` minibatches.
    """

    rows: tuple[Representation, ...]
    columns: tuple[Representation, ...]
    values: tuple[tuple[float | None, ...], ...]
    errors: tuple[tuple[float | None, ...], ...]
    images: int
    batches: int


@dataclass(frozen=True)
class DrawSimilarity:
    """Unbiased linear CKA of the features of two noise draws of the same images, at each block and timestep.

    values, errors: (blocks, timesteps), as in a `Similarity`.
    """

    backbone: str
    blocks: tuple[int, ...]
    timesteps: tuple[int, ...]
    values: tuple[tuple[float | None, ...], ...]
    errors: tuple[tuple[float | None, ...], ...]
    images: int
    batches: int
