"""The encoders of the autoencoders whose latents diffusion networks read."""

from collections.abc import Callable, Collection
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, final

import diffusers
import torch

from objectives.backbones.files import read_module
from objectives.backbones.folders.configuration import is_there, read_configuration
from spaces import BackboneError


@dataclass(frozen=True)
class AutoencoderKind:
    """The differences between classes of autoencoders.

    channels: configuration → channels of a latent. levels: entry of the configuration with one item for each level;
    each level but the last halves the side. encode: makes latents of pixels in [-1, 1], without scale and shift.
    """

    channels: Callable[[Any], int]
    levels: str
    encode: Callable[[Any, torch.Tensor], torch.Tensor]


def _posterior_mean(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    mean: torch.Tensor = model.encode(pixels).latent_dist.mean
    return mean.float()


def _deep_compressed(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    latents: torch.Tensor = model.encode(pixels).latent
    return latents.float()


def _before_quantisation(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    latents: torch.Tensor = model.encode(pixels).latents
    return latents.float()


def _patched(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    """Make one latent of each 2 x 2 latents, and normalise each of its channels by the autoencoder's statistics."""
    mean = _posterior_mean(model, pixels)
    count, channels, side, _ = mean.shape
    pairs = mean.view(count, channels, side // 2, 2, side // 2, 2).permute(0, 1, 3, 5, 2, 4)
    latents = pairs.reshape(count, channels * 4, side // 2, side // 2)
    center = model.bn.running_mean.view(1, -1, 1, 1).float()
    spread = torch.sqrt(model.bn.running_var.view(1, -1, 1, 1).float() + model.config["batch_norm_eps"])
    normalised: torch.Tensor = (latents - center) / spread
    return normalised


KINDS: dict[str, AutoencoderKind] = {
    # Rombach et al. 2022, section 3.1
    "AutoencoderKL": AutoencoderKind(lambda config: config["latent_channels"], "block_out_channels", _posterior_mean),
    # Chen et al. 2024, Deep Compression Autoencoder
    "AutoencoderDC": AutoencoderKind(
        lambda config: config["latent_channels"], "encoder_block_out_channels", _deep_compressed
    ),
    # Rombach et al. 2022, section 3.1: the decoder quantises, so the network reads what the encoder returns
    "VQModel": AutoencoderKind(
        lambda config: config["vq_embed_dim"] or config["latent_channels"], "block_out_channels", _before_quantisation
    ),
    "AutoencoderKLFlux2": AutoencoderKind(lambda config: 4 * config["latent_channels"], "block_out_channels", _patched),
}
"""Class of an autoencoder in diffusers → its differences from others."""


@final
@dataclass(frozen=True)
class Autoencoder:
    """The encoder of an autoencoder.

    The latents of an image are the mean of the posterior, where there is one, and not a sample. So the same image
    always has the same latents.
    """

    folder: Path
    model: Any
    kind: str

    @classmethod
    def read(cls, name: str, folder: Path, hollow: bool, known: Collection[str] = ("AutoencoderKL",)) -> Self:
        """Read the autoencoder in a folder; a hollow one has no weights.

        known: the classes of autoencoders that the network of this name was trained with. Raises BackboneError if there
        is no autoencoder, if it is damaged, or if it is of another class.
        """
        if not is_there(folder / "config.json"):
            raise BackboneError(
                f"backbone {name} reads latents, but {folder.parent} has no {folder.name}/ with the autoencoder that "
                "makes them; give the folder of a whole diffusers pipeline"
            )
        config = read_configuration(folder / "config.json")
        kind = str(config.get("_class_name"))
        if kind not in known:
            raise BackboneError(
                f"backbone {name} reads the latents of a {kind}; only {' or '.join(known)} is known for such a network"
            )
        if config.get("latents_mean") or config.get("latents_std"):
            raise BackboneError(
                f"backbone {name} reads latents normalised by channel (latents_mean and latents_std in {folder}); "
                "only one scaling_factor and shift_factor are known"
            )
        model = read_module(name, getattr(diffusers, kind), folder, hollow)
        scale, shift = model.config.get("scaling_factor", 1), model.config.get("shift_factor") or 0
        if type(scale) not in (int, float) or scale <= 0 or type(shift) not in (int, float):
            raise BackboneError(
                f"`scaling_factor` in {folder / 'config.json'} must be a number above 0, and `shift_factor` a number "
                f"or null, got {scale!r} and {shift!r}"
            )
        del model.decoder  # it has more than half of the weights, and is not used
        return cls(folder, model, kind)

    @property
    def channels(self) -> int:
        return int(KINDS[self.kind].channels(self.model.config))

    @property
    def reduction(self) -> int:
        """Pixels of a side per latent of a side."""
        halvings = len(self.model.config[KINDS[self.kind].levels]) - 1
        return int(2 ** (halvings + (self.kind == "AutoencoderKLFlux2")))

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode pixels uint8 (n, 3, side, side) as latents on the same device.

        Returns float32 (n, channels, side / reduction, side / reduction): (latent - shift_factor) × scaling_factor, for
        pixels in [-1, 1]. The encoder runs in float32 even under autocast, since the activations of common
        autoencoders overflow float16. It runs in a lower precision only if its configuration allows that
        (`force_upcast` is false).
        """
        config = self.model.config
        self.model.to(pixels.device)
        upcast = config.get("force_upcast", True) and torch.amp.is_autocast_available(pixels.device.type)
        with torch.autocast(pixels.device.type, enabled=False) if upcast else nullcontext():
            latents = KINDS[self.kind].encode(self.model, pixels.float() / 127.5 - 1)
        scaled: torch.Tensor = (latents - (config.get("shift_factor") or 0)) * config.get("scaling_factor", 1)
        return scaled
