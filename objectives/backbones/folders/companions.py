"""Checks what lies beside a network in a diffusers pipeline, since it may change what the network reads."""

from pathlib import Path
from typing import Any

from objectives.backbones.folders.configuration import is_there, read_object, unreadable
from spaces import BackboneError

INDEX = "model_index.json"

UNUSED = ("safety_checker", "feature_extractor", "unet_ema", "transformer_ema")
"""Parts of a pipeline that do not change what its network reads."""

WITH_TEXT = {"transformer", "scheduler", "vae", "text_encoder", "tokenizer"}

COMPANIONS = {
    "UNet2DModel": {"unet", "scheduler", "vqvae"},
    "UNet2DConditionModel": {
        *("unet", "scheduler", "vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2"),
        "image_encoder",  # without an image, as without a text, the network reads zeros
    },
    "DiTTransformer2DModel": {"transformer", "scheduler", "vae"},
    "PixArtTransformer2DModel": WITH_TEXT,
    "SD3Transformer2DModel": {
        *WITH_TEXT,
        *("text_encoder_2", "tokenizer_2", "text_encoder_3", "tokenizer_3"),
        "image_encoder",  # without an image, the network reads none
    },
    "SanaTransformer2DModel": WITH_TEXT,
    "FluxTransformer2DModel": {*WITH_TEXT, "text_encoder_2", "tokenizer_2", "image_encoder"},
    "Flux2Transformer2DModel": WITH_TEXT,
    "Lumina2Transformer2DModel": WITH_TEXT,
    "PRXTransformer2DModel": WITH_TEXT,
}
"""Kind of network → the parts of its pipeline that are understood, besides UNUSED."""

NAMES = {"Transformer2DModel": ("DiTTransformer2DModel", "PixArtTransformer2DModel")}
"""A class's former name → the names that it may have now."""

AUTOENCODERS = {
    "SanaTransformer2DModel": ("AutoencoderDC",),
    "Flux2Transformer2DModel": ("AutoencoderKLFlux2",),
    "PRXTransformer2DModel": ("AutoencoderKL", "AutoencoderDC"),
}
"""Kind of network → the classes of its autoencoder, where it is not AutoencoderKL alone."""

PLACES = {"scheduler": ("scheduler", "scheduler_config.json"), "vae": ("vae",), "vqvae": ("vqvae",)}
"""Part besides the network → where a pipeline may have it. The first published DDPMs have no subfolders."""

ADAPTERS = (
    "adapter_config.json",
    "adapter_model.safetensors",
    "pytorch_lora_weights.safetensors",
    "pytorch_lora_weights.bin",
)
"""Files that change a network's weights, and are not applied."""


def check_companions(name: str, folder: Path, network: Path, kind: str) -> dict[str, str]:
    """Check the parts of a pipeline: those that its model_index.json names, else those in its folder.

    A UNet2DModel reads pixels or the latents of `vqvae/`, so another autoencoder beside it is refused, whether the
    index names it or not.
    network: the network's own folder, `folder` or one in it. kind: the class of the network. Returns the parts that the
    index names, with their classes. Raises BackboneError for a part that is not understood, or that is missing.
    """
    check_no_adapter(name, folder)
    check_no_adapter(name, network)
    indexed = indexed_parts(folder)
    # Repositories also hold the pipeline's parts for other programs, such as vae_decoder/; the index says what counts.
    beside = {} if indexed and kind != "UNet2DModel" else _beside(folder, network)
    for part, class_name in {**beside, **indexed}.items():
        if part not in COMPANIONS[kind] and part not in UNUSED and not part.startswith("checkpoint"):
            raise BackboneError(
                f"backbone {name} is a {kind} with {part} ({class_name}) beside it in {folder}, which may change what "
                f"it reads and is not known; known: {', '.join(sorted(COMPANIONS[kind]))}"
            )
    autoencoders = AUTOENCODERS.get(kind, ("AutoencoderKL",))
    expected = {"unet": (kind,), "transformer": (kind,), "vae": autoencoders, "vqvae": ("VQModel", "AutoencoderKL")}
    for part, class_name in indexed.items():
        if part in PLACES and not any(is_there(folder / place) for place in PLACES[part]):
            raise BackboneError(
                f"{folder / INDEX} names {part} ({class_name}), but {folder / part} is not there; fetch it too"
            )
        plain = plain_name(class_name)
        if part in expected and not {plain, *NAMES.get(plain, ())} & set(expected[part]):
            raise BackboneError(
                f"{folder / INDEX} says that {part} is a {class_name}, but only {' or '.join(expected[part])} is known "
                f"for backbone {name}; give the folder of a whole pipeline of one kind"
            )
    return indexed


def plain_name(class_name: str) -> str:
    """Return the name of a class of diffusers without the prefix of its copy for Flax."""
    return class_name.removeprefix("Flax")


def check_no_adapter(name: str, folder: Path) -> None:
    """Raises BackboneError if a folder has an adapter, such as LoRA, besides its weights."""
    for file in ADAPTERS:
        if is_there(folder / file):
            raise BackboneError(
                f"backbone {name} has an adapter, {folder / file}, which is not applied; merge it into the weights, or "
                "move it elsewhere"
            )


def indexed_parts(folder: Path) -> dict[str, str]:
    """Return the parts that a pipeline's model_index.json names, with their classes; absent ones are left out.

    An entry such as `_class_name` is no part, also where it names a pipeline of one's own as [module, class].
    """
    index = folder / INDEX
    if not is_there(index):
        return {}
    values: dict[str, Any] = read_object(index)
    return {
        part: value[1]
        for part, value in values.items()
        if not part.startswith("_") and isinstance(value, list) and len(value) == 2 and isinstance(value[1], str)
    }


def _beside(folder: Path, network: Path) -> dict[str, str]:
    """Return the networks in the folders of a pipeline, with their classes."""
    parts = {}
    try:
        for part in sorted(folder.iterdir()):
            config = part / "config.json"
            if part != network and part.is_dir() and is_there(config):
                values = read_object(config)
                parts[part.name] = str(values.get("_class_name") or values.get("model_type") or "of no stated kind")
    except OSError as error:
        raise unreadable(folder, error) from None
    return parts
