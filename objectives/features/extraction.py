"""Fills the cache with as few forward passes as possible, together with other processes, and reads features back."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar, final

import numpy as np
import torch
from torch.nn.functional import adaptive_avg_pool2d

from objectives.backbones.backbone import Backbone
from objectives.datasets.dataset import Dataset
from objectives.features.batches import Batches
from objectives.features.cache.feature_cache import SCRATCH, Feature, FeatureCache, Pass, Source
from objectives.features.cache.inventory import About
from objectives.features.cache.other_machines import COPIES
from objectives.features.cache.quota import CacheUsage
from objectives.features.cache.shard_folder import Claim
from objectives.features.cache.shards import FLOAT16, Column, explaining_full_disk
from objectives.features.inputs import POLL_SECONDS, Inputs
from objectives.features.mapped_tensors import large_empty
from objectives.features.noise import noise_for
from objectives.features.pooling import pool
from objectives.features.transfers import Transfers, transfers_of
from objectives.features.versions import versions
from objectives.results import Extracted
from spaces import Architecture, CacheError, Setting

T = TypeVar("T")

SHARD_IMAGES = 256
LARGEST_SHARD = 2048
CPU_SHARD_GMACS = 2**13
SHARD_INPUT_BYTES = 2**28
"""Limits of a shard.

