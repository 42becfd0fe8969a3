"""The interface of all backbones, and a backbone that is loaded when it is needed."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Protocol, final

from spaces import Architecture, BackboneError

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
        A diffusion network needs a timestep. Without noise it makes a clean pass: it reads the image itself at the
        timestep. An encoder of clean images takes None for both.
        Returns block number → (n, channels, side, side), on `device`, in the precision of the network.
        Raises ValueError for inputs of another shape, for a timestep that is missing, and for noise and timesteps that
        an encoder does not take.
        """
        ...


@final
@dataclass
class LateBackbone:
    """A backbone that is loaded before its first forward pass. What the cache has needs no network.

    architecture, digest, device: of the backbone that `load` returns. load: raises BackboneError where it cannot.
    """

    architecture: Architecture
    digest: str
    device: "torch.device"
    load: Callable[[], Backbone]
    _backbone: Backbone | None = field(default=None, init=False, repr=False)
    _lock: Lock = field(default_factory=Lock, init=False, repr=False)

    @property
    def latents(self) -> str | None:
        return self._loaded().latents

    def encode(self, pixels: "torch.Tensor") -> "torch.Tensor":
        return self._loaded().encode(pixels)

    def taps(
        self, inputs: "torch.Tensor", noise: "torch.Tensor | None", timestep: int | None, blocks: Collection[int]
    ) -> "dict[int, torch.Tensor]":
        return self._loaded().taps(inputs, noise, timestep, blocks)

    def _loaded(self) -> Backbone:
        with self._lock:  # inputs are prepared in another thread than the passes
            if self._backbone is None:
                backbone = self.load()
                if backbone.digest != self.digest:
                    raise BackboneError(
                        f"the files of backbone {self.architecture.name} have changed since the run began; type the "
                        "command again"
                    )
                self._backbone = backbone
            return self._backbone
