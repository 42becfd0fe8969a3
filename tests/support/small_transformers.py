"""Small diffusion transformers with random weights, saved as folders of diffusers pipelines."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderDC,
    AutoencoderKLFlux2,
    DDIMScheduler,
    DDPMScheduler,
    DiTTransformer2DModel,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    Flux2Transformer2DModel,
    FluxTransformer2DModel,
    Lumina2Transformer2DModel,
    PixArtTransformer2DModel,
    PRXTransformer2DModel,
    SanaTransformer2DModel,
    SD3Transformer2DModel,
)
from tokenizers.processors import TemplateProcessing
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    Gemma2Config,
    Gemma2Model,
    GemmaTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

from tests.support.small_latents import autoencoder

Save = Callable[[Path], Any]
"""What saves a part of a pipeline in a folder."""

SIDE = 8
"""Latents of a side of the networks that state it."""


def flow(folder: Path, shift: float = 3.0) -> None:
    FlowMatchEulerDiscreteScheduler(shift=shift).save_pretrained(folder / "scheduler")


def dit(folder: Path) -> None:
    """Save a small DiT with five classes."""
    torch.manual_seed(4)
    DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        out_channels=8,
        num_layers=3,
        sample_size=SIDE,
        num_embeds_ada_norm=5,
    ).save_pretrained(folder / "transformer")
    autoencoder(folder)
    DDIMScheduler().save_pretrained(folder / "scheduler")


def sd3(folder: Path) -> None:
    """Save a small network of Stable Diffusion 3.5's kind: its first layer has a second attention."""
    torch.manual_seed(5)
    SD3Transformer2DModel(
        sample_size=SIDE,
        in_channels=4,
        out_channels=4,
        num_layers=3,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=32,
        caption_projection_dim=16,
        pooled_projection_dim=16,
        pos_embed_max_size=6,
        dual_attention_layers=(0,),
        qk_norm="rms_norm",
    ).save_pretrained(folder / "transformer")
    autoencoder(folder)
    flow(folder)


def pixart(folder: Path) -> None:
    torch.manual_seed(6)
    PixArtTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=3,
        cross_attention_dim=16,
        sample_size=SIDE,
        caption_channels=12,
    ).save_pretrained(folder / "transformer")
    autoencoder(folder)
    DPMSolverMultistepScheduler().save_pretrained(folder / "scheduler")


def pixart_of_large_images(folder: Path) -> None:
    """Save a small PixArt that is told the size of the image, under the class name of the first published ones."""
    torch.manual_seed(7)
    PixArtTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        num_layers=2,
        cross_attention_dim=24,
        sample_size=SIDE,
        caption_channels=12,
        use_additional_conditions=True,
    ).save_pretrained(folder / "transformer")
    config = folder / "transformer" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"_class_name": "Transformer2DModel"}))
    autoencoder(folder)
    DDPMScheduler().save_pretrained(folder / "scheduler")


def sana(folder: Path) -> None:
    """Save a small SANA with an autoencoder that halves the side once."""
    torch.manual_seed(8)
    SanaTransformer2DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=3,
        num_cross_attention_heads=2,
        cross_attention_head_dim=8,
        cross_attention_dim=16,
        caption_channels=12,
        sample_size=SIDE,
    ).save_pretrained(folder / "transformer")
    AutoencoderDC(
        latent_channels=4,
        attention_head_dim=4,
        encoder_block_types=("ResBlock", "EfficientViTBlock"),
        decoder_block_types=("ResBlock", "EfficientViTBlock"),
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1),
        encoder_qkv_multiscales=((), (5,)),
        decoder_qkv_multiscales=((), (5,)),
        downsample_block_type="conv",
        upsample_block_type="interpolate",
        scaling_factor=0.41407,
    ).save_pretrained(folder / "vae")
    DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    ).save_pretrained(folder / "scheduler")


def flux1(folder: Path) -> None:
    """Save a small FLUX.1 that was distilled with a guidance scale."""
    torch.manual_seed(9)
    FluxTransformer2DModel(
        in_channels=16,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=12,
        pooled_projection_dim=10,
        guidance_embeds=True,
        axes_dims_rope=(4, 6, 6),
    ).save_pretrained(folder / "transformer")
    autoencoder(folder)
    flow(folder)


def flux2(folder: Path) -> None:
    torch.manual_seed(10)
    Flux2Transformer2DModel(
        in_channels=16,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=12,
        timestep_guidance_channels=16,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    ).save_pretrained(folder / "transformer")
    vae = AutoencoderKLFlux2(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=16,
    )
    vae.bn.running_mean.normal_()
    vae.bn.running_var.uniform_(0.5, 2.0)
    vae.save_pretrained(folder / "vae")
    flow(folder)


