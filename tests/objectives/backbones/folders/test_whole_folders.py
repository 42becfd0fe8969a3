"""Network folders that are read: their forms, and the paths that name them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from objectives.backbones.catalog import architecture_named, describe_backbone, load_backbone
from spaces import UsageError
from tests.support import small_unets
from tests.support.network_changes import UNET_WEIGHTS, Change, entries, sharded, stored_as_bin


def mixed_types(folder: Path) -> None:
    tensors = load_file(folder / UNET_WEIGHTS)
    last = sorted(tensors)[-1]
    save_file(tensors | {last: tensors[last].half()}, folder / UNET_WEIGHTS, metadata={"format": "pt"})


def attention_of_former_names(folder: Path) -> None:
    """Name the attention's tensors as the first published DDPMs do."""
    former = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors = load_file(folder / UNET_WEIGHTS)
    for name in list(tensors):
        stem, _, leaf = name.rpartition(".")
        for now, then in former.items():
            if stem.endswith(f".{now}"):
                tensors[f"{stem.removesuffix(now)}{then}.{leaf}"] = tensors.pop(name)
    save_file(tensors, folder / UNET_WEIGHTS, metadata={"format": "pt"})


def with_parts_for_other_programs(folder: Path) -> None:
    """Add what the repository of SDXL has besides the parts of its pipeline."""
    entries("model_index.json", unet=["diffusers", "UNet2DConditionModel"], vae=["diffusers", "AutoencoderKL"])(folder)
    for part in ("vae_1_0", "vae_decoder", "vae_encoder"):
        entries(f"{part}/config.json", _class_name="AutoencoderKL")(folder)


@pytest.mark.parametrize(
    ("name", "change", "side"),
    [
        ("unet", entries("unet/config.json", sample_size=[16, 16]), 16),
        ("text", entries("unet/config.json", sample_size=[8, 8]), 16),
        ("dit", entries("transformer/config.json", sample_size=[8, 8]), 16),
        ("vit", entries("config.json", image_size=[32, 32], patch_size=[8, 8]), 32),
        ("mae", entries("config.json", image_size=[32, 32], patch_size=[8, 8]), 32),
        ("clip vision", entries("config.json", image_size=[32, 32], patch_size=[8, 8]), 32),
        ("unet", stored_as_bin, 16),
        ("unet", lambda folder: sharded(folder / UNET_WEIGHTS), 16),
        ("unet", lambda folder: sharded(folder / UNET_WEIGHTS, ".bin"), 16),
        ("vit", lambda folder: sharded(folder / "model.safetensors"), 32),
        ("unet", mixed_types, 16),
        ("unet", entries("model_index.json", unet=["diffusers", "UNet2DModel"], _class_name="DDPMPipeline"), 16),
        ("unet", entries("model_index.json", safety_checker=[None, None], feature_extractor=["transformers", "X"]), 16),
        ("dit", entries("model_index.json", id2label={"0": "tench"}, vae=["diffusers", "AutoencoderKL"]), 16),
        ("unet", entries("model_index.json", unet=["diffusers", "FlaxUNet2DModel"], scheduler=[None, None]), 16),
        ("unet", entries("model_index.json", scheduler=["diffusers", "FlaxDDPMScheduler"]), 16),
        ("unet", entries("model_index.json", _class_name=["my_pipeline", "MyPipeline"]), 16),
        ("unet", entries("checkpoint-500/config.json", _class_name="UNet2DModel"), 16),
        ("text", with_parts_for_other_programs, 16),
        ("unet", small_unets.without_subfolders, 16),
        ("unet", attention_of_former_names, 16),
        ("text", entries("scheduler/scheduler_config.json", clip_sample=True, timestep_spacing="trailing"), 16),
    ],
)
def test_what_has_one_meaning_is_read(
    name: str, change: Change, side: int, networks: dict[str, Path], changed: Callable[[str, Change], Path]
) -> None:
    whole, backbone = load_backbone(str(networks[name])), load_backbone(str(changed(name, change)))
    assert backbone.architecture.image_side == side
    assert backbone.architecture.blocks == whole.architecture.blocks
    pixels = torch.randint(0, 256, (2, 3, side, side), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    noised, last = whole.architecture.noised, whole.architecture.blocks[-1].number
    maps = []
    for network in (whole, backbone):
        inputs = network.encode(pixels)
        noise, timestep = (torch.ones_like(inputs), 5) if noised else (None, None)
        maps.append(network.taps(inputs, noise, timestep, [last])[last])
    torch.testing.assert_close(*maps, atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize(("name", "part"), [("unet", "unet"), ("text", "unet"), ("dit", "transformer")])
def test_the_networks_own_folder_stands_for_its_pipeline(name: str, part: str, networks: dict[str, Path]) -> None:
    whole, inner = (architecture_named(str(folder)) for folder in (networks[name], networks[name] / part))
    assert (inner.blocks, inner.alphas_cumprod, inner.prediction) == (
        whole.blocks,
        whole.alphas_cumprod,
        whole.prediction,
    )


@pytest.mark.parametrize("read", [load_backbone, architecture_named, describe_backbone])
def test_an_empty_name_is_not_the_current_folder(
    read: Callable[[str], object], networks: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(networks["unet"])
    with pytest.raises(UsageError, match="a backbone must have a name, got ''"):
        read("")
