"""FLUX.1 and FLUX.2: diffusers' `FluxTransformer2DModel` and `Flux2Transformer2DModel`."""

from typing import Any

import torch
from diffusers import Flux2Transformer2DModel, FluxTransformer2DModel

from objectives.backbones.kinds.transformers.fused import FusedLinear
from objectives.backbones.kinds.transformers.network import TransformerKind, packed, positions
from objectives.backbones.pipeline.texts import Text, TextRecipe
from spaces.blocks import Inside

FUSED: tuple[Inside, ...] = ("query", "key", "value", "mlp")
"""The activations of a layer of one stream of FLUX.2 that one matrix computes."""


def _guidance(module: Any, sigmas: torch.Tensor) -> torch.Tensor | None:
    """Return a guidance scale of 1, which means no guidance, for a network that was distilled with one."""
    return torch.ones_like(sigmas) if module.config["guidance_embeds"] else None


def _call_flux1(module: Any, latents: torch.Tensor, sigmas: torch.Tensor, text: Text) -> object:
    tokens = packed(latents)
    return module(
        tokens,
        encoder_hidden_states=text["tokens"],
        pooled_projections=text["pooled"],
        timestep=sigmas,
        img_ids=positions(tokens.shape[1], 3, latents.device),
        txt_ids=torch.zeros(text["tokens"].shape[1], 3, device=latents.device),
        guidance=_guidance(module, sigmas),
        return_dict=False,
    )


def _call_flux2(module: Any, latents: torch.Tensor, sigmas: torch.Tensor, text: Text) -> object:
    tokens = latents.flatten(2).transpose(1, 2)
    words = torch.zeros(text["tokens"].shape[1], 4, device=latents.device)
    words[:, 3] = torch.arange(len(words), device=latents.device)
    return module(
        tokens,
        encoder_hidden_states=text["tokens"],
        timestep=sigmas,
        img_ids=positions(tokens.shape[1], 4, latents.device),
        txt_ids=words,
        guidance=_guidance(module, sigmas),
        return_dict=False,
    )


def _with_parts_apart(_name: str, module: Any) -> str:
    """Give names to the activations that a layer of one stream computes by one matrix."""
    for layer in module.single_transformer_blocks:
        attention = layer.attn
        hidden = attention.mlp_hidden_dim * attention.mlp_mult_factor
        widths = {"query": attention.inner_dim, "key": attention.inner_dim, "value": attention.inner_dim, "mlp": hidden}
        attention.to_qkv_mlp_proj = FusedLinear(attention.to_qkv_mlp_proj, widths)
    return ""


def _encode_flux1(pipeline: Any, text: str) -> Text:
    tokens, pooled, _ = pipeline.encode_prompt(text, None, device="cpu")
    return {"tokens": tokens, "pooled": pooled}


def _encode_flux2(pipeline: Any, text: str) -> Text:
    tokens, _ = pipeline.encode_prompt(text, device="cpu")
    return {"tokens": tokens}


FLUX1 = TransformerKind(
    FluxTransformer2DModel,
    ("transformer_blocks", "single_transformer_blocks"),
    _call_flux1,
    channels=lambda config: int(config["in_channels"]) // 4,
    patch=lambda config: 2,
    text=TextRecipe(
        "FluxPipeline",
        {"text_encoder": "CLIPTextModel", "text_encoder_2": "T5EncoderModel"},
        {"tokenizer": "CLIPTokenizer", "tokenizer_2": "T5Tokenizer"},
        _encode_flux1,
        lambda config: {
            "tokens": torch.zeros(1, 512, config["joint_attention_dim"]),
            "pooled": torch.zeros(1, config["pooled_projection_dim"]),
        },
    ),
    inside={
        "transformer_blocks": {
            "modulated": "norm1",
            "query": "attn.to_q",
            "key": "attn.to_k",
            "value": "attn.to_v",
            "attention": "attn.to_out.0",
            "mlp": "ff.net.0.proj",
        },
        "single_transformer_blocks": {
            "modulated": "norm",
            "mlp": "proj_mlp",
            "query": "attn.to_q",
            "key": "attn.to_k",
            "value": "attn.to_v",
            "attention": "attn",  # of all heads: its projection is also that of the MLP
        },
    },
)
"""FLUX.1 (Black Forest Labs 2024). Tokens are 2 x 2 latents."""

FLUX2 = TransformerKind(
    Flux2Transformer2DModel,
    ("transformer_blocks", "single_transformer_blocks"),
    _call_flux2,
    patch=lambda config: 1,
    text=TextRecipe(
        "Flux2KleinPipeline",
        {"text_encoder": "Qwen3ForCausalLM"},
        {"tokenizer": "Qwen2Tokenizer"},
        _encode_flux2,
        lambda config: {"tokens": torch.zeros(1, 512, config["joint_attention_dim"])},
    ),
    native_side=64,
    prepare=_with_parts_apart,
    inside={
        "transformer_blocks": {
            "query": "attn.to_q",
            "key": "attn.to_k",
            "value": "attn.to_v",
            "attention": "attn.to_out.0",
            "mlp": "ff.linear_in",
        },
        "single_transformer_blocks": {
            **{part: f"attn.to_qkv_mlp_proj.{part}" for part in FUSED},
            "attention": "attn",  # with the MLP, whose projection is the same
        },
    },
)
"""FLUX.2-klein (Black Forest Labs 2026). Its autoencoder makes one latent of each 16 x 16 pixels."""
