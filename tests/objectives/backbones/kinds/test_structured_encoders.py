"""Encoders of transformers without a file of their own: their blocks are found by structure."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import (
    Aimv2VisionConfig,
    Aimv2VisionModel,
    BertConfig,
    BertModel,
    DeiTConfig,
    DeiTModel,
    FocalNetConfig,
    FocalNetModel,
    HieraConfig,
    HieraModel,
    PreTrainedModel,
    RegNetConfig,
    RegNetModel,
    Swinv2Config,
    Swinv2Model,
    ViTMSNConfig,
    ViTMSNModel,
)

from objectives.backbones.catalog import load_backbone
from objectives.backbones.tapped import TappedBackbone
from spaces import BackboneError
from tests.support import small_encoders
from tests.support.small_encoders import SIDE, WITH_MLP

MODELS: dict[str, Callable[[], PreTrainedModel]] = {
    "deit": lambda: DeiTModel(DeiTConfig(**WITH_MLP)),
    "vit_msn": lambda: ViTMSNModel(ViTMSNConfig(**WITH_MLP)),
    "swinv2": lambda: Swinv2Model(
        Swinv2Config(image_size=SIDE, patch_size=2, embed_dim=8, depths=[2, 2], num_heads=[1, 2], window_size=4)
    ),
    "regnet": lambda: RegNetModel(
        RegNetConfig(hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], groups_width=4, embedding_size=8)
    ),
    "aimv2": lambda: Aimv2VisionModel(Aimv2VisionConfig(**WITH_MLP)),
    "focalnet": lambda: FocalNetModel(
        FocalNetConfig(
            image_size=SIDE, embed_dim=8, depths=[1, 1], hidden_sizes=[8, 16], focal_levels=[2, 2], focal_windows=[3, 3]
        )
    ),
}
LAYERS = {
    "beit": ["layers.0", "layers.1"],
    "ijepa": ["layers.0", "layers.1"],
    "convnextv2": ["encoder.stages.0.layers.0", "encoder.stages.1.layers.0", "encoder.stages.1.layers.1"],
    "swin": [f"encoder.layers.{stage}.blocks.{layer}" for stage in (0, 1) for layer in (0, 1)],
    "regnet": [f"encoder.stages.{stage}.layers.0" for stage in range(4)],
}


@pytest.fixture(params=[*small_encoders.STRUCTURED, *MODELS])
def encoder(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, TappedBackbone]:
    if request.param in MODELS:
        torch.manual_seed(0)
        MODELS[request.param]().save_pretrained(tmp_path)
    else:
        small_encoders.STRUCTURED[request.param](tmp_path)
    return request.param, load_backbone(str(tmp_path))


def test_a_change_of_one_place_is_strongest_there_in_every_block(encoder: tuple[str, TappedBackbone]) -> None:
    """Tokens in another order than that of rows would be folded to a scrambled map."""
    name, backbone = encoder
    side = backbone.architecture.image_side
    pixels = torch.randint(0, 256, (1, 3, side, side), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    changed, quarter = pixels.clone(), side // 4
    changed[:, :, quarter : 2 * quarter, 2 * quarter : 3 * quarter] ^= 255
    numbers = [block.number for block in backbone.architecture.blocks]
    before, after = (backbone.taps(backbone.encode(image), None, None, numbers) for image in (pixels, changed))
    for block in backbone.architecture.blocks:
        difference = (before[block.number] - after[block.number])[0].abs().sum(dim=0)
        row, column = divmod(int(difference.argmax()), block.side)
        place = [(index + 0.5) * side / block.side / quarter - 0.5 for index in (row, column)]
        assert place == pytest.approx([1, 2], abs=0.8), f"{name}, {block.name}"


def test_its_layers_are_its_blocks(encoder: tuple[str, TappedBackbone]) -> None:
    name, backbone = encoder
    if name in LAYERS:
        assert [block.name for block in backbone.architecture.blocks] == LAYERS[name]


def test_a_network_whose_tokens_are_not_in_rows_is_refused(tmp_path: Path) -> None:
    HieraModel(HieraConfig(embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2])).save_pretrained(tmp_path)
    with pytest.raises(BackboneError, match="is a hiera, whose tokens are not in rows; give another encoder"):
        load_backbone(str(tmp_path))


def test_a_network_that_reads_no_images_is_refused(tmp_path: Path) -> None:
    BertModel(
        BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=10)
    ).save_pretrained(tmp_path)
    with pytest.raises(BackboneError, match=r"is a bert; known: .*, and image encoders of transformers"):
        load_backbone(str(tmp_path))


def test_a_network_without_layers_that_return_maps_is_refused(tmp_path: Path) -> None:
    small_encoders.ijepa(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"num_hidden_layers": 1}))
    with pytest.raises(
        BackboneError, match="is a ijepa, in which no blocks were found: no layers of one list return sq"
    ):
        load_backbone(str(tmp_path))
