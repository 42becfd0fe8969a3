"""Encoders of clean images that transformers knows: ResNets and vision transformers, CLIP's and SigLIP's among them."""

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
from transformers.models.auto.image_processing_auto import get_image_processor_config
from transformers.models.clip.modeling_clip import CLIPEncoderLayer
from transformers.models.dinov2.modeling_dinov2 import Dinov2Layer
from transformers.models.dinov2_with_registers.modeling_dinov2_with_registers import Dinov2WithRegistersLayer
from transformers.models.dinov3_vit.modeling_dinov3_vit import DINOv3ViTLayer
from transformers.models.resnet.modeling_resnet import ResNetBasicLayer, ResNetBottleNeckLayer, ResNetEmbeddings
from transformers.models.siglip.modeling_siglip import SiglipEncoderLayer
from transformers.models.vit.modeling_vit import ViTLayer
from transformers.models.vit_mae.modeling_vit_mae import ViTMAELayer

from objectives.backbones.files import loading, network_folder
from spaces import BackboneError
from spaces.blocks import Part

RESNET_SIDE = 224  # of He et al. 2016, section 3.4; a ResNet's own configuration says nothing of a side


def _forward(model: PreTrainedModel, images: torch.Tensor) -> object:
    return model(images)


def _interpolated(model: PreTrainedModel, images: torch.Tensor) -> object:
    """Positions learnt for another side are interpolated; for the side of training they are as they were learnt."""
    return model(images, interpolate_pos_encoding=True)


def _unmasked(model: PreTrainedModel, images: torch.Tensor) -> object:
    """MAE's encoder puts patches in the order of their noise; this noise leaves them in their own."""
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
    """What differs between encoders.

    model: its class in transformers. layers: of the modules whose outputs are blocks. summary: the submodule whose
    output has the whole image's representation, alone or as the first of its tokens; None where there is none beside
    the maps. normalisation: of folders that do not say. options: of the model's constructor. settings: entries of its
    configuration that are not as in training. forward: one pass.
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
"""What a configuration calls its network (`model_type`) → its family."""


@final
@dataclass(frozen=True)
class EncoderNetwork:
    """An encoder that reads clean RGB pixels in [0, 1], normalised by channel.

    A residual layer's output is a map as it is. A transformer layer's patch tokens are one map, each in the place of
    its patch; class and register tokens are left out. A transformer's last block is its own summary of the image, a
    map of side 1: the class token after the last norm (ViT, Dosovitskiy et al. 2021, section 3.1; MAE, He et al. 2022;
    DINOv2, Oquab et al. 2024; CLIP before its projection, Radford et al. 2021, section 2.4), or the output of the
    attention-pooling head (SigLIP, Zhai et al. 2023). MAE's encoder sees every patch. Images come square, of the
    side to which the model's own processor resizes or crops; its way of doing so is not used.
    """

    name: str
    module: PreTrainedModel
    family: Family
    image_side: int
    normalisation: Normalisation
    folders: tuple[Path, ...]
    schedule: None = None
    autoencoder: None = None

    @classmethod
    def read(cls, family: Family, name: str, folder: Path, hollow: bool) -> Self:
        """From a folder of transformers, of the whole model or of the encoder alone; a hollow one reads no weights.

        Raises BackboneError where files are missing or damaged, where a weight of the encoder is missing, or where
        it does not read square RGB images.
        """
        place = network_folder(folder)
        with loading(name, place):
            # transformers' default attention is the fused one; a folder's choice may need what is not installed
            config = family.model.config_class.from_pretrained(place, attn_implementation=None, **family.settings)
            processor = get_image_processor_config(place, local_files_only=True)
            size, patch = _image_size(processor, config), getattr(config, "patch_size", 1)
            if config.num_channels != 3 or len(set(size.values())) != 1 or not isinstance(patch, int):
                raise BackboneError(
                    f"backbone {name} must take square RGB images in square patches; its input has "
                    f"{config.num_channels} channels, its images are of {size} and its patches of {patch}"
                )
            module = _hollow(family, config) if hollow else _loaded(name, place, family, config)
        return cls(name, module, family, min(size.values()), _normalisation(processor, family), (place,))

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

    def run(self, inputs: torch.Tensor, timestep: int | None) -> object:
        return self.family.forward(self.module, inputs)

    def map_of(self, submodule: str, output: Any) -> torch.Tensor:
        """A map, or (n, tokens, width) whose last side² are the patches row by row, or the summary (n, width)."""
        values: torch.Tensor = output
        if submodule == self.family.summary:
            summary = values if values.ndim == 2 else values[:, 0]
            return summary[:, :, None, None]
        if values.ndim == 4:
            return values
        side: int = self.image_side // self.module.config.patch_size
        return values[:, -side * side :].reshape(len(values), side, side, -1).permute(0, 3, 1, 2)


def _hollow(family: Family, config: Any) -> Any:
    with torch.device("meta"):
        return family.model(config, **family.options).eval()


def _loaded(name: str, place: Path, family: Family, config: Any) -> Any:
    """Raises BackboneError where a weight is missing or of another shape, which transformers would draw at random."""
    module, report = family.model.from_pretrained(
        place,
        config=config,
        dtype=torch.float32,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
        **family.options,
    )
    drawn = {*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}
    drawn = {key for key in drawn if not key.endswith("num_batches_tracked")}  # read in training alone
    if drawn:
        raise BackboneError(
            f"{len(drawn)} of the weights of backbone {name} are missing in {place} or of another shape than its "
            f"configuration says, {min(drawn)} first; give the folder of a whole checkpoint"
        )
    return module


def _image_size(processor: dict[str, Any], config: Any) -> dict[str, int]:
    """Return the size that the model's own processor gives images, as transformers writes sizes.

    Where the folder has no processor, it is the size of training.
    """
    cropped = processor.get("do_center_crop", True) and processor.get("crop_size")
    return get_size_dict(cropped or processor.get("size") or getattr(config, "image_size", RESNET_SIDE))


def _normalisation(processor: dict[str, Any], family: Family) -> Normalisation:
    if not processor.get("do_normalize", True):
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    mean, std = family.normalisation
    return processor.get("image_mean") or mean, processor.get("image_std") or std
