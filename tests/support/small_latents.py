"""Small latent-diffusion networks with random weights, saved as folders of diffusers pipelines."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, PNDMScheduler, UNet2DConditionModel, UNet2DModel, VQModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

CONTEXT = 7


def autoencoder(folder: Path) -> None:
    """Save an autoencoder whose latents have half the image's side, a scale and a shift."""
    AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        sample_size=16,
        scaling_factor=0.5,
        shift_factor=0.1,
    ).save_pretrained(folder / "vae")


def text_encoder(folder: Path) -> None:
    """Save a CLIP text encoder and a tokenizer whose vocabulary is one word."""
    config = CLIPTextConfig(
        vocab_size=4,
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=CONTEXT,
        bos_token_id=2,
        eos_token_id=3,
        pad_token_id=3,
    )
    CLIPTextModel(config).save_pretrained(folder / "text_encoder")
    vocabulary = {"a": 0, "a</w>": 1, "<|startoftext|>": 2, "<|endoftext|>": 3}
    CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=CONTEXT).save_pretrained(folder / "tokenizer")


def text_conditioned(folder: Path) -> None:
    """Save a small network of Stable Diffusion's kind: conditioned on text, one level without attention."""
    torch.manual_seed(2)
    UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16, 16),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=2,
        cross_attention_dim=8,
        norm_num_groups=4,
    ).save_pretrained(folder / "unet")
    autoencoder(folder)
    text_encoder(folder)
    PNDMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012).save_pretrained(
        folder / "scheduler"
    )


def size_conditioned(folder: Path) -> None:
    """Save a small network of SDXL's kind, without its text encoders.

    It has several transformers per block and is conditioned on image sizes besides the text.
    """
    torch.manual_seed(3)
    UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2),
        use_linear_projection=True,
        attention_head_dim=(2, 4),
        cross_attention_dim=16,
        norm_num_groups=4,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 10,
    ).save_pretrained(folder / "unet")
    autoencoder(folder)
    PNDMScheduler(beta_schedule="scaled_linear").save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps({"force_zeros_for_empty_prompt": True}))


def quantised(folder: Path) -> None:
    """Save a small network of latent diffusion without a text: it reads three-channel latents of a VQModel."""
    torch.manual_seed(13)
    UNet2DModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=2,
        norm_num_groups=4,
    ).save_pretrained(folder / "unet")
    VQModel(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        num_vq_embeddings=8,
    ).save_pretrained(folder / "vqvae")
    DDIMScheduler().save_pretrained(folder / "scheduler")


FOLDERS: dict[str, Callable[[Path], None]] = {
    "UNet2DModel of latents": quantised,
    "UNet2DConditionModel": text_conditioned,
    "UNet2DConditionModel of SDXL's kind": size_conditioned,
}
