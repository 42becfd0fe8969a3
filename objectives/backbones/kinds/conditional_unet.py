"""Diffusion U-Nets that read latents of an autoencoder, as Stable Diffusion does: diffusers' `UNet2DConditionModel`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, final

import torch
from diffusers import UNet2DConditionModel

from objectives.backbones.files import load_pretrained, loading, network_folder, read_module
from objectives.backbones.folders.companions import check_companions, check_no_adapter
from objectives.backbones.folders.configuration import (
    check_image_side,
    is_there,
    read_configuration,
    read_object,
    square_side,
)
from objectives.backbones.kinds.latent_network import LatentNetwork
from objectives.backbones.kinds.unet import check_times, hourglass_blocks
from objectives.backbones.pipeline.autoencoders import Autoencoder
from objectives.backbones.pipeline.schedule import read_schedule
from objectives.backbones.reading import Reading
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
"""Entry of a UNet2DConditionModel's configuration → the condition besides a text that it means if set."""

TOKENS = 77  # context length of the CLIP text encoders with which these networks were trained


@final
@dataclass(frozen=True)
class ConditionalUNetNetwork(LatentNetwork):
    """A UNet2DConditionModel that reads latents and is conditioned on a text, which is empty unless a person gives one.

    The text is encoded by the pipeline's CLIP tokenizer and text encoder. Classifier-free guidance uses the empty text
    for its unconditional prediction (Ho & Salimans 2022). If the folder has no text encoder, the text is zeros.
    Networks like SDXL also get zeros, as in their own pipeline. As sizes they get an original and a target size equal
    to the network's own side, and no crop (Podell et al. 2023, section 2.2).
    """

    @classmethod
    def read(cls, name: str, folder: Path, reading: Reading) -> Self:
        """Read a network from the folder of a diffusers pipeline.

        Raises BackboneError if files are missing or damaged, if the network reads more than latents (such as a masked
        image or a depth map), or if it is conditioned on more than a text. `blocks` raises BackboneError if a block is
        of an unknown kind.
        """
        network, text_encoder, hollow = network_folder(folder), folder / "text_encoder", reading.hollow
        parts = check_companions(name, folder, network, "UNet2DConditionModel")
        vae = Autoencoder.read(name, folder / "vae", hollow)
        module = read_module(name, UNet2DConditionModel, network, hollow)
        side, channels = square_side(module.config["sample_size"]), module.config["in_channels"]
        if side is None or channels != vae.channels:
            raise BackboneError(
                f"backbone {name} must take square latents of {vae.channels} channels, its autoencoder's, and nothing "
                f"besides; its input is {channels} x {module.config['sample_size']}"
            )
        check_image_side(name, side * vae.reduction)
        halvings = sum(level.downsamplers is not None for level in module.down_blocks)
        changes: list[str] = []
        reading.check_inside(name, (), changes)
        side = reading.side_of_latents(name, side, vae.reduction, 2**halvings, None, changes)
        schedule = read_schedule(folder)
        check_times(name, module.config, schedule)
        width = _text_width(name, module)
        if module.config["addition_embed_type"] == "text_time":
            _check_zeros_mean_no_text(name, folder)
            with_text = False
        else:
            with_text = is_there(text_encoder) or "text_encoder" in parts
        if not with_text:
            reading.check_no_prompt(name, "reads zeros in place of a text")
        elif reading.prompt:
            changes.append(f"text {reading.prompt!r}")
        text = clip_text(name, folder, width, reading) if with_text else torch.zeros(1, TOKENS, width)
        module.register_buffer("text_tokens", text.to(module.device), persistent=False)  # moves with the module
        folders = (network, text_encoder, folder / "tokenizer") if with_text else (network,)
        return cls(name, module, vae, schedule, folders, side, tuple(changes))

    def blocks(self) -> list[tuple[str, Part]]:
        return list(hourglass_blocks(self.name, self.module, LEVEL_KINDS))

    def run(self, inputs: torch.Tensor, times: torch.Tensor | None) -> object:
        count, config = len(inputs), self.module.config
        text = self.module.get_buffer("text_tokens").expand(count, -1, -1)
        added = None
        if config["addition_embed_type"] == "text_time":
            sizes = torch.tensor([self.image_side, self.image_side, 0, 0, self.image_side, self.image_side])
            pooled = config["projection_class_embeddings_input_dim"] - len(sizes) * config["addition_time_embed_dim"]
            added = {
                "text_embeds": torch.zeros(count, pooled, device=inputs.device),
                "time_ids": sizes.to(inputs.device).expand(count, -1),
            }
        return self.module(inputs, times, encoder_hidden_states=text, added_cond_kwargs=added, return_dict=False)

    def map_of(self, submodule: str, output: Any) -> torch.Tensor:
        """Return the map in the output of a transformer, a tuple of one map, or of a convolution, the map."""
        values: torch.Tensor = output[0] if isinstance(output, tuple) else output
        return values


