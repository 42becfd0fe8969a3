"""How alike representations are: the plain result of `objectives.cka.estimator`. No torch here, as in `results`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Representation:
    """What a block makes of images. backbone: its name. timestep, draw: of the noise; an encoder's timestep is None."""

    backbone: str
    block: int
    timestep: int | None
    draw: int = 0


@dataclass(frozen=True)
class Similarity:
    """Unbiased linear CKA of each row with each column, on the same images.

    values: (rows, columns), at most about 1; about 0, and a little below too, where nothing is shared. None where a
    representation tells no image from another. errors: standard errors over minibatches, None of a single one.
    images: how many, in `batches` minibatches.
    """

    rows: tuple[Representation, ...]
    columns: tuple[Representation, ...]
    values: tuple[tuple[float | None, ...], ...]
    errors: tuple[tuple[float | None, ...], ...]
    images: int
    batches: int


@dataclass(frozen=True)
class Agreement:
    """Unbiased linear CKA of two noise draws of the same images, at each block and timestep.

    values, errors: (blocks, timesteps), as of a `Similarity`.
    """

    backbone: str
    blocks: tuple[int, ...]
    timesteps: tuple[int, ...]
    values: tuple[tuple[float | None, ...], ...]
    errors: tuple[tuple[float | None, ...], ...]
    images: int
    batches: int
