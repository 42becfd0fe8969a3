"""Fill the cache by as few passes as can be, together with whoever else is filling it; read features back."""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import final

import numpy as np
import torch

from objectives.backbones.backbone import Backbone
from objectives.datasets.catalog import Dataset
from objectives.datasets.images import TRANSFORM, square_pixels
from objectives.features.cache import FeatureCache, Pass, read_tensor, write_tensor
from objectives.features.noise import noise_for
from objectives.features.pooling import pool
from objectives.results import Extracted

CHUNK = 256
BATCH = 64
POLL_SECONDS = 0.05


@dataclass(frozen=True, eq=False)
class Chunk:
    """Images that are passed, stored and claimed together. indices: into the dataset, int64, at most `CHUNK`."""

    indices: np.ndarray
    digest: str


def chunks_of(dataset: Dataset, indices: np.ndarray) -> tuple[Chunk, ...]:
    """Consecutive chunks of the given images."""
    chunks = []
    for start in range(0, len(indices), CHUNK):
        part = indices[start : start + CHUNK]
        digests = " ".join(dataset.images.digest(int(i)) for i in part)
        chunks.append(Chunk(part, hashlib.sha256(digests.encode()).hexdigest()))
    return tuple(chunks)


@dataclass
class Clock:
    """Where the seconds of one evaluation went, by phase, and the passes it made."""

    seconds: dict[str, float] = field(default_factory=dict)
    passes: int = 0

    def add(self, phase: str, since: float) -> None:
        self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - since


@final
@dataclass(frozen=True)
class Extractor:
    """grids: block → grid, everything that one pass should leave in the cache. seed: of the noise."""

    backbone: Backbone
    dataset: Dataset
    folder: Path
    grids: Mapping[int, int]
    seed: int

    @cached_property
    def _cache(self) -> FeatureCache:
        return FeatureCache(self.folder / "features")

    @cached_property
    def _source(self) -> str:
        side = self.backbone.architecture.image_side
        parts = (self.backbone.digest, TRANSFORM, str(side), f"noise seed {self.seed}")
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def fill(self, chunks: Sequence[Chunk], timestep: int, draws: int, clock: Clock) -> Iterator[Extracted]:
        """Make every pass that is missing; a chunk that another process works on is left to it while others remain.

        The first report tells what is there already.
        """
        total = draws * sum(len(chunk.indices) for chunk in chunks)
        wanted = [
            (chunk, Pass(self._source, timestep, draw, chunk.digest)) for draw in range(draws) for chunk in chunks
        ]
        pending = [(chunk, key) for chunk, key in wanted if self._cache.missing(key, self.grids)]
        yield Extracted(total - sum(len(chunk.indices) for chunk, _ in pending), total, 0)
        while pending:
            elsewhere = []
            for position, (chunk, key) in enumerate(pending):
                since = time.perf_counter()
                with self._cache.claim(key) as mine:
                    if not mine:
                        elsewhere.append((chunk, key))
                        continue
                    missing = self._cache.missing(key, self.grids)
                    if missing:
                        self._cache.write(key, self._maps(chunk, key, missing))
                        clock.passes += len(chunk.indices)
                clock.add("extract", since)
                left = [*pending[position + 1 :], *elsewhere]
                yield Extracted(
                    total - sum(len(c.indices) for c, _ in left), total, len(chunk.indices) if missing else 0
                )
            pending = [(chunk, key) for chunk, key in elsewhere if self._cache.missing(key, self.grids)]
            if pending:
                since = time.perf_counter()
                time.sleep(POLL_SECONDS)
                clock.add("wait", since)

    def read(self, chunks: Sequence[Chunk], timestep: int, draws: int, block: int, size: int) -> torch.Tensor | None:
        """Features float32 (n, c, size, size) in the chunks' order, averaged over draws; None where some miss."""
        parts = []
        for chunk in chunks:
            total: torch.Tensor | None = None
            for draw in range(draws):
                values = self._cache.read(Pass(self._source, timestep, draw, chunk.digest), block, size)
                if values is None:
                    return None
                total = values if total is None else total + values
            assert total is not None
            parts.append(total / draws)
        return torch.cat(parts)

    def _maps(self, chunk: Chunk, key: Pass, missing: Mapping[int, int]) -> dict[int, torch.Tensor]:
        device = self.backbone.device
        side = self.backbone.architecture.image_side
        digests = [self.dataset.images.digest(int(i)) for i in chunk.indices]
        pixels = self._pixels(chunk, side)
        kept: dict[int, list[torch.Tensor]] = {block: [] for block in missing}
        for start in range(0, len(pixels), BATCH):
            images = pixels[start : start + BATCH].to(device).float() / 127.5 - 1
            batch = digests[start : start + BATCH]
            noise = noise_for(batch, self.seed, key.timestep, key.draw, (3, side, side)).to(device)
            for block, maps in self.backbone.taps(images, noise, key.timestep, missing.keys()).items():
                kept[block].append(pool(maps.float(), missing[block]).cpu())
        return {block: torch.cat(parts) for block, parts in kept.items()}

    def _pixels(self, chunk: Chunk, side: int) -> torch.Tensor:
        """The chunk decoded and resized, uint8 (n, 3, side, side): once for all timesteps, draws and studies."""
        path = self.folder / "pixels" / f"{TRANSFORM}-{side}" / f"{chunk.digest[:16]}.safetensors"
        pixels = read_tensor(path)
        if pixels is None:
            pixels = torch.from_numpy(square_pixels(self.dataset.images, chunk.indices, side))
            write_tensor(path, pixels)
        return pixels
