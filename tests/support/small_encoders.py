"""Small image encoders with random weights, saved as folders in the forms in which encoders are published."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    BeitConfig,
    BeitForImageClassification,
    CLIPConfig,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    ConvNextV2Config,
    ConvNextV2ForImageClassification,
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    DINOv3ViTConfig,
    DINOv3ViTModel,
    IJepaConfig,
    IJepaModel,
    PreTrainedModel,
    ResNetConfig,
    ResNetForImageClassification,
    SiglipConfig,
    SiglipModel,
    SiglipVisionConfig,
    SiglipVisionModel,
    SwinConfig,
    SwinForImageClassification,
    ViTConfig,
    ViTForImageClassification,
    ViTMAEConfig,
    ViTMAEForPreTraining,
)

SIDE, PATCH, WIDTH, HIDDEN, LAYERS = 32, 8, 16, 48, 2
DEPTH: dict[str, Any] = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 2}
TRANSFORMER = DEPTH | {"image_size": SIDE, "patch_size": PATCH}
WITH_MLP = TRANSFORMER | {"intermediate_size": HIDDEN}
TEXT = DEPTH | {"intermediate_size": HIDDEN, "vocab_size": 10}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}


def preprocessing(folder: Path, **values: object) -> None:
    (folder / "preprocessor_config.json").write_text(json.dumps(values))


def randomise(model: PreTrainedModel) -> Any:
    """Spread the weights and the batch norms' statistics as training would, so that a wrong one changes the maps."""
    generator = torch.Generator().manual_seed(0)
    for name, values in model.state_dict().items():
        if name.endswith("running_var"):
            values.uniform_(0.5, 2, generator=generator)
        elif values.is_floating_point():
            values.add_(torch.randn(values.shape, generator=generator), alpha=0.1)
    return model


def resnet(folder: Path) -> None:
    """Save a classifier made of bottleneck layers."""
    config = ResNetConfig(embedding_size=8, hidden_sizes=[16, 32], depths=[1, 2])
    randomise(ResNetForImageClassification(config)).save_pretrained(folder)
    preprocessing(folder, size=SIDE, crop_pct=0.875, feature_extractor_type="ConvNextFeatureExtractor", **IMAGENET)


def resnet_of_basic_layers(folder: Path) -> None:
    """Save a classifier of basic layers for pixels in [-1, 1], unlike the published ones."""
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[2, 1], layer_type="basic")
    randomise(ResNetForImageClassification(config)).save_pretrained(folder)
    preprocessing(folder, size={"shortest_edge": SIDE}, image_processor_type="ConvNextImageProcessor", **HALF)


def vit(folder: Path) -> None:
    """Save a classifier with dropout, with the names and settings of the first published ViTs."""
    config = ViTConfig(**WITH_MLP, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)
    randomise(ViTForImageClassification(config)).save_pretrained(folder)
    preprocessing(folder, size=SIDE, do_normalize=True, do_resize=True, **HALF)


def vit_mae(folder: Path) -> None:
    """Save a masked autoencoder, with the decoder that reconstructs pixels."""
    decoder = {f"decoder_{entry}": value for entry, value in DEPTH.items()}
    config = ViTMAEConfig(**WITH_MLP, **decoder, decoder_intermediate_size=HIDDEN)
    randomise(ViTMAEForPreTraining(config)).save_pretrained(folder)
    preprocessing(folder, size=SIDE, feature_extractor_type="ViTFeatureExtractor", **IMAGENET)


def dinov2(folder: Path) -> None:
    """Save an encoder trained at a larger image side than its processor crops to."""
    config = Dinov2Config(**TRANSFORMER | {"image_size": 56, "patch_size": 7})
    randomise(Dinov2Model(config)).save_pretrained(folder)
    crop = {"do_center_crop": True, "crop_size": {"height": 28, "width": 28}, "size": {"shortest_edge": 32}}
    preprocessing(folder, image_processor_type="BitImageProcessor", **crop, **IMAGENET)


