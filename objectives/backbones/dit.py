"""Diffusion transformers over an autoencoder's latents, DiT's kind: diffusers' `DiTTransformer2DModel`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, final

import torch
from diffusers import DiTTransformer2DModel

from objectives.backbones.files import loading, network_folder, read_module
from objectives.backbones.latent import Autoencoder
from objectives.backbones.schedule import Schedule, read_schedule
from spaces import BackboneError
from spaces.blocks import Part


@final
@dataclass(frozen=True)
class DiTNetwork:
    """A DiT (Peebles & Xie 2023) that is told no class: the label that stood for a dropped one in training.

    A layer's tokens are one map, each in the place of its patch.
    """

    name: str
    module: DiTTransformer2DModel
    vae: Autoencoder
    schedule: Schedule
    folders: tuple[Path, ...]

    @classmethod
    def read(cls, name: str, folder: Path, hollow: bool) -> Self:
        """From the folder of a diffusers pipeline; a hollow one reads no weights.

        The published DiTs call themselves Transformer2DModel, as PixArt's networks do, which need captions.
        Raises BackboneError for those, and where files are missing or damaged.
        """
        place = network_folder(folder)
        with loading(name, place):
            config = DiTTransformer2DModel.load_config(place)
        norm = config.get("norm_type")
        if config.get("_class_name") == "Transformer2DModel" and norm != "ada_norm_zero":
            raise BackboneError(
                f"backbone {name} is a Transformer2DModel whose norms are {norm}; only DiT's, ada_norm_zero, is known"
            )
        vae = Autoencoder.read(name, folder, hollow)
        module = read_module(name, DiTTransformer2DModel, place, hollow)
        if module.config["in_channels"] != vae.channels:
            raise BackboneError(
                f"backbone {name} must take latents of {vae.channels} channels, as its autoencoder makes, "
                f"got {module.config['in_channels']}; take the transformer and the autoencoder of one pipeline"
            )
        return cls(name, module, vae, read_schedule(folder), (place,))

    @property
    def autoencoder(self) -> Path:
        return self.vae.folder

    @property
    def image_side(self) -> int:
        return int(self.module.config["sample_size"] * self.vae.reduction)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        side = int(self.module.config["sample_size"])
        return self.vae.channels, side, side

    def blocks(self) -> list[tuple[str, Part]]:
        return [(f"transformer_blocks.{i}", "layer") for i in range(len(self.module.transformer_blocks))]

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.vae.encode(pixels.to(self.module.device))

    def run(self, inputs: torch.Tensor, timestep: int | None) -> object:
        no_class = self.module.config["num_embeds_ada_norm"]  # the row after the classes' in each table of labels
        times, labels = (torch.as_tensor(n, device=inputs.device).expand(len(inputs)) for n in (timestep, no_class))
        return self.module(inputs, timestep=times, class_labels=labels, return_dict=False)

    def map_of(self, submodule: str, output: Any) -> torch.Tensor:
        """(n, side², width) tokens, row by row → (n, width, side, side)."""
        tokens: torch.Tensor = output
        side = self.module.config["sample_size"] // self.module.config["patch_size"]
        return tokens.reshape(len(tokens), side, side, -1).permute(0, 3, 1, 2)
