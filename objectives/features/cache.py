"""The feature cache: the results of forward passes, found again by what they were made from. No pass is made twice.

    FOLDER/features/<source>/t0044-d0/   a folder of shards for each pass: its timestep and noise draw
    FOLDER/pixels, latents/<kind>/       what passes read, kept the same way

A column of a shard is one block, pooled to the finest grid that was asked for; coarser pools follow exactly. Images
go by their content, so whatever shares images shares their passes: a subset, another split, another study.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, final

import numpy as np

from objectives.datasets.images import TRANSFORM
from objectives.features.shard_folder import ShardFolder
from spaces import Architecture

if TYPE_CHECKING:
    import torch

SCRATCH = "scratch"
"""Folder of the cache for what is larger than memory."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What determines the maps of a forward pass, besides the image.

    source: digest of backbone, precision, transform and noise seed. timestep: None where no noise is added.
    """

    source: str
    timestep: int | None
    draw: int


def source_digest(backbone_digest: str, architecture: Architecture, seed: int) -> str:
    """The `source` of all passes of a backbone, sha256 hex: the same for any images. seed: that of the noise."""
    noise = (f"noise seed {seed}",) if architecture.noised else ()
    parts = (backbone_digest, TRANSFORM, str(architecture.image_side), *noise)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Feature:
    """A block pooled to a grid: one column of a shard."""

    block: int
    grid: int

    @property
    def column(self) -> str:
        return f"block-{self.block}-grid-{self.grid}"


def image_bytes(architecture: Architecture, grids: Mapping[int, int]) -> int:
    """The bytes that one pass of one image takes in the cache. grids: block → grid of what it keeps."""
    return sum(2 * architecture.block(block).channels * grid**2 for block, grid in grids.items())


@lru_cache
def _grids(columns: frozenset[str]) -> Mapping[int, Sequence[int]]:
    """Block → the grids at which a shard with such columns holds it, coarsest first."""
    grids: dict[int, list[int]] = {}
    for name in columns:
        _, block, _, grid = name.split("-")
        grids.setdefault(int(block), []).append(int(grid))
    return {block: sorted(sizes) for block, sizes in grids.items()}


def deepest_block(columns: frozenset[str]) -> int:
    """The deepest block in a shard with such columns: how far its passes went."""
    return max(_grids(columns))


def column_for(columns: frozenset[str], block: int, size: int) -> str | None:
    """The smallest column from which the block pooled to `size` follows exactly."""
    fitting = (grid for grid in _grids(columns).get(block, ()) if grid % size == 0)
    grid = next(fitting, None)
    return None if grid is None else Feature(block, grid).column


@final
@dataclass(frozen=True)
class FeatureCache:
    """folder: the cache folder; features are a part of it."""

    folder: Path
    _folders: dict[Pass, ShardFolder] = field(default_factory=dict, repr=False, compare=False)

    def at(self, key: Pass) -> ShardFolder:
        if key not in self._folders:
            noise = "clean" if key.timestep is None else f"t{key.timestep:04d}-d{key.draw}"
            self._folders[key] = ShardFolder(self.folder / "features" / key.source[:16] / noise)
        return self._folders[key]

    def folders(self) -> list[Path]:
        """The folders of all passes that were asked for so far."""
        return [folder.folder for folder in self._folders.values()]

    def missing(self, key: Pass, images: np.ndarray, grids: Mapping[int, int]) -> np.ndarray:
        """Which blocks are missing for which images: bool (images, blocks in the order of `grids`).

        images: keys. grids: block → grid. The answer is as of the last `ShardFolder.refresh`.
        """
        folder = self.at(key)
        missing = np.ones((len(images), len(grids)), bool)
        for columns in folder.columns():
            given = np.array([column_for(columns, block, grid) is not None for block, grid in grids.items()], bool)
            if given.any():
                _, where, _ = folder.locate(images, columns.__eq__)
                missing &= ~np.outer(where >= 0, given)
        return missing

    def read_into(self, result: "torch.Tensor", passes: Sequence[Pass], images: np.ndarray, block: int) -> bool:
        """The block averaged over passes into float32 (n, c, p, p), pooled to p; False where some is absent or damaged.

        result: may be a part of a larger tensor. Shards are read one by one, so that no more than one is held besides.
        """
        from objectives.features.pooling import pool

        size = result.shape[-1]
        for key in passes:
            found = 0
            for positions, values in self.at(key).read(images, lambda columns: column_for(columns, block, size)):
                rows = _slice(positions)
                pooled = values if values.shape[-1] == size else pool(values.float(), size)
                if key != passes[0]:
                    result[rows] += pooled
                elif isinstance(rows, slice):
                    result[rows] = pooled
                else:
                    result[rows] = pooled.float()
                found += len(positions)
            if found < len(images):
                return False
        if len(passes) > 1:
            result.div_(len(passes))
        return True


def _slice(positions: np.ndarray) -> "slice | torch.Tensor":
    """Consecutive positions as a slice, into which a copy is faster."""
    import torch

    if positions[-1] - positions[0] + 1 == len(positions) and bool((np.diff(positions) == 1).all()):
        return slice(int(positions[0]), int(positions[-1]) + 1)
    return torch.from_numpy(positions)