def dinov2_with_registers(folder: Path) -> None:
    """Save an encoder with the feed-forward layers (SwiGLU) of the largest published one."""
    config = Dinov2WithRegistersConfig(**TRANSFORMER, num_register_tokens=4, use_swiglu_ffn=True)
    randomise(Dinov2WithRegistersModel(config)).save_pretrained(folder)
    crop = {"do_center_crop": True, "crop_size": {"height": SIDE, "width": SIDE}, "size": {"shortest_edge": 40}}
    preprocessing(folder, image_processor_type="BitImageProcessor", **crop, **IMAGENET)


def dinov3(folder: Path) -> None:
    config = DINOv3ViTConfig(**WITH_MLP, num_register_tokens=4)
    randomise(DINOv3ViTModel(config)).save_pretrained(folder)
    size = {"height": SIDE, "width": SIDE}
    preprocessing(folder, size=size, image_processor_type="DINOv3ViTImageProcessorFast", **IMAGENET)


def clip(folder: Path) -> None:
    """Save an encoder with its text model, in several weight files, without a preprocessing file."""
    config = CLIPConfig(vision_config=WITH_MLP, text_config=TEXT, projection_dim=8)
    randomise(CLIPModel(config)).save_pretrained(folder, max_shard_size="20KB")


def clip_vision_model(folder: Path) -> None:
    randomise(CLIPVisionModel(CLIPVisionConfig(**WITH_MLP))).save_pretrained(folder)
    preprocessing(folder, crop_size=SIDE, size=SIDE, feature_extractor_type="CLIPFeatureExtractor")


def siglip(folder: Path) -> None:
    """Save an encoder with its text model."""
    randomise(SiglipModel(SiglipConfig(vision_config=WITH_MLP, text_config=TEXT))).save_pretrained(folder)
    preprocessing(folder, size={"height": SIDE, "width": SIDE}, image_processor_type="SiglipImageProcessor", **HALF)


def siglip_vision_model(folder: Path) -> None:
    """Save an encoder in half precision, without its pooling head."""
    config = SiglipVisionConfig(**WITH_MLP, vision_use_head=False)
    randomise(SiglipVisionModel(config)).half().save_pretrained(folder)


def beit(folder: Path) -> None:
    randomise(BeitForImageClassification(BeitConfig(**WITH_MLP))).save_pretrained(folder)
    preprocessing(folder, size=SIDE, **HALF)


def ijepa(folder: Path) -> None:
    randomise(IJepaModel(IJepaConfig(**WITH_MLP))).save_pretrained(folder)


def convnextv2(folder: Path) -> None:
    config = ConvNextV2Config(hidden_sizes=[8, 16], depths=[1, 2], num_stages=2, image_size=SIDE)
    randomise(ConvNextV2ForImageClassification(config)).save_pretrained(folder)


def swin(folder: Path) -> None:
    """Save a classifier whose second layers shift their windows."""
    config = SwinConfig(image_size=SIDE, patch_size=2, embed_dim=8, depths=[2, 2], num_heads=[1, 2], window_size=4)
    randomise(SwinForImageClassification(config)).save_pretrained(folder)
    preprocessing(folder, size={"height": SIDE, "width": SIDE}, **IMAGENET)


STRUCTURED: dict[str, Callable[[Path], None]] = {"beit": beit, "ijepa": ijepa, "convnextv2": convnextv2, "swin": swin}
"""Encoders whose blocks are found by structure."""

FOLDERS: dict[str, Callable[[Path], None]] = {
    "resnet": resnet,
    "resnet of basic layers": resnet_of_basic_layers,
    "vit": vit,
    "vit_mae": vit_mae,
    "dinov2": dinov2,
    "dinov2_with_registers": dinov2_with_registers,
    "dinov3_vit": dinov3,
    "clip": clip,
    "clip_vision_model": clip_vision_model,
    "siglip": siglip,
    "siglip_vision_model": siglip_vision_model,
}
