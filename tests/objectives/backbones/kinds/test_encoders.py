"""Encoders' maps against what transformers' own models, run in full, make of the same images."""

import json
import shutil
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (
    AutoImageProcessor,
    CLIPModel,
    CLIPVisionModel,
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersModel,
    DINOv3ViTModel,
    ResNetConfig,
    ResNetForImageClassification,
    SiglipModel,
    SiglipVisionModel,
    ViTConfig,
    ViTForImageClassification,
    ViTMAEForPreTraining,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from objectives.backbones.catalog import ENCODERS
from objectives.backbones.kinds.encoders import FAMILIES, EncoderNetwork
from objectives.backbones.reading import Reading
from objectives.backbones.tapped import Network, TappedBackbone, architecture_of, tapped
from spaces import BackboneError
from tests.support import small_encoders

VISION_TRANSFORMERS: dict[str, tuple[Any, str, int]] = {
    "vit": (ViTForImageClassification, "vit", 1),
    "dinov2": (Dinov2Model, "", 1),
    "dinov2_with_registers": (Dinov2WithRegistersModel, "", 5),
    "dinov3_vit": (DINOv3ViTModel, "", 5),
    "clip": (CLIPModel, "vision_model", 1),
    "clip_vision_model": (CLIPVisionModel, "", 1),
    "siglip": (SiglipModel, "vision_model", 0),
    "siglip_vision_model": (SiglipVisionModel, "", 0),
}
"""Folder → the class it is published as, the submodule that sees, how many of its tokens are no patches."""

SILENT: dict[str, Any] = {"clip": CLIPImageProcessorPil, "siglip_vision_model": SiglipImageProcessorPil}
"""Folder that says nothing of preprocessing → what transformers would do."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    places = {}
    for name, build in small_encoders.FOLDERS.items():
        places[name] = tmp_path_factory.mktemp("encoder")
        build(places[name])
    return places


def read(folder: Path, hollow: bool = False) -> Network:
    kind = json.loads((folder / "config.json").read_text())["model_type"]
    return EncoderNetwork.read(FAMILIES[kind], "small", folder, Reading(hollow=hollow))


def loaded(folder: Path) -> TappedBackbone:
    return tapped(read(folder), architecture_of(read(folder, hollow=True)), "cpu", "float32")


def pixels(backbone: TappedBackbone, count: int = 2) -> torch.Tensor:
    side = backbone.architecture.image_side
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8)


def maps_of(backbone: TappedBackbone, images: torch.Tensor) -> list[torch.Tensor]:
    taps = backbone.taps(images, None, None, [block.number for block in backbone.architecture.blocks])
    return [taps[number] for number in sorted(taps)]


def assert_map_holds(values: torch.Tensor, patches: torch.Tensor) -> None:
    """values: (n, width, side, side); patches: (n, side², width), row by row."""
    side = values.shape[-1]
    assert patches.shape[1] == side * side
    for place in range(side * side):
        here = values[:, :, place // side, place % side]
        torch.testing.assert_close(here, patches[:, place], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", VISION_TRANSFORMERS)
def test_a_transformers_maps_are_its_hidden_states_and_the_last_its_own_summary(
    name: str, folders: dict[str, Path]
) -> None:
    kind, seeing, others = VISION_TRANSFORMERS[name]
    backbone = loaded(folders[name])
    images = backbone.encode(pixels(backbone))
    with torch.no_grad():
        model = kind.from_pretrained(folders[name], dtype=torch.float32).get_submodule(seeing)
        expected = model(images, output_hidden_states=True)
    maps = maps_of(backbone, images)
    for number, tokens in enumerate(expected.hidden_states[1:]):
        assert_map_holds(maps[number], tokens[:, others:])
    beyond = maps[small_encoders.LAYERS :]
    if name == "siglip_vision_model":  # it has no head
        assert not beyond
        return
    summary = expected.last_hidden_state[:, 0] if name == "vit" else expected.pooler_output
    torch.testing.assert_close(beyond, [summary[:, :, None, None]], atol=1e-5, rtol=1e-4)


def test_mae_sees_every_patch_in_its_place(folders: dict[str, Path]) -> None:
    backbone = loaded(folders["vit_mae"])
    images = backbone.encode(pixels(backbone))
    before = torch.get_rng_state()
    *layers, last = maps_of(backbone, images)
    assert torch.equal(torch.get_rng_state(), before)
    model = ViTMAEForPreTraining.from_pretrained(folders["vit_mae"]).vit
    with torch.no_grad():
        patches = model.embeddings.patch_embeddings(images)
        tokens = torch.cat([model.embeddings.cls_token.expand(2, -1, -1), patches], dim=1)
        tokens = tokens + model.embeddings.position_embeddings
        for values, layer in zip(layers, model.layers, strict=True):
            tokens = layer(tokens)
            assert_map_holds(values, tokens[:, 1:])
        summary = model.layernorm(tokens)[:, 0]
    torch.testing.assert_close(last, summary[:, :, None, None], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("name", "depths"), [("resnet", (1, 2)), ("resnet of basic layers", (2, 1))])
def test_a_resnets_maps_are_its_stem_and_every_layer(
    name: str, depths: tuple[int, ...], folders: dict[str, Path]
) -> None:
    backbone = loaded(folders[name])
    images = backbone.encode(pixels(backbone))
    model = ResNetForImageClassification.from_pretrained(folders[name]).resnet
    with torch.no_grad():
        expected = model(images, output_hidden_states=True)
    maps = maps_of(backbone, images)
    assert [block.name for block in backbone.architecture.blocks] == [
        "embedder",
        *(f"encoder.stages.{i}.layers.{j}" for i, depth in enumerate(depths) for j in range(depth)),
    ]
    ends = [0, depths[0], depths[0] + depths[1]]
    for end, stage in zip(ends, expected.hidden_states, strict=True):
        torch.testing.assert_close(maps[end], stage, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(maps[-1].mean(dim=(2, 3)), expected.pooler_output.flatten(1), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", [*VISION_TRANSFORMERS, "vit_mae"])
def test_a_patch_that_changes_changes_its_own_cell_most(name: str, folders: dict[str, Path]) -> None:
    backbone = loaded(folders[name])
    side = backbone.architecture.block(1).side
    patch = backbone.architecture.image_side // side
    row, column = 1, side - 1
    images = pixels(backbone, 1).repeat(2, 1, 1, 1) // 4
    images[1, :, row * patch : (row + 1) * patch, column * patch : (column + 1) * patch] = 255
    first = backbone.taps(backbone.encode(images), None, None, [1])[1]
    assert (first[1] - first[0]).norm(dim=0).argmax().item() == row * side + column


@pytest.mark.parametrize("name", [name for name in small_encoders.FOLDERS if name != "dinov3_vit"])
def test_pixels_are_normalised_as_by_the_models_own_processor(name: str, folders: dict[str, Path]) -> None:
    backbone, folder = loaded(folders[name]), folders[name]
    if name in SILENT:
        processor = SILENT[name](crop_size=small_encoders.SIDE)
    else:
        processors: Any = AutoImageProcessor
        processor = processors.from_pretrained(folder, backend="pil")
    image = pixels(backbone, 1)
    picture = Image.fromarray(image[0].permute(1, 2, 0).numpy())
    expected = processor(picture, do_resize=False, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(backbone.encode(image), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("preprocessing", "side"),
    [
        ({"size": 48}, 48),
        ({"size": [48, 48]}, 48),
        ({"size": {"height": 48, "width": 48}}, 48),
        ({"size": {"shortest_edge": 48}}, 48),
        ({"size": {"shortest_edge": 64}, "crop_size": 48, "do_center_crop": True}, 48),
        ({"size": {"shortest_edge": 64}, "crop_size": {"height": 48, "width": 48}}, 48),
        ({"size": 48, "crop_size": 64, "do_center_crop": False}, 48),
        ({"size": 48, "crop_size": None}, 48),
        ({"image_mean": [0, 0, 0]}, 32),
        (None, 32),
    ],
)
@pytest.mark.parametrize("file", ["preprocessor_config.json", "processor_config.json"])
def test_the_side_is_that_of_the_models_own_processor(
    preprocessing: dict[str, object] | None, side: int, file: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(folders["vit"], tmp_path / "copy")
    (folder / "preprocessor_config.json").unlink()
    if preprocessing is not None:
        values = preprocessing if file == "preprocessor_config.json" else {"image_processor": preprocessing}
        (folder / file).write_text(json.dumps(values))
    network = read(folder, hollow=True)
    assert network.image_side == side
    assert network.input_shape == (3, side, side)
    table = architecture_of(network).blocks
    assert [block.side for block in table] == [side // small_encoders.PATCH] * small_encoders.LAYERS + [1]


@pytest.mark.parametrize("name", ["vit", "clip", "siglip"])
def test_positions_are_interpolated_for_another_side(name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(folders[name], tmp_path / "copy")
    small_encoders.preprocessing(folder, size=48, crop_size=48)
    backbone = loaded(folder)
    images = backbone.encode(pixels(backbone))
    kind, seeing, others = VISION_TRANSFORMERS[name]
    model = kind.from_pretrained(folder).get_submodule(seeing)
    with torch.no_grad():
        expected = model(images, interpolate_pos_encoding=True, output_hidden_states=True)
    assert_map_holds(maps_of(backbone, images)[0], expected.hidden_states[1][:, others:])


def test_a_processor_that_does_not_normalise_is_followed(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(folders["vit"], tmp_path / "copy")
    small_encoders.preprocessing(folder, size=32, do_normalize=False, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    backbone = loaded(folder)
    torch.testing.assert_close(backbone.encode(pixels(backbone)), pixels(backbone) / 255)


@pytest.mark.parametrize(
    ("file", "entry", "value"),
    [
        ("preprocessor_config.json", "crop_size", {"height": 32, "width": 48}),
        ("config.json", "num_channels", 1),
        ("config.json", "patch_size", [8, 16]),
    ],
)
def test_what_is_not_square_and_rgb_is_refused(
    file: str, entry: str, value: object, folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(folders["dinov2_with_registers"], tmp_path / "copy")
    values = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(values | {entry: value}))
    with pytest.raises(BackboneError, match="must take square RGB images in square patches; its input has"):
        read(folder, hollow=True)


@pytest.mark.parametrize(
    ("name", "published", "known"),
    [
        ("vit", "vit.encoder.layer.1.output.dense.weight", "layers.1.mlp.fc2.weight"),
        ("vit_mae", "vit.embeddings.position_embeddings", "embeddings.position_embeddings"),
        ("dinov2", "embeddings.cls_token", "embeddings.cls_token"),
        ("dinov3_vit", "layer.0.norm1.weight", "model.layer.0.norm1.weight"),
        ("clip_vision_model", "post_layernorm.bias", "post_layernorm.bias"),
        ("siglip", "vision_model.head.probe", "head.probe"),
        (
            "resnet",
            "resnet.embedder.embedder.normalization.running_mean",
            "embedder.embedder.normalization.running_mean",
        ),
    ],
)
@pytest.mark.parametrize("damage", ["missing", "of another shape"])
def test_weights_that_would_be_drawn_at_random_are_refused(
    name: str, published: str, known: str, damage: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(folders[name], tmp_path / "copy")
    weights = load_file(folder / "model.safetensors")
    values = weights.pop(published)
    if damage == "of another shape":
        weights[published] = torch.cat([values, values], dim=-1)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BackboneError, match=rf"do not fit its config.json: 1 {damage} \({known}[:)]"):
        read(folder)


def test_weights_that_no_map_depends_on_may_be_missing(folders: dict[str, Path], tmp_path: Path) -> None:
    """A head, and batch norms' counts of training steps, which older checkpoints lack."""
    folder = shutil.copytree(folders["resnet"], tmp_path / "copy")
    weights = load_file(folder / "model.safetensors")
    kept = {
        key: values for key, values in weights.items() if not key.endswith("num_batches_tracked") and "class" not in key
    }
    assert len(kept) < len(weights) - 2
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    whole, lean = loaded(folders["resnet"]), loaded(folder)
    images = whole.encode(pixels(whole))
    for one, other in zip(maps_of(whole, images), maps_of(lean, images), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", small_encoders.FOLDERS)
def test_reading_says_nothing_and_gives_float32(
    name: str, folders: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    module = read(folders[name]).module
    assert not module.training
    assert {values.dtype for values in module.parameters()} == {torch.float32}
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", small_encoders.FOLDERS)
def test_a_hollow_encoder_needs_no_weights(name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(folders[name], tmp_path / "copy", ignore=shutil.ignore_patterns("*.safetensors*"))
    hollow = read(folder, hollow=True)
    assert all(values.is_meta for values in hollow.module.parameters())
    assert architecture_of(hollow) == architecture_of(read(folders[name], hollow=True))
    with pytest.raises(BackboneError, match=r"has no weights: it needs model\.safetensors"):
        read(folder)


def test_only_the_vision_model_of_a_whole_clip_is_kept(folders: dict[str, Path]) -> None:
    assert len(list(folders["clip"].glob("*.safetensors"))) > 1
    assert not [name for name, _ in read(folders["clip"]).module.named_parameters() if "text" in name]


def test_a_transformers_cost_is_that_of_its_products(tmp_path: Path) -> None:
    """ViT-B/16 at 224, and DINOv2's ViT-B/14 at 224 instead of the 518 it was trained at."""
    width, hidden, layers = 768, 3072, 12
    for config, patch in ((ViTConfig(), 16), (Dinov2Config(image_size=518, patch_size=14), 14)):
        folder = tmp_path / config.model_type
        config.save_pretrained(folder)
        small_encoders.preprocessing(folder, size=256, crop_size=224)
        table = architecture_of(read(folder, hollow=True)).blocks
        patches = (224 // patch) ** 2
        tokens = patches + 1
        embedding = patches * 3 * patch**2 * width
        layer = tokens * (4 * width**2 + 2 * width * hidden) + 2 * tokens**2 * width
        expected = [(embedding + layer) / 1e9, *[layer / 1e9] * (layers - 1), 0]
        assert [block.gmacs for block in table] == pytest.approx(expected)


def test_a_resnets_cost_is_the_published_one(tmp_path: Path) -> None:
    """ResNet-50 with strides in the 3x3 convolutions: 4.09 GMAC, torchvision's figure for its resnet50."""
    ResNetConfig().save_pretrained(tmp_path)
    architecture = architecture_of(read(tmp_path, hollow=True))
    assert architecture.image_side == 224
    assert [block.side for block in architecture.blocks] == [56] * 4 + [28] * 4 + [14] * 6 + [7] * 3
    assert architecture.blocks[-1].cumulative_gmacs == pytest.approx(4.09, abs=0.005)


@pytest.mark.parametrize("name", VISION_TRANSFORMERS)
def test_attention_is_fused_whatever_the_folder_says(name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(folders[name], tmp_path / "copy")
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | {"attn_implementation": "flash_attention_2"}))
    for hollow in (True, False):
        module: Any = read(folder, hollow).module
        assert module.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("name", ["vit", "dinov2", "clip", "siglip"])
def test_an_early_exit_leaves_transformers_own_recording_whole(name: str, folders: dict[str, Path]) -> None:
    backbone = loaded(folders[name])
    images = backbone.encode(pixels(backbone))
    model: Any = backbone.network.module
    with torch.no_grad():
        before = model(images, output_hidden_states=True).hidden_states
        first = backbone.taps(images, None, None, [1])[1]
        after = model(images, output_hidden_states=True).hidden_states
    assert len(after) == len(before) == small_encoders.LAYERS + 1
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert torch.equal(first, backbone.taps(images, None, None, [1])[1])


def test_the_catalog_names_every_family() -> None:
    assert tuple(FAMILIES) == ENCODERS


UNDOCUMENTED = {
    "transformers.image_processing_utils": ("get_size_dict",),
    "transformers.models.auto.image_processing_auto": ("get_image_processor_config",),
    "transformers.models.clip.modeling_clip": ("CLIPEncoderLayer",),
    "transformers.models.dinov2.modeling_dinov2": ("Dinov2Layer",),
    "transformers.models.dinov2_with_registers.modeling_dinov2_with_registers": ("Dinov2WithRegistersLayer",),
    "transformers.models.dinov3_vit.modeling_dinov3_vit": ("DINOv3ViTLayer",),
    "transformers.models.resnet.modeling_resnet": ("ResNetBasicLayer", "ResNetBottleNeckLayer", "ResNetEmbeddings"),
    "transformers.models.siglip.modeling_siglip": ("SiglipEncoderLayer",),
    "transformers.models.vit.modeling_vit": ("ViTLayer",),
    "transformers.models.vit_mae.modeling_vit_mae": ("ViTMAELayer",),
}
"""Classes that `objectives.backbones.kinds.encoders` takes from transformers, and that no documentation promises."""


@pytest.mark.parametrize("module", UNDOCUMENTED)
def test_transformers_still_has_what_it_does_not_document(module: str) -> None:
    missing = [name for name in UNDOCUMENTED[module] if not hasattr(import_module(module), name)]
    assert not missing, (
        f"transformers {version('transformers')} has no {', '.join(missing)} in {module} any more: find its new name "
        "and mend objectives/backbones/kinds/encoders.py"
    )