def clip_text(name: str, folder: Path, width: int, reading: Reading) -> torch.Tensor:
    """Encode the prompt with `tokenizer/` and `text_encoder/` of a pipeline: float32 (1, tokens, width).

    The text is padded to the full context. As in diffusers' pipelines, the result is the encoder's last hidden states,
    and the padding is not masked. A hollow reading reads no weights, and gets an empty tensor on the meta device.
    Raises BackboneError if the text encoder is not CLIP's, or if files are missing or damaged.
    """
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    text_encoder, vocabulary = folder / "text_encoder", folder / "tokenizer"
    kind = read_configuration(text_encoder / "config.json").get("model_type")
    if kind != "clip_text_model":
        raise BackboneError(f"backbone {name} has a text encoder of kind {kind}; only clip_text_model is known")
    check_no_adapter(name, text_encoder)
    with loading(name, text_encoder):
        config = CLIPTextConfig.from_pretrained(text_encoder)
    if config.hidden_size != width:
        raise BackboneError(f"backbone {name} reads texts {width} wide, its text encoder's are {config.hidden_size}")
    if not any((vocabulary / file).is_file() for file in ("vocab.json", "tokenizer.json")):
        raise BackboneError(f"backbone {name} has a text encoder, but {vocabulary} has no vocabulary for it")
    length = config.max_position_embeddings
    if reading.hollow:
        return torch.empty(1, length, width, device="meta")
    with loading(name, vocabulary):
        tokenizer = CLIPTokenizer.from_pretrained(vocabulary)
        tokens = tokenizer(reading.text, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    with loading(name, text_encoder), torch.no_grad():
        encoder = load_pretrained(name, CLIPTextModel, text_encoder)
        text: torch.Tensor = encoder(tokens.input_ids).last_hidden_state
    return text


def _text_width(name: str, module: UNet2DConditionModel) -> int:
    """Return the width of a text token. Raises BackboneError for conditions other than a text and SDXL's sizes."""
    config = module.config
    conditions = [condition for entry, condition in UNKNOWN_CONDITIONS.items() if config[entry]]
    if config["addition_embed_type"] not in (None, "text_time"):
        conditions.append(f"an embedding of kind {config['addition_embed_type']}")
    if conditions:
        raise BackboneError(
            f"backbone {name} is conditioned by {conditions[0]}; only a text and SDXL's sizes are known"
        )
    width = config["cross_attention_dim"]
    widths = {width} if isinstance(width, int) else set(width)
    if len(widths) > 1:
        raise BackboneError(f"backbone {name} reads texts of several widths, {sorted(widths)}; only one is known")
    return int(widths.pop())


def _check_zeros_mean_no_text(name: str, folder: Path) -> None:
    """Raise BackboneError if a network like SDXL was not trained with zeros for an empty text.

    SDXL's refiner, which also reads other sizes, was not.
    """
    index = folder / "model_index.json"
    values = read_object(index) if is_there(index) else {}
    if not values.get("force_zeros_for_empty_prompt", True):
        raise BackboneError(
            f"backbone {name} was not trained with zeros for an empty text (force_zeros_for_empty_prompt in {index}); "
            "use a network that was, such as SDXL's base model"
        )
