"""Encoders of clean images from transformers: ResNets and vision transformers, including those of CLIP and SigLIP."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, final

import torch
from torch import nn
from transformers import (
    CLIPVisionModel,
    Dinov2Model,
    Dinov2WithRegistersModel,
    DINOv3ViTModel,
    PreTrainedModel,
    ResNetModel,
    SiglipVisionModel,
    ViTMAEModel,
    ViTModel,
)
from transformers.image_processing_utils import get_size_dict
from transformers.models.clip.modeling_clip import CLIPEncoderLayer
from transformers.models.dinov2.modeling_dinov2 import Dinov2Layer
from transformers.models.dinov2_with_registers.modeling_dinov2_with_registers import Dinov2WithRegistersLayer
from transformers.models.dinov3_vit.modeling_dinov3_vit import DINOv3ViTLayer
from transformers.models.resnet.modeling_resnet import ResNetBasicLayer, ResNetBottleNeckLayer, ResNetEmbeddings
from transformers.models.siglip.modeling_siglip import SiglipEncoderLayer
from transformers.models.vit.modeling_vit import ViTLayer
from transformers.models.vit_mae.modeling_vit_mae import ViTMAELayer

from objectives.backbones.files import load_pretrained, loading, network_folder
from objectives.backbones.folders.companions import check_no_adapter
from objectives.backbones.folders.configuration import (
    check_image_side,
    is_there,
    read_configuration,
    read_object,
    square_side,
)
from objectives.backbones.reading import Reading
from spaces import BackboneError
from spaces.blocks import Part

RESNET_SIDE = 224  # He et al. 2016, section 3.4; the configuration of a ResNet has no image side
RESNET_REDUCTION = 32  # pixels of a side per position of a side of the last map


def _forward(model: PreTrainedModel, images: torch.Tensor) -> object:
    return model(images)


def _interpolated(model: PreTrainedModel, images: torch.Tensor) -> object:
    """Interpolate the position embeddings if the side differs from that of training."""
    return model(images, interpolate_pos_encoding=True)


def _unmasked(model: PreTrainedModel, images: torch.Tensor) -> object:
    """Keep MAE's patches in order: its encoder sorts them by noise, and this noise is ascending."""
    patches = (images.shape[-1] // model.config.patch_size) ** 2
    noise = torch.arange(patches, device=images.device).expand(len(images), -1)
    return model(images, noise=noise, interpolate_pos_encoding=True)


Normalisation = tuple[Sequence[float], Sequence[float]]
"""(mean, standard deviation) of each channel of RGB in [0, 1]."""

OF_IMAGENET: Normalisation = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
OF_CLIP: Normalisation = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
TO_ONE: Normalisation = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))  # [0, 1] to [-1, 1]


@final
@dataclass(frozen=True)
class Family:
    """A family of encoders: the differences between its networks and those of other families.

    model: class of the network in transformers.
    layers: classes of the modules whose outputs are blocks.
    summary: name of the submodule whose output represents the whole image, alone or as its first token; None if the
    network has only maps.
    normalisation: used if a folder has none.
    options: arguments of the model's constructor.
    settings: entries of the configuration that differ from training.
    forward: makes the forward passes of a batch.
    """

    model: Any
    layers: tuple[type[nn.Module], ...]
    summary: str | None
    normalisation: Normalisation
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    forward: Callable[[PreTrainedModel, torch.Tensor], object] = _forward


CLIP = Family(CLIPVisionModel, (CLIPEncoderLayer,), "post_layernorm", OF_CLIP, forward=_interpolated)
SIGLIP = Family(SiglipVisionModel, (SiglipEncoderLayer,), "head", TO_ONE, forward=_interpolated)
FAMILIES = {
    "resnet": Family(ResNetModel, (ResNetEmbeddings, ResNetBasicLayer, ResNetBottleNeckLayer), None, OF_IMAGENET),
    "vit": Family(
        ViTModel, (ViTLayer,), "layernorm", TO_ONE, options={"add_pooling_layer": False}, forward=_interpolated
    ),
    "vit_mae": Family(
        ViTMAEModel, (ViTMAELayer,), "layernorm", OF_IMAGENET, settings={"mask_ratio": 0.0}, forward=_unmasked
    ),
    "dinov2": Family(Dinov2Model, (Dinov2Layer,), "layernorm", OF_IMAGENET),
    "dinov2_with_registers": Family(Dinov2WithRegistersModel, (Dinov2WithRegistersLayer,), "layernorm", OF_IMAGENET),
    "dinov3_vit": Family(DINOv3ViTModel, (DINOv3ViTLayer,), "norm", OF_IMAGENET),
    "clip": CLIP,
    "clip_vision_model": CLIP,
    "siglip": SIGLIP,
    "siglip_vision_model": SIGLIP,
}
"""`model_type` of a configuration → family."""


