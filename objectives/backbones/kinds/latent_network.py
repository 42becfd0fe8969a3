"""The common part of diffusion networks that read the latents of an autoencoder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from objectives.backbones.pipeline.autoencoders import Autoencoder
from objectives.backbones.pipeline.schedule import Schedule


@dataclass(frozen=True)
class LatentNetwork:
    """A diffusion network with the autoencoder whose latents it reads.

    side: latents of a side. Other fields: as of `Network`.
    """

    name: str
    module: Any
    vae: Autoencoder
    schedule: Schedule
    folders: tuple[Path, ...]
    side: int
    changes: tuple[str, ...]

    @property
    def autoencoder(self) -> Path:
        return self.vae.folder

    @property
    def image_side(self) -> int:
        return self.side * self.vae.reduction

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return self.vae.channels, self.side, self.side

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.vae.encode(pixels.to(self.module.device))
