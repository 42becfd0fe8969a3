"""The interface of all backbones."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Protocol

from spaces import Architecture

if TYPE_CHECKING:
    import torch

PRECISIONS = ("float32", "bfloat16", "float16")
"""Number formats of a forward pass, by their names in torch."""


class Backbone(Protocol):
    """A frozen network in evaluation mode.

    digest: sha256 hex of everything that its features depend on besides the input: weights, configuration, precision.
    latents: sha256 hex of the autoencoder whose latents the network reads, and of its precision; None where the network
    reads pixels.
    """

    @property
    def architecture(self) -> Architecture: ...

    @property
    def digest(self) -> str: ...

    @property
    def latents(self) -> str | None: ...

    @property
    def device(self) -> "torch.device": ...

    def encode(self, pixels: "torch.Tensor") -> "torch.Tensor":
        """The inputs of the network for clean images: normalised pixels, or latents.

        pixels: uint8 (n, 3, side, side), RGB, side the architecture's `image_side`, on any device.
        Returns float32 (n, channels, height, width) on `device`. Raises ValueError where the side is another one.
        """
        ...

    def taps(
        self, inputs: "torch.Tensor", noise: "torch.Tensor | None", timestep: int | None, blocks: Collection[int]
    ) -> "dict[int, torch.Tensor]":
        """The maps of some blocks, from one forward pass that stops at the deepest of them.

        inputs: as `encode` gives them; noise: standard normal of the same shape; both on `device`. An encoder takes
        None for noise and timestep, and a diffusion network takes neither as None, else ValueError.
        Returns block number → (n, channels, side, side), on `device`, in the precision in which the network made it.
        """
        ...
