"""Diffusion transformers that read an autoencoder's latents, as DiT does: diffusers' `DiTTransformer2DModel`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, final

import torch
from diffusers import DiTTransformer2DModel

from objectives.backbones.files import network_folder, read_module
from objectives.backbones.folders.companions import check_companions
from objectives.backbones.folders.configuration import check_image_side, read_configuration, square_side
from objectives.backbones.kinds.latent import Autoencoder
from objectives.backbones.schedule import Schedule, read_schedule
from spaces import BackboneError
from spaces.blocks import Part


@final
@dataclass(frozen=True)
class DiTNetwork:
    """A DiT (Peebles & Xie 2023) without a class: its label is the one for a dropped class in training.

    The tokens of a layer form one map, in which each token has the position of its patch.
    """

    name: str
    module: DiTTransformer2DModel
    vae: Autoencoder
    schedule: Schedule
    folders: tuple[Path, ...]

    @classmethod
    def read(cls, name: str, folder: Path, hollow: bool) -> Self:
        """Read a network from the folder of a diffusers pipeline; a hollow one has no weights.

        The configurations of the published DiTs say Transformer2DModel. So do those of PixArt's networks, which need
        captions. Raises BackboneError for PixArt's networks, and if files are missing or damaged.
        """
        network = network_folder(folder)
        check_companions(name, folder, network, "DiTTransformer2DModel")
        config = read_configuration(network / "config.json")
        norm = config.get("norm_type")
        if config.get("_class_name") == "Transformer2DModel" and norm != "ada_norm_zero":
            raise BackboneError(
                f"backbone {name} is a Transformer2DModel whose norms are {norm}; only DiT's, ada_norm_zero, is known"
            )
        vae = Autoencoder.read(name, folder, hollow)
        side = square_side(config.get("sample_size", 32))
        if side is None:
            raise BackboneError(f"backbone {name} must take square latents, got `sample_size` {config['sample_size']}")
        check_image_side(name, side * vae.reduction)
        module = read_module(name, DiTTransformer2DModel, network, hollow, sample_size=side)
        if module.config["in_channels"] != vae.channels:
            raise BackboneError(
                f"backbone {name} must take latents of {vae.channels} channels, as its autoencoder makes, "
                f"got {module.config['in_channels']}; take the transformer and the autoencoder of one pipeline"
            )
        return cls(name, module, vae, read_schedule(folder), (network,))

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

    def run(self, inputs: torch.Tensor, times: torch.Tensor | None) -> object:
        no_class = self.module.config["num_embeds_ada_norm"]  # a table of labels has this row after the classes'
        labels = torch.full((len(inputs),), no_class, device=inputs.device)
        return self.module(inputs, timestep=times, class_labels=labels, return_dict=False)

    def map_of(self, submodule: str, output: Any) -> torch.Tensor:
        """Turn tokens (n, side², width), row by row, into maps (n, width, side, side)."""
        tokens: torch.Tensor = output
        side = self.module.config["sample_size"] // self.module.config["patch_size"]
        return tokens.reshape(len(tokens), side, side, -1).permute(0, 3, 1, 2)
