"""Diffusion U-Nets over an autoencoder's latents, Stable Diffusion's kind: diffusers' `UNet2DConditionModel`."""

import json
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, final

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from objectives.backbones.files import loading, network_folder, read_module
from objectives.backbones.schedule import Schedule, read_schedule
from objectives.backbones.unet import hourglass_blocks
from spaces import BackboneError
from spaces.blocks import Part

LEVEL_KINDS = {"DownBlock2D", "CrossAttnDownBlock2D", "UpBlock2D", "CrossAttnUpBlock2D"}

UNKNOWN_CONDITIONS = {
    "class_embed_type": "classes",
    "num_class_embeds": "classes",
    "encoder_hid_dim_type": "projected texts or images",
    "time_cond_proj_dim": "a guidance scale",
    "dual_cross_attention": "two texts at once",
}
"""Entry of a UNet2DConditionModel's configuration → what the network is told besides a text where it is set."""

TOKENS = 77  # the context of the CLIP text encoders that these networks were trained with


@final
@dataclass(frozen=True)
class Autoencoder:
    """The encoding half of an AutoencoderKL (Rombach et al. 2022, section 3.1). folder: where it lies.

    An image's latents are the mean of its posterior, not a draw, so that the same image has the same latents always.
    """

    folder: Path
    model: AutoencoderKL

    @classmethod
    def read(cls, name: str, folder: Path, hollow: bool) -> Self:
        """From `vae/` of a diffusers pipeline's folder; a hollow one reads no weights.

        Raises BackboneError where there is none, where it is damaged or of another kind.
        """
        place = folder / "vae"
        if not (place / "config.json").is_file():
            raise BackboneError(
                f"backbone {name} reads latents, but {folder} has no vae/ with the autoencoder that makes them; "
                "give the folder of a whole diffusers pipeline"
            )
        with loading(name, place):
            config = AutoencoderKL.load_config(place)
        if config.get("_class_name") != "AutoencoderKL":
            raise BackboneError(
                f"backbone {name} reads the latents of a {config.get('_class_name')}; only AutoencoderKL is known"
            )
        if config.get("latents_mean") or config.get("latents_std"):
            raise BackboneError(
                f"backbone {name} reads latents normalised by channel (latents_mean and latents_std in {place}); "
                "only one scaling_factor and shift_factor are known"
            )
        model = read_module(name, AutoencoderKL, place, hollow)
        del model.decoder  # more than half of the weights, and nothing is decoded
        return cls(place, model)

    @property
    def channels(self) -> int:
        return int(self.model.config["latent_channels"])

    @property
    def reduction(self) -> int:
        """Pixels per latent along a side: each level but the last halves it."""
        return int(2 ** (len(self.model.config["block_out_channels"]) - 1))

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 (n, 3, side, side) → float32 (n, channels, side / reduction, side / reduction), on the same device.

        (mean - shift_factor) × scaling_factor, of pixels in [-1, 1]. Runs in float32 also under autocast, since the
        activations of common autoencoders overflow float16, unless its configuration says that lower precisions are
        safe (`force_upcast` false).
        """
        config = self.model.config
        self.model.to(pixels.device)
        with torch.autocast(pixels.device.type, enabled=False) if config["force_upcast"] else nullcontext():
            mean: torch.Tensor = self.model.encode(pixels.float() / 127.5 - 1).latent_dist.mean
        latents: torch.Tensor = (mean.float() - (config["shift_factor"] or 0)) * config["scaling_factor"]
        return latents


@final
@dataclass(frozen=True)
class ConditionalUNetNetwork:
    """A UNet2DConditionModel that reads latents and is told an empty text.

    The text is "" through the pipeline's CLIP text encoder and tokenizer: what such a network is told where guidance
    takes it as unconditional (Ho & Salimans 2022). Zeros stand for it in a folder without a text encoder, and in
    networks of SDXL's kind, as in their own pipeline; those are told as sizes that the image was and shall be of the
    network's own side, uncropped (Podell et al. 2023, section 2.2).
    """

    name: str
    module: UNet2DConditionModel
    vae: Autoencoder
    schedule: Schedule
    folders: tuple[Path, ...]

    @classmethod
    def read(cls, name: str, folder: Path, hollow: bool) -> Self:
        """From the folder of a diffusers pipeline; a hollow one reads no weights.

        Raises BackboneError where files are missing or damaged, where the network reads more than latents (an image to
        be filled in, a depth map) or is told more than a text. `blocks` does where they are not known.
        """
        place, text_encoder = network_folder(folder), folder / "text_encoder"
        vae = Autoencoder.read(name, folder, hollow)
        module = read_module(name, UNet2DConditionModel, place, hollow)
        side, channels = module.config["sample_size"], module.config["in_channels"]
        if not isinstance(side, int) or channels != vae.channels:
            raise BackboneError(
                f"backbone {name} must take square latents of {vae.channels} channels, its autoencoder's, and nothing "
                f"besides; its input is {channels} x {side}"
            )
        width = _text_width(name, module)
        if module.config["addition_embed_type"] == "text_time":
            _check_zeros_mean_no_text(name, folder)
            with_text = False
        else:
            with_text = (text_encoder / "config.json").is_file()
        text = empty_text(name, folder, width, hollow) if with_text else torch.zeros(1, TOKENS, width)
        module.register_buffer("empty_text", text.to(module.device), persistent=False)  # follows the module
        folders = (place, text_encoder, folder / "tokenizer") if with_text else (place,)
        return cls(name, module, vae, read_schedule(folder), folders)

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
        return list(hourglass_blocks(self.name, self.module, LEVEL_KINDS))

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.vae.encode(pixels.to(self.module.device))

    def run(self, inputs: torch.Tensor, timestep: int | None) -> object:
        count, config = len(inputs), self.module.config
        text = self.module.get_buffer("empty_text").expand(count, -1, -1)
        added = None
        if config["addition_embed_type"] == "text_time":
            sizes = torch.tensor([self.image_side, self.image_side, 0, 0, self.image_side, self.image_side])
            pooled = config["projection_class_embeddings_input_dim"] - len(sizes) * config["addition_time_embed_dim"]
            added = {
                "text_embeds": torch.zeros(count, pooled, device=inputs.device),
                "time_ids": sizes.to(inputs.device).expand(count, -1),
            }
        return self.module(inputs, timestep, encoder_hidden_states=text, added_cond_kwargs=added, return_dict=False)

    def map_of(self, submodule: str, output: Any) -> torch.Tensor:
        """A transformer gives a tuple of one map, a convolution the map."""
        values: torch.Tensor = output[0] if isinstance(output, tuple) else output
        return values


def empty_text(name: str, folder: Path, width: int, hollow: bool) -> torch.Tensor:
    """ "" padded to the full context, through `tokenizer/` and `text_encoder/`: float32 (1, tokens, width).

    As diffusers' pipelines do it: the encoder's last hidden states, the padding not masked. A hollow one reads no
    weights and is empty, on the meta device. Raises BackboneError for another text encoder than CLIP's, or where
    files are missing or damaged.
    """
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    place, vocabulary = folder / "text_encoder", folder / "tokenizer"
    with loading(name, place):
        kind = json.loads((place / "config.json").read_text()).get("model_type")
        if kind != "clip_text_model":
            raise BackboneError(f"backbone {name} has a text encoder of kind {kind}; only clip_text_model is known")
        config = CLIPTextConfig.from_pretrained(place)
    if config.hidden_size != width:
        raise BackboneError(f"backbone {name} reads texts {width} wide, its text encoder's are {config.hidden_size}")
    if not any((vocabulary / file).is_file() for file in ("vocab.json", "tokenizer.json")):
        raise BackboneError(f"backbone {name} has a text encoder, but {vocabulary} has no vocabulary for it")
    length = config.max_position_embeddings
    if hollow:
        return torch.empty(1, length, width, device="meta")
    with loading(name, vocabulary):
        tokenizer = CLIPTokenizer.from_pretrained(vocabulary)
        tokens = tokenizer("", padding="max_length", max_length=length, return_tensors="pt")
    with loading(name, place), torch.no_grad():
        encoder = CLIPTextModel.from_pretrained(place, dtype=torch.float32)
        text: torch.Tensor = encoder(tokens.input_ids).last_hidden_state
    return text


def _text_width(name: str, module: UNet2DConditionModel) -> int:
    """Return the width of a token. Raises BackboneError where the network is told more than a text and SDXL's sizes."""
    config = module.config
    conditions = [told for entry, told in UNKNOWN_CONDITIONS.items() if config[entry]]
    if config["addition_embed_type"] not in (None, "text_time"):
        conditions.append(f"an embedding of kind {config['addition_embed_type']}")
    if conditions:
        raise BackboneError(
            f"backbone {name} is conditioned by {conditions[0]}; only a text and the sizes that SDXL is told are known"
        )
    width = config["cross_attention_dim"]
    widths = {width} if isinstance(width, int) else set(width)
    if len(widths) > 1:
        raise BackboneError(f"backbone {name} reads texts of several widths, {sorted(widths)}; only one is known")
    return int(widths.pop())


def _check_zeros_mean_no_text(name: str, folder: Path) -> None:
    """For networks of SDXL's kind: the refiner's, which reads other sizes too, was not trained so."""
    index = folder / "model_index.json"
    with loading(name, folder):
        values = json.loads(index.read_text()) if index.is_file() else {}
    if not values.get("force_zeros_for_empty_prompt", True):
        raise BackboneError(
            f"backbone {name} was not trained with zeros for an empty text (force_zeros_for_empty_prompt in {index}); "
            "of SDXL's kind only those are known that were, such as the base model"
        )