def lumina2(folder: Path) -> None:
    torch.manual_seed(11)
    Lumina2Transformer2DModel(
        sample_size=SIDE,
        in_channels=4,
        hidden_size=24,
        num_layers=2,
        num_refiner_layers=1,
        num_attention_heads=3,
        num_kv_heads=1,
        multiple_of=16,
        axes_dim_rope=(4, 2, 2),
        axes_lens=(32, 16, 16),
        cap_feat_dim=12,
    ).save_pretrained(folder / "transformer")
    autoencoder(folder)
    flow(folder)


def prx(folder: Path) -> None:
    torch.manual_seed(12)
    network = PRXTransformer2DModel(
        in_channels=4,
        context_in_dim=12,
        hidden_size=16,
        mlp_ratio=2.0,
        num_heads=2,
        depth=3,
        axes_dim=[4, 4],
    )
    for weights in network.parameters():  # its modulations begin as zeros, with which a layer changes nothing
        torch.nn.init.normal_(weights, std=0.2)
    network.save_pretrained(folder / "transformer")
    autoencoder(folder)
    flow(folder)


FOLDERS: dict[str, Callable[[Path], None]] = {
    "DiTTransformer2DModel": dit,
    "SD3Transformer2DModel": sd3,
    "PixArtTransformer2DModel": pixart,
    "PixArtTransformer2DModel of large images": pixart_of_large_images,
    "SanaTransformer2DModel": sana,
    "FluxTransformer2DModel": flux1,
    "Flux2Transformer2DModel": flux2,
    "Lumina2Transformer2DModel": lumina2,
    "PRXTransformer2DModel": prx,
}

WITHOUT_SIDE = ("FluxTransformer2DModel", "Flux2Transformer2DModel", "PRXTransformer2DModel")
"""The kinds whose configuration states no side. Their own side, that of their pipeline, is too large for a test."""


def text_encoders(folder: Path, **parts: Save) -> None:
    """Save small text encoders and tokenizers under the names of a pipeline's parts."""
    for part, save in parts.items():
        save(folder / part)


def clip(projected: bool, width: int) -> tuple[Save, Save]:
    """Return what saves a CLIP text encoder of so many channels, and what saves its tokenizer."""
    config = CLIPTextConfig(
        vocab_size=4,
        hidden_size=width,
        projection_dim=width,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=2,
        eos_token_id=3,
        pad_token_id=3,
    )
    vocabulary = {"a": 0, "a</w>": 1, "<|startoftext|>": 2, "<|endoftext|>": 3}
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)
    model = (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)
    return model.save_pretrained, tokenizer.save_pretrained


def t5(width: int) -> tuple[Save, Save]:
    """Return what saves a T5 encoder of so many channels, and what saves its tokenizer."""
    config = T5Config(vocab_size=8, d_model=width, d_kv=4, d_ff=16, num_layers=2, num_heads=2)
    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁a", -1.0), ("▁b", -1.5), ("▁", -2.0)]
    return T5EncoderModel(config).save_pretrained, T5Tokenizer(vocab=words, extra_ids=0).save_pretrained


def gemma(width: int) -> tuple[Save, Save]:
    """Return what saves a Gemma 2 of so many channels, and what saves its tokenizer."""
    config = Gemma2Config(
        vocab_size=8,
        hidden_size=width,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=4,
    )
    words = {"<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3, "▁": 4, "a": 5, "b": 6, "<mask>": 7}
    tokenizer = GemmaTokenizer(vocab=words, merges=[])
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing("<bos> $A", "<bos> $A <bos> $B", [("<bos>", 2)])
    return Gemma2Model(config).save_pretrained, tokenizer.save_pretrained


def sd3_with_text(folder: Path) -> None:
    """Save a small SD3 with all three text encoders."""
    sd3(folder)
    for number in ("", "_2"):
        encoder, tokenizer = clip(projected=True, width=8)
        text_encoders(folder, **{f"text_encoder{number}": encoder, f"tokenizer{number}": tokenizer})
    encoder, tokenizer = t5(32)
    text_encoders(folder, text_encoder_3=encoder, tokenizer_3=tokenizer)


def flux1_with_text(folder: Path) -> None:
    flux1(folder)
    encoder, tokenizer = clip(projected=False, width=10)
    second, its_tokenizer = t5(12)
    text_encoders(folder, text_encoder=encoder, tokenizer=tokenizer, text_encoder_2=second, tokenizer_2=its_tokenizer)


def pixart_with_text(folder: Path) -> None:
    pixart(folder)
    encoder, tokenizer = t5(12)
    text_encoders(folder, text_encoder=encoder, tokenizer=tokenizer)


def sana_with_text(folder: Path) -> None:
    sana(folder)
    encoder, tokenizer = gemma(12)
    text_encoders(folder, text_encoder=encoder, tokenizer=tokenizer)


def lumina2_with_text(folder: Path) -> None:
    lumina2(folder)
    encoder, tokenizer = gemma(12)
    text_encoders(folder, text_encoder=encoder, tokenizer=tokenizer)
