"""The feature cache: results of forward passes, with a key of everything they depend on. No pass is made twice.

    FOLDER/features/<source>/t0044-d0/      a folder of shards for one timestep and noise draw
    FOLDER/features/<source>/t0044-clean/   the same for a clean pass: images without noise, at a timestep
    FOLDER/pixels, latents/<kind>/          inputs of forward passes, also in shards

A column of a shard is one block, pooled to the finest grid of the space; coarser grids are exact averages of it. The
key of an image is the digest of its content, so subsets, other splits and other studies share forward passes.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Self, final

import numpy as np

from objectives.datasets.images import TRANSFORM
from objectives.features.cache.shard_folder import ShardFolder
from objectives.features.versions import changed
from spaces import Architecture

if TYPE_CHECKING:
    import torch

SCRATCH = "scratch"
"""The folder within the cache for tensors that are larger than memory."""


@dataclass(frozen=True, slots=True)
class Pass:
    """The key of forward passes: everything besides the image that determines their maps.

    source: one of the digests of a `Source`. timestep: None for an encoder of clean images. draw: the noise draw, from
    0; None for a clean pass of a diffusion network.
    """

    source: str
    timestep: int | None
    draw: int | None


@dataclass(frozen=True, slots=True)
class Source:
    """Digests of everything besides image and timestep on which the maps of a backbone depend, sha256 hex.

    noised: digest of backbone, precision, transform and, for a diffusion network, noise seed. clean: the same without
    the noise, for clean passes.
    """

    noised: str
    clean: str

    @classmethod
    def of(cls, backbone_digest: str, architecture: Architecture, seed: int) -> Self:
        """Return the digests for a backbone. seed: random seed for the noise."""
        parts = [backbone_digest, TRANSFORM, str(architecture.image_side)]
        noise = [f"noise seed {seed}", *(name for kind, name in changed().items() if kind == "noise")]
        return cls(_digest(*parts, *(noise if architecture.noised else [])), _digest(*parts))

    def passes(self, timestep: int | None, draws: int) -> list[Pass]:
        """Return the keys of the passes at a timestep for a number of noise draws; 0 means a clean pass."""
        if draws == 0:
            return [Pass(self.clean, timestep, None)]
        return [Pass(self.noised, timestep, draw) for draw in range(draws)]


def _digest(*parts: str) -> str:
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
    """Return the bytes that a forward pass takes in the cache. grids: block → grid that is kept."""
    return sum(2 * architecture.block(block).channels * grid**2 for block, grid in grids.items())


@lru_cache
def _grids(columns: frozenset[str]) -> Mapping[int, Sequence[int]]:
    """Return block → grids in a shard with such columns, coarsest first."""
    grids: dict[int, list[int]] = {}
    for name in columns:
        _, block, _, grid = name.split("-")
        grids.setdefault(int(block), []).append(int(grid))
    return {block: sorted(sizes) for block, sizes in grids.items()}


def deepest_block(columns: frozenset[str]) -> int:
    """Return the deepest block in a shard with such columns, at which its forward passes stopped."""
    return max(_grids(columns))


def column_for(columns: frozenset[str], block: int, size: int) -> str | None:
    """Return the smallest column whose exact average is the block pooled to `size`; None if there is none."""
    fitting = (grid for grid in _grids(columns).get(block, ()) if grid % size == 0)
    grid = next(fitting, None)
    return None if grid is None else Feature(block, grid).column


@final
@dataclass(frozen=True)
class FeatureCache:
    """The features in a cache folder.

    folder: the cache folder. It also has pixels, latents and more.
    """

    folder: Path
    _folders: dict[Pass, ShardFolder] = field(default_factory=dict, repr=False, compare=False)

    def folder_of(self, key: Pass) -> ShardFolder:
        """Return the folder of shards for a key."""
        if key not in self._folders:
            noise = "clean"
            if key.timestep is not None:
                noise = f"t{key.timestep:04d}-" + ("clean" if key.draw is None else f"d{key.draw}")
            self._folders[key] = ShardFolder(self.folder / "features" / key.source[:16] / noise)
        return self._folders[key]

    def folders(self) -> list[Path]:
        """Return the folders of all passes with which `folder_of` was called so far."""
        return [folder.folder for folder in self._folders.values()]

    def missing(self, key: Pass, images: np.ndarray, grids: Mapping[int, int]) -> np.ndarray:
        """Return which blocks are missing for which images: bool (images, blocks in the order of `grids`).

        images: keys. grids: block → grid. The result is as of the last `ShardFolder.refresh`.
        """
        folder = self.folder_of(key)
        missing = np.ones((len(images), len(grids)), bool)
        for columns in folder.columns():
            present = np.array([column_for(columns, block, grid) is not None for block, grid in grids.items()], bool)
            if present.any():
                _, where, _ = folder.locate(images, columns.__eq__)
                missing &= ~np.outer(where >= 0, present)
        return missing

    def read_into(self, result: "torch.Tensor", passes: Sequence[Pass], images: np.ndarray, block: int) -> bool:
        """Average a block over passes, pool it to p, and write it into `result`, float32 (n, c, p, p).

        Returns False if a feature is missing or damaged. result: may be a part of a larger tensor. Shards are read one
        by one, so no more than one shard takes memory in addition.
        """
        from objectives.features.pooling import pool

        size = result.shape[-1]
        for key in passes:
            count = 0
            for positions, values in self.folder_of(key).read(images, lambda columns: column_for(columns, block, size)):
                rows = _slice(positions)
                pooled = values if values.shape[-1] == size else pool(values.float(), size)
                if key != passes[0]:
                    result[rows] += pooled
                elif isinstance(rows, slice):
                    result[rows] = pooled
                else:
                    result[rows] = pooled.float()
                count += len(positions)
            if count < len(images):
                return False
        if len(passes) > 1:
            result.div_(len(passes))
        return True


def _slice(positions: np.ndarray) -> "slice | torch.Tensor":
    """Return consecutive positions as a slice, because copying into a slice is faster."""
    import torch

    if positions[-1] - positions[0] + 1 == len(positions) and bool((np.diff(positions) == 1).all()):
        return slice(int(positions[0]), int(positions[-1]) + 1)
    return torch.from_numpy(positions)
