"""Small pixel-space diffusion U-Nets with random weights, saved as folders."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import CMStochasticIterativeScheduler, DDPMScheduler, ScoreSdeVeScheduler, UNet2DModel


def tiny_unet() -> UNet2DModel:
    """Build a U-Net of 19 blocks for 16x16 images, with every kind of block that a tap may read."""
    torch.manual_seed(0)
    return UNet2DModel(
        sample_size=16,
        block_out_channels=(8, 16, 16),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=8,
        norm_num_groups=4,
    )


def plain(folder: Path) -> None:
    """Save `tiny_unet` as a pipeline's folder whose schedule has cosine betas and whose network predicts velocity."""
    tiny_unet().save_pretrained(folder / "unet")
    DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction").save_pretrained(
        folder / "scheduler"
    )


def without_subfolders(folder: Path) -> None:
    """Move the parts of a pipeline beside its index, as in google/ddpm-cifar10-32."""
    parts = {"scheduler": ["diffusers", "DDPMScheduler"], "unet": ["diffusers", "UNet2DModel"]}
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "DDPMPipeline"} | parts))
    for part in parts:
        for file in (folder / part).iterdir():
            file.rename(folder / file.name)
        (folder / part).rmdir()


def residual_resampling(folder: Path) -> None:
    """Save a U-Net of guided-diffusion's kind, without a pipeline around it.

    Its residual blocks resample, its norms are scale-shift norms, and it is conditioned on classes.
    """
    torch.manual_seed(1)
    unet = UNet2DModel(
        sample_size=16,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("ResnetDownsampleBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "ResnetUpsampleBlock2D"),
        downsample_type="resnet",
        upsample_type="resnet",
        resnet_time_scale_shift="scale_shift",
        attention_head_dim=8,
        norm_num_groups=4,
        num_class_embeds=5,
        out_channels=6,
    )
    unet.save_pretrained(folder)


def consistency(folder: Path) -> None:
    """Save a small consistency model of two classes."""
    torch.manual_seed(14)
    UNet2DModel(
        sample_size=16,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("ResnetDownsampleBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "ResnetUpsampleBlock2D"),
        resnet_time_scale_shift="scale_shift",
        attention_head_dim=8,
        norm_num_groups=4,
        num_class_embeds=2,
    ).save_pretrained(folder / "unet")
    CMStochasticIterativeScheduler().save_pretrained(folder / "scheduler")


def score(folder: Path) -> None:
    """Save a small network of a variance-exploding score SDE, which adds a smaller picture at each level."""
    torch.manual_seed(15)
    UNet2DModel(
        sample_size=16,
        block_out_channels=(32, 32),
        layers_per_block=1,
        down_block_types=("SkipDownBlock2D", "AttnSkipDownBlock2D"),
        up_block_types=("AttnSkipUpBlock2D", "SkipUpBlock2D"),
        time_embedding_type="fourier",
        center_input_sample=True,
        attention_head_dim=8,
        norm_num_groups=4,
    ).save_pretrained(folder / "unet")
    ScoreSdeVeScheduler(sigma_max=380.0).save_pretrained(folder / "scheduler")


FOLDERS: dict[str, Callable[[Path], None]] = {
    "UNet2DModel": plain,
    "UNet2DModel with residual resampling": residual_resampling,
    "UNet2DModel of a consistency model": consistency,
    "UNet2DModel of a score SDE": score,
}