@final
@dataclass(frozen=True)
class EncoderNetwork:
    """An encoder that reads clean RGB pixels in [0, 1], normalised by channel.

    The output of a residual layer is a map. The patch tokens of a transformer layer form one map, in which each token
    has the position of its patch; class and register tokens are left out. The last block of a transformer is the
    network's summary of the image, a map of side 1: the class token after the last norm (ViT, Dosovitskiy et al. 2021,
    section 3.1; MAE, He et al. 2022; DINOv2, Oquab et al. 2024; CLIP before its projection, Radford et al. 2021,
    section 2.4), or the output of the attention-pooling head (SigLIP, Zhai et al. 2023). MAE's encoder sees every
    patch. Images are square. Their side is the one to which the model's processor resizes or crops; the processor
    itself is not used.
    """

    name: str
    module: PreTrainedModel
    family: Family
    image_side: int
    normalisation: Normalisation
    folders: tuple[Path, ...]
    changes: tuple[str, ...] = ()
    schedule: None = None
    autoencoder: None = None

    @classmethod
    def read(cls, family: Family, name: str, folder: Path, reading: Reading) -> Self:
        """Read a network from a transformers folder of a whole model or of an encoder.

        Raises BackboneError if files are missing or damaged, if a weight of the encoder is missing, if the network
        does not read square RGB images, or if it cannot take the image side.
        """
        reading.check_no_prompt(name, "reads no text")
        source = network_folder(folder)
        check_no_adapter(name, source)
        read_configuration(source / "config.json")
        processor = processor_of(source)
        with loading(name, source):
            # None is transformers' default, fused attention; a folder's choice may need a missing package
            config = family.model.config_class.from_pretrained(source, attn_implementation=None, **family.settings)
            size, patches = image_size(processor, config), getattr(config, "patch_size", 1)
            patch = square_side(patches)
            side = square_side(list(size.values()) * (2 // len(size)))
            if config.num_channels != 3 or side is None or patch is None:
                raise BackboneError(
                    f"backbone {name} must take square RGB images in square patches; its input has "
                    f"{config.num_channels} channels, images of {size} and patches of {patches}"
                )
            check_image_side(name, side)
            changes: list[str] = []
            reading.check_inside(name, (), changes)
            step = patch if hasattr(config, "patch_size") else RESNET_REDUCTION
            side = reading.side_of_latents(name, side, 1, step, None, changes)
            if hasattr(config, "patch_size"):  # one number, which all that follows can take
                config.patch_size = patch
                config.image_size = square_side(config.image_size) or config.image_size
            if reading.hollow:
                with torch.device("meta"):
                    module = family.model(config, **family.options).eval()
            else:
                module = load_pretrained(name, family.model, source, config=config, **family.options)
        return cls(
            name, module, family, side, normalisation(name, processor, family.normalisation), (source,), tuple(changes)
        )

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return 3, self.image_side, self.image_side

    def blocks(self) -> list[tuple[str, Part]]:
        return [
            (name, "layer")
            for name, part in self.module.named_modules()
            if isinstance(part, self.family.layers) or name == self.family.summary
        ]

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        mean, std = (torch.tensor(values, device=pixels.device).view(3, 1, 1) for values in self.normalisation)
        return (pixels.float() / 255 - mean) / std

    def run(self, inputs: torch.Tensor, times: torch.Tensor | None) -> object:
        return self.family.forward(self.module, inputs)

    def map_of(self, submodule: str, output: Any) -> torch.Tensor:
        """Turn the output of a submodule into maps (n, channels, side, side).

        output: maps; or tokens (n, tokens, width), of which the last side² are the patches row by row; or the summary
        (n, width).
        """
        values: torch.Tensor = output
        if submodule == self.family.summary:
            summary = values if values.ndim == 2 else values[:, 0]
            return summary[:, :, None, None]
        if values.ndim == 4:
            return values
        side: int = self.image_side // self.module.config.patch_size
        return values[:, -side * side :].reshape(len(values), side, side, -1).permute(0, 3, 1, 2)


def processor_of(folder: Path) -> dict[str, Any]:
    """Return the configuration of the image processor; empty if there is none. Raises BackboneError if damaged."""
    whole, alone = folder / "processor_config.json", folder / "preprocessor_config.json"
    if is_there(whole):
        processor = read_object(whole).get("image_processor")
        if isinstance(processor, dict):
            return processor
        if processor is not None:
            raise BackboneError(f"`image_processor` in {whole} must be a JSON object, got {processor!r:.40}")
    return read_object(alone) if is_there(alone) else {}


def image_size(processor: dict[str, Any], config: Any) -> dict[str, int]:
    """Return the image size that the processor makes, else that of training, in the form of transformers."""
    cropped = processor.get("do_center_crop", True) and processor.get("crop_size")
    return get_size_dict(cropped or processor.get("size") or getattr(config, "image_size", RESNET_SIDE))


def normalisation(name: str, processor: dict[str, Any], default: Normalisation) -> Normalisation:
    """Return the mean and standard deviation of each channel. default: used if the processor has none.

    Raises BackboneError for a processor that changes pixels in another way: by another scale than 1/255, or another
    order of the channels.
    """
    scale = processor.get("rescale_factor") or 1 / 255
    rescales = processor.get("do_rescale", True) and type(scale) in (int, float) and abs(scale * 255 - 1) < 1e-6
    if not rescales or processor.get("do_flip_channel_order"):
        raise BackboneError(
            f"the image processor of backbone {name} changes pixels in an unknown way (do_rescale, rescale_factor or "
            "do_flip_channel_order); only RGB in [0, 1], 1/255 of the values in a file, is known"
        )
    if not processor.get("do_normalize", True):
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    mean, std = (
        processor.get(entry) or values for entry, values in zip(("image_mean", "image_std"), default, strict=True)
    )
    if not _is_of_channels(mean, -100) or not _is_of_channels(std, 0):
        raise BackboneError(
            f"the image processor of backbone {name} (preprocessor_config.json or processor_config.json) must have 3 "
            f"numbers between -100 and 100 as `image_mean`, and 3 above 0 and below 100 as `image_std`, "
            f"got {mean!r:.60} and {std!r:.60}"
        )
    return mean, std


def _is_of_channels(values: object, above: float) -> bool:
    """Return whether `values` are three numbers between `above` and 100."""
    if not isinstance(values, list | tuple) or len(values) != 3:
        return False
    return all(type(value) in (int, float) and above < value < 100 for value in values)
