"""Parts of a pipeline beside its network that are unknown, missing, or of another pipeline."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.network_changes import SCHEDULER, Change, content, entries, indexed_scheduler


def lacking(part: str, name: str) -> Change:
    """Name a part in the index, and remove it."""

    def change(folder: Path) -> None:
        entries("model_index.json", **{part: ["diffusers", name]})(folder)
        shutil.rmtree(folder / part, ignore_errors=True)

    return change


COMPANIONS: list[tuple[str, Change, str]] = [
    (
        "unet",
        entries("vqvae/config.json", _class_name="AutoencoderTiny"),
        "reads the latents of a AutoencoderTiny; only VQModel or AutoencoderKL is known",
    ),
    (
        "unet",
        entries("model_index.json", vqvae=["diffusers", "VQModel"]),
        r"names vqvae \(VQModel\), but .* is not there",
    ),
    ("unet", entries("model_index.json", image_processor=["diffusers", "VaeImageProcessor"]), "with image_processor"),
    ("unet", entries("vae/config.json", _class_name="AutoencoderKL"), r"with vae \(AutoencoderKL\) beside it"),
    ("text", entries("controlnet/config.json", _class_name="ControlNetModel"), r"with controlnet \(ControlNetModel\)"),
    (
        "unet",
        entries("model_index.json", unet=["diffusers", "UNet1DModel"]),
        "says that unet is a UNet1DModel, but only UN",
    ),
    ("text", entries("model_index.json", vae=["diffusers", "AutoencoderTiny"]), "says that vae is a AutoencoderTiny"),
    *(
        (
            "unet",
            indexed_scheduler(name),
            rf"noise schedule in .*{SCHEDULER}, a {name} in model_index.json, is .*(which is not known|that of a flow)",
        )
        for name in ("EDMEulerScheduler", "FlowMatchEulerDiscreteScheduler")
    ),
    (
        "unet",
        indexed_scheduler("ScoreSdeVeScheduler"),
        f"says that scheduler is a ScoreSdeVeScheduler, but .*{SCHEDULER} is that of a DDPMScheduler, which makes",
    ),
    (
        "unet",
        indexed_scheduler("LCMScheduler", without=("beta_schedule",)),
        f"says that scheduler is a LCMScheduler, but .*{SCHEDULER} is that of a DDPMScheduler, which makes other noise",
    ),
    (
        "text",
        indexed_scheduler("FlowMatchEulerDiscreteScheduler", _class_name="DDIMScheduler"),
        "a FlowMatchEulerDiscreteScheduler in model_index.json, is that of a flow",
    ),
    ("unet", indexed_scheduler("FlowMatchEulerDiscreteScheduler", without=("_class_name",)), "is that of a flow"),
    (
        "unet",
        lacking("scheduler", "DDPMScheduler"),
        r"names scheduler \(DDPMScheduler\), but .*/scheduler is not there",
    ),
    (
        "text",
        lacking("scheduler", "PNDMScheduler"),
        r"names scheduler \(PNDMScheduler\), but .*/scheduler is not there",
    ),
    ("dit", lacking("scheduler", "DDIMScheduler"), r"names scheduler \(DDIMScheduler\), but .*/scheduler is not there"),
    ("text", lacking("vae", "AutoencoderKL"), r"names vae \(AutoencoderKL\), but .*/vae is not there; fetch it too"),
    (
        "unet",
        entries("transformer/config.json", _class_name="DiTTransformer2DModel"),
        "holds two networks, unet/ and trans",
    ),
    (
        "vit",
        content("adapter_config.json", b"{}"),
        "has an adapter, .*adapter_config.json, which is not applied; merge it",
    ),
    (
        "text",
        content("unet/pytorch_lora_weights.safetensors", b"x"),
        "has an adapter, .*pytorch_lora_weights.safetensors",
    ),
]


@pytest.mark.parametrize(("name", "change", "refusal"), COMPANIONS)
def test_an_unknown_or_missing_companion_is_refused_in_one_line_before_weights_are_read(
    name: str, change: Change, refusal: str, changed: Callable[[str, Change], Path], refused: Callable[[str, str], None]
) -> None:
    refused(str(changed(name, change)), refusal)
