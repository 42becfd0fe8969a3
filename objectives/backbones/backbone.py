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

    digest: sha256 hex of everything that the features depend on besides the input: weights, configuration, precision.
    latents: sha256 hex of the autoencoder whose latents the network reads, and of the autoencoder's precision; None if
    the network reads pixels.
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
        """Turn clean images into inputs of the network: normalised pixels, or latents.

        pixels: uint8 (n, 3, side, side), RGB, on any device; side is the architecture's `image_side`.
        Returns float32 (n, channels, height, width) on `device`. Raises ValueError for pixels of another shape or type.
        """
        ...

    def taps(
        self, inputs: "torch.Tensor", noise: "torch.Tensor | None", timestep: int | None, blocks: Collection[int]
    ) -> "dict[int, torch.Tensor]":
        """Return the maps of some blocks, from forward passes that stop at the deepest of them.

        inputs: the result of `encode`, on `device`. noise: standard normal, of the same shape, on `device`.
        A diffusion network needs noise and timestep; an encoder of clean images takes None for both.
        Returns block number → (n, channels, side, side), on `device`, in the precision of the network.
        Raises ValueError for inputs of another shape, for noise or timestep that are missing, and for those that an
        encoder does not take.
        """
        ...
