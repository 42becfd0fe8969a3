"""Divides images into batches that fit into the device's memory."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar, final

import torch

from objectives.devices import free_gpu_memory
from spaces import Architecture, BackboneError

T = TypeVar("T")

log = logging.getLogger(__name__)

LARGEST_BATCH = {"cpu": 256, "cuda": 1024}
"""Upper limit of the number of images in a batch, by the type of the device."""
CPU_BYTES = 128 * 2**20  # a CPU gets no faster beyond this: the maps no longer fit into its caches


@final
@dataclass
class Batches:
    """The batch size. It is halved for good whenever the device runs out of memory."""

    size: int

    @classmethod
    def fitting(cls, architecture: Architecture, device: torch.device) -> "Batches":
        """Choose the largest power of two of images, at most `LARGEST_BATCH`, whose passes should fit into memory.

        They may take half of `free_gpu_memory` at this moment, or `CPU_BYTES` on a CPU. Forward passes keep the
        encoder's maps for the decoder, and about four times their largest map in addition.

        The size depends on that memory and on the network's block table, never on measured time. Features are bitwise
        equal only if the batches had equal sizes; with another size the last bits may differ.
        """
        elements = [block.channels * block.side**2 for block in architecture.blocks]
        bytes_per_image = 4 * (sum(elements) // 2 + 4 * max(elements))
        room = free_gpu_memory(device) // 2 if device.type == "cuda" else CPU_BYTES
        at_most = min(LARGEST_BATCH[device.type], room // bytes_per_image)
        return cls(1 << (at_most.bit_length() - 1) if at_most else 1)

    def run(self, count: int, work: Callable[[slice], T]) -> Iterator[T]:
        """Call `work` on every batch, a slice of range(count), in order, and yield the results.

        Raises BackboneError if the device has no memory for even one image.
        """
        done = 0
        while done < count:
            rows = slice(done, min(done + self.size, count))
            try:
                result, fits = work(rows), True
            except torch.OutOfMemoryError:  # until the end of this clause, the error keeps the memory of the pass
                fits = False
            if fits:
                yield result
                done = rows.stop
            else:
                self._halve()

    def _halve(self) -> None:
        if self.size == 1:
            raise BackboneError(
                "the GPU has no memory for a pass over a single image; use precision bfloat16, an earlier block, "
                "a smaller backbone, or free the GPU"
            )
        self.size //= 2
        log.warning("out of GPU memory; going on with %d images at a time", self.size)
        torch.cuda.empty_cache()
