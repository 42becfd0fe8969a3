"""Makes the inputs of forward passes: pixels or latents of images, made once and kept in the cache."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import final

import numpy as np
import torch

from objectives.backbones.backbone import Backbone
from objectives.datasets.dataset import Dataset
from objectives.datasets.images import TRANSFORM, square_pixels
from objectives.features.batches import Batches
from objectives.features.cache.quota import LATENTS, PIXELS, CacheUsage
from objectives.features.cache.shard_folder import Claim, ShardFolder
from objectives.features.cache.shards import Column, image_keys
from objectives.features.transfers import Transfers

POLL_SECONDS = 0.05


@final
@dataclass
class Inputs:
    """The inputs of a backbone for a dataset. Pixels and latents are kept in the cache."""

    backbone: Backbone
    dataset: Dataset
    usage: CacheUsage
    batches: Batches
    transfers: Transfers
    _last: tuple[bytes, torch.Tensor] | None = field(default=None, repr=False)

    @cached_property
    def digests(self) -> Sequence[str]:
        """The content digest of each image, by index into the dataset."""
        return [self.dataset.images.digest(i) for i in range(len(self.dataset))]

    @cached_property
    def keys(self) -> np.ndarray:
        return image_keys(self.digests)

    def read(self, indices: np.ndarray, held: ExitStack) -> torch.Tensor:
        """Return latents float32 if the backbone reads latents, else pixels uint8 (n, 3, side, side).

        indices: into the dataset. held: new images are written by another thread; when `held` is closed, they are in
        the cache, or the error that occurred is raised. The last images stay in the memory of the device, since every
        timestep and draw reads them again. They are on the CPU if the device's memory is full.
        """
        chosen = indices.tobytes()
        if self._last is None or self._last[0] != chosen:
            self._last = None  # its memory is free before the next images need memory
            inputs = self._latents(indices, held) if self.backbone.latents else self.pixels(indices, held)
            self._last = chosen, self.transfers.sent(inputs)
        return self._last[1]

    def ready(self, stored: torch.Tensor) -> torch.Tensor:
        """Turn a batch from `read` into inputs of `Backbone.taps`, float32 on the backbone's device."""
        return (
            stored.to(self.backbone.device, non_blocking=True)
            if self.backbone.latents
            else self.backbone.encode(stored)
        )

    def folders(self) -> list[ShardFolder]:
        """Return the folders of the kept pixels and latents."""
        return [self._pixel_folder, *([self._latent_folder] if self.backbone.latents else [])]

    @cached_property
    def _pixel_folder(self) -> ShardFolder:
        side = self.backbone.architecture.image_side
        return ShardFolder(self.usage.folder / PIXELS / f"{TRANSFORM}-{side}")

    @cached_property
    def _latent_folder(self) -> ShardFolder:
        side, digest = self.backbone.architecture.image_side, str(self.backbone.latents)
        return ShardFolder(self.usage.folder / LATENTS / f"{digest[:16]}-{TRANSFORM}-{side}")

    def pixels(self, indices: np.ndarray, held: ExitStack) -> torch.Tensor:
        """Return the images as pixels uint8 (n, 3, side, side). Arguments as of `read`; nothing stays in memory."""
        side = self.backbone.architecture.image_side

        def decoded(some: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(square_pixels(self.dataset.images, some, side))

        if self.dataset.images.in_memory:  # resizing them again takes no longer than reading them
            return decoded(indices)
        return self._kept(self._pixel_folder, PIXELS, indices, decoded, held)

    def _latents(self, indices: np.ndarray, held: ExitStack) -> torch.Tensor:
        def encoded(some: np.ndarray) -> torch.Tensor:
            pixels = self.pixels(some, held)
            batches = self.batches.run(len(some), lambda rows: self.backbone.encode(pixels[rows]))
            return torch.cat(list(batches)).cpu().contiguous()

        return self._kept(self._latent_folder, LATENTS, indices, encoded, held)

    def _kept(
        self,
        folder: ShardFolder,
        column: str,
        indices: np.ndarray,
        make: Callable[[np.ndarray], torch.Tensor],
        held: ExitStack,
    ) -> torch.Tensor:
        """Read the images from the folder, and make the missing ones. Only one process makes an image.

        Images that are all new are returned as they were made, while another thread writes them.
        """
        keys = self.keys[indices]
        while (values := folder.gather(keys, column)) is None:
            with ExitStack() as claimed:
                claim = claimed.enter_context(folder.claim(keys, lambda free: folder.locate(free, bool)[1] < 0))
                if claim is None:
                    time.sleep(POLL_SECONDS)
                    continue
                started = time.perf_counter()
                made = make(indices[claim.rows_in(keys)])
                path = folder.name_of(claim.images, [column])
                thread = held.enter_context(ThreadPoolExecutor(1))
                writing = thread.submit(self._write, claimed.pop_all(), claim, path, {column: made}, started)
                held.callback(writing.result)
            if len(claim.images) == len(keys):
                return made
            writing.result()
        return values

    def _write(
        self, claimed: ExitStack, claim: Claim, path: Path, made: Mapping[str, torch.Tensor], started: float
    ) -> None:
        """Write claimed images as the shard `path`, and end their claim. started: when making them began."""
        columns = {name: Column(rows.numpy().dtype, tuple(rows.shape[1:])) for name, rows in made.items()}
        with claimed, self.usage.begin(claim, columns) as writer:
            writer.append(made)
            writer.commit(path, time.perf_counter() - started)