A kill loses the shard in work, which on a CPU with a large network takes minutes, and the noise of a whole shard is in
memory at once.
"""

AVERAGED_IMAGES = 32
"""Images whose pixels are averaged at a time, to bound memory."""

READS = 3
"""Number of attempts to read features before the disk is called bad: a damaged shard is removed, and made again."""


def shard_images(images: int, architecture: Architecture, deepest: int, device: torch.device, batch: int) -> int:
    """Choose the number of images of a shard, a power of two.

    The number is 256; more for many images, to limit the number of files; fewer for large images, and on a CPU with a
    large network; on a GPU at least one batch. deepest: the block at which the forward passes end.
    """
    most = min(max(SHARD_IMAGES, images // 32), LARGEST_SHARD, SHARD_INPUT_BYTES // (12 * architecture.image_side**2))
    if device.type == "cuda":
        most = max(most, batch)
    else:
        most = min(most, int(CPU_SHARD_GMACS / architecture.block(deepest).cumulative_gmacs))
    return 1 << max(most, 1).bit_length() - 1


@dataclass
class Clock:
    """Measures one evaluation: seconds by phase, and the number of forward passes made."""

    seconds: dict[str, float] = field(default_factory=dict)
    passes: int = 0

    def add(self, phase: str, since: float) -> None:
        self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - since


@dataclass(frozen=True, eq=False)
class _Work:
    """A forward pass over some images of the dataset."""

    key: Pass
    indices: np.ndarray


@dataclass(frozen=True, eq=False)
class _Claimed:
    """The images that this process claimed for forward passes, with the inputs of these passes.

    grids: block → grid that is missing. held: when it is closed, it waits until new inputs are in the cache, and ends
    the claim.
    """

    work: _Work
    claim: Claim
    grids: Mapping[int, int]
    inputs: torch.Tensor
    noise: torch.Tensor | None
    held: ExitStack


@final
@dataclass(frozen=True)
class Extractor:
    """Makes and reads the features of one dataset and one backbone.

    grids: block → grid; everything that a forward pass should keep in the cache. seed: random seed for the noise.
    """

    backbone: Backbone
    dataset: Dataset
    usage: CacheUsage
    grids: Mapping[int, int]
    seed: int

    @cached_property
    def _cache(self) -> FeatureCache:
        return FeatureCache(self.usage.folder)

    @cached_property
    def _batches(self) -> Batches:
        return Batches.fitting(self.backbone.architecture, self.backbone.device)

    @cached_property
    def _transfers(self) -> Transfers:
        return transfers_of(self.backbone.device)

    @cached_property
    def _inputs(self) -> Inputs:
        return Inputs(self.backbone, self.dataset, self.usage, self._batches, self._transfers)

    def passes(self, timestep: int | None, draws: int) -> list[Pass]:
        """Return the keys of the passes of a setting at a timestep. draws: as in `Setting`."""
        return Source.of(self.backbone.digest, self.backbone.architecture, self.seed).passes(timestep, draws)

    def fill(
        self, indices: np.ndarray, timesteps: Sequence[int | None], draws: int, clock: Clock
    ) -> Iterator[Extracted]:
        """Make all missing forward passes over these images; wait for those that another process is making.

        indices: into the dataset. draws: as in `Setting`; 0 is a clean pass. All timesteps and draws of a chunk of
        images follow each other, so each image is decoded once. While one pass runs, the inputs of the next are
        prepared and the last batch is written. The first report gives the number of passes that are in the cache
        already. One more report follows each shard on disk.
        """
        keys = [key for timestep in timesteps for key in self.passes(timestep, draws)]
        self._describe_source(keys[0])
        total = len(keys) * len(indices)
        pending = self._missing(indices, keys)
        done = total - _images(pending)
        yield Extracted(done, total, 0)
        while pending:
            before = done
            for made in self._made(pending, clock):
                done += made
                yield Extracted(done, total, made)
            pending = self._missing(indices, keys)
            if pending and done == before:
                since = time.perf_counter()
                time.sleep(POLL_SECONDS)
                clock.add("wait", since)
            if done != total - _images(pending):  # other processes have finished some
                done = total - _images(pending)
                yield Extracted(done, total, 0)

    def fetch(self, timestep: int | None, draws: int) -> None:
        """Copy what other machines have, if each has a cache of its own. No forward pass is made."""
        for key in self.passes(timestep, draws):
            COPIES.fetch(self._cache.folder_of(key).folder, self.usage)

    def lacks(self, indices: np.ndarray, timesteps: Sequence[int | None], draws: int) -> bool:
        """Return whether `fill` would have to make a forward pass or wait for one."""
        return bool(self._missing(indices, [key for timestep in timesteps for key in self.passes(timestep, draws)]))

    def _describe_source(self, key: Pass) -> None:
        seed = None if key.draw is None else self.seed
        about = About(self.backbone.architecture.name, self.backbone.digest, seed, **versions())
        folder = self._cache.folder_of(key).folder.parent
        with explaining_full_disk(folder):
            about.write(folder)

    def _missing(self, indices: np.ndarray, keys: Sequence[Pass]) -> list[_Work]:
        images = self._inputs.keys[indices]
        lacking: dict[Pass, np.ndarray] = {}
        for key in keys:
            self._cache.folder_of(key).refresh()
            lacking[key] = np.asarray(self._cache.missing(key, images, self.grids).any(axis=1))
        work = []
        deepest, device = max(self.grids), self.backbone.device
        size = shard_images(len(indices), self.backbone.architecture, deepest, device, self._batches.size)
        for start in range(0, len(indices), size):
            chunk = slice(start, start + size)
            work += [_Work(key, indices[chunk][lacking[key][chunk]]) for key in keys]
        pending = [part for part in work if len(part.indices)]
        first = int(COPIES.turn() * len(pending))
        return pending[first:] + pending[:first]

    def _made(self, pending: Sequence[_Work], clock: Clock) -> Iterator[int]:
        """Make the pending passes; yield the number of images of each shard once it is on disk."""
        with ThreadPoolExecutor(1) as before, ThreadPoolExecutor(1) as after:
            ahead = before.submit(self._claim, pending[0])
            try:
                for position in range(1, len(pending) + 1):
                    since = time.perf_counter()
                    claimed = ahead.result()
                    if position < len(pending):
                        ahead = before.submit(self._claim, pending[position])
                    if claimed is not None:
                        with claimed.held:
                            self._pass(claimed, after)
                        clock.add("extract", since)
                        images = len(claimed.claim.images)
                        clock.passes += images
                        claimed = None  # to free its memory takes a while, and the next inputs need memory
                        yield images
            finally:
                if ahead.exception() is None and (unused := ahead.result()) is not None:
                    unused.held.close()

    def _claim(self, work: _Work) -> _Claimed | None:
        """Claim images that lack the same blocks, and prepare the inputs of their forward passes.

        Returns None if other processes have made all passes of this work, or are making them.
        """
        images = self._inputs.keys[work.indices]
        grids: dict[int, int] = {}
        COPIES.fetch(self._cache.folder_of(work.key).folder, self.usage)

        def choose(free: np.ndarray) -> np.ndarray:
            missing = self._cache.missing(work.key, free, self.grids)
            lacking = np.flatnonzero(missing.any(axis=1))
            if not len(lacking):
                return np.zeros(len(free), bool)
            first = missing[lacking[0]]
            grids.update({block: grid for (block, grid), lacks in zip(self.grids.items(), first, strict=True) if lacks})
            same: np.ndarray = (missing == first).all(axis=1)
            return same

        with ExitStack() as held:
            claim = held.enter_context(self._cache.folder_of(work.key).claim(images, choose))
            if claim is None:
                return None
            indices = work.indices[claim.rows_in(images)]
            inputs, noise = self._inputs.read(indices, held), None
            if work.key.timestep is not None and work.key.draw is not None:
                digests = [self._inputs.digests[i] for i in indices]
                shape = tuple(inputs.shape[1:])
                noise = self._transfers.sent(noise_for(digests, self.seed, work.key.timestep, work.key.draw, shape))
            return _Claimed(work, claim, grids, inputs, noise, held.pop_all())

    def _pass(self, claimed: _Claimed, after: ThreadPoolExecutor) -> None:
        """Make one shard. While a batch is computed, the previous one is written."""
        device, timestep, grids = self.backbone.device, claimed.work.key.timestep, claimed.grids
        channels = {block: self.backbone.architecture.block(block).channels for block in grids}
        names = {block: Feature(block, grid).column for block, grid in grids.items()}
        columns = {names[b]: Column(FLOAT16, (channels[b], grid, grid)) for b, grid in grids.items()}

        def maps(rows: slice) -> dict[str, torch.Tensor]:
            noise = None if claimed.noise is None else claimed.noise[rows].to(device, non_blocking=True)
            taps = self.backbone.taps(self._inputs.ready(claimed.inputs[rows]), noise, timestep, grids.keys())
            return {names[block]: pool(values.float(), grids[block]) for block, values in taps.items()}

        started = time.perf_counter()
        writing: deque[Future[None]] = deque()
        with self.usage.begin(claimed.claim, columns) as writer:
            try:
                for batch in self._batches.run(len(claimed.inputs), maps):
                    writing.append(after.submit(self._transfers.receiving(writer.append), batch))
                    if len(writing) > 1:
                        writing.popleft().result()
            finally:
                errors = [written.exception() for written in writing]
            for error in filter(None, errors):
                raise error
            folder = self._cache.folder_of(claimed.work.key)
            writer.commit(folder.name_of(claimed.claim.images, columns), time.perf_counter() - started)

    def read(self, indices: np.ndarray, setting: Setting) -> torch.Tensor | None:
        """Return a setting's features, float32 (n, c, pool, pool); None if some are missing.

        indices: into the dataset. The channels of several taps are concatenated in the order of the setting.
        """
        channels = [self.backbone.architecture.block(tap.block).channels for tap in setting.taps]
        shape = (len(indices), sum(channels), setting.pool, setting.pool)
        features = large_empty(shape, self.usage.folder / SCRATCH)
        images = self._inputs.keys[indices]
        for tap, part in zip(setting.taps, torch.split(features, channels, dim=1), strict=True):
            if not self._cache.read_into(part, self.passes(tap.timestep, setting.draws), images, tap.block):
                return None
        return features

    def pixels(self, indices: np.ndarray, side: int) -> torch.Tensor:
        """Return images as the network gets them, averaged to a grid: float32 (n, 3, side, side), in [0, 255]."""
        averaged = large_empty((len(indices), 3, side, side), self.usage.folder / SCRATCH)
        for start in range(0, len(indices), SHARD_IMAGES):
            some = slice(start, start + SHARD_IMAGES)
            with ExitStack() as held:
                pixels = self._inputs.pixels(indices[some], held)
                averaged[some] = torch.cat(
                    [adaptive_avg_pool2d(few.float(), side) for few in torch.split(pixels, AVERAGED_IMAGES)]
                )
        return averaged

    def read_draw(
        self, indices: np.ndarray, block: int, timestep: int | None, draw: int, pool: int
    ) -> torch.Tensor | None:
        """Return a block at one noise draw, float32 (n, c, pool, pool); None if some are missing."""
        shape = (len(indices), self.backbone.architecture.block(block).channels, pool, pool)
        features = large_empty(shape, self.usage.folder / SCRATCH)
        passes = self.passes(timestep, draw + 1)[draw:]
        complete = self._cache.read_into(features, passes, self._inputs.keys[indices], block)
        return features if complete else None


def fill_and_read(
    folder: Path, fill: Callable[[], Iterator[Extracted]], read: Callable[[], T | None]
) -> Generator[Extracted, None, T]:
    """Fill the cache in `folder` and read from it; do both again while something is damaged, which reading removes.

    read: returns None if something is missing. Raises CacheError after `READS` attempts.
    """
    for _ in range(READS):
        yield from fill()
        result = read()
        if result is not None:
            return result
    raise CacheError(f"cached features in {folder} were damaged {READS} times in a row; check the disk")


def result_of(reports: Generator[object, None, T]) -> T:
    """Run a generator to its end, drop its reports, and return its result."""
    while True:
        try:
            next(reports)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def _images(pending: Sequence[_Work]) -> int:
    return sum(len(work.indices) for work in pending)
