"""What every backbone is to the rest of the room."""

from collections.abc import Collection
from typing import Protocol

import torch

from spaces import Architecture


class Backbone(Protocol):
    """A frozen network in evaluation mode.

    digest: sha256 hex of everything that its features depend on besides the input: weights, configuration, precision.
    """

    @property
    def architecture(self) -> Architecture: ...

    @property
    def digest(self) -> str: ...

    @property
    def device(self) -> torch.device: ...

    def taps(
        self, images: torch.Tensor, noise: torch.Tensor, timestep: int, blocks: Collection[int]
    ) -> dict[int, torch.Tensor]:
        """The maps of the wanted blocks in one pass that stops at the deepest of them.

        images: float32 (n, 3, side, side) in [-1, 1]; noise: standard normal of the same shape; both on `device`.
        Returns block number → (n, channels, side, side) in the pass's precision, on `device`.
        """
        ...
