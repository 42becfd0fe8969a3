"""Stable Diffusion 3 and 3.5: diffusers' `SD3Transformer2DModel`."""

from typing import Any

import torch
from diffusers import SD3Transformer2DModel

from objectives.backbones.kinds.transformers.network import TransformerKind
from objectives.backbones.pipeline.texts import Text, TextRecipe


def _call(module: Any, latents: torch.Tensor, sigmas: torch.Tensor, text: Text) -> object:
    return module(
        latents,
        encoder_hidden_states=text["tokens"],
        pooled_projections=text["pooled"],
        timestep=1000 * sigmas,
        return_dict=False,
    )


def _encode(pipeline: Any, text: str) -> Text:
    tokens, _, pooled, _ = pipeline.encode_prompt(text, None, None, device="cpu", do_classifier_free_guidance=False)
    return {"tokens": tokens, "pooled": pooled}


def _no_text(config: Any) -> Text:
    """Return zeros of the shapes of a text: 77 tokens of CLIP and 256 of T5."""
    return {
        "tokens": torch.zeros(1, 77 + 256, config["joint_attention_dim"]),
        "pooled": torch.zeros(1, config["pooled_projection_dim"]),
    }


SD3 = TransformerKind(
    SD3Transformer2DModel,
    ("transformer_blocks",),
    _call,
    text=TextRecipe(
        "StableDiffusion3Pipeline",
        {
            "text_encoder": "CLIPTextModelWithProjection",
            "text_encoder_2": "CLIPTextModelWithProjection",
            "text_encoder_3": "T5EncoderModel",
        },
        {"tokenizer": "CLIPTokenizer", "tokenizer_2": "CLIPTokenizer", "tokenizer_3": "T5Tokenizer"},
        _encode,
        _no_text,
        optional=("text_encoder_3",),
    ),
    largest_grid=lambda config: int(config["pos_embed_max_size"]),
    inside={
        "transformer_blocks": {
            "modulated": "norm1",
            "query": "attn.to_q",
            "key": "attn.to_k",
            "value": "attn.to_v",
            "attention": "attn.to_out.0",
            "mlp": "ff.net.0.proj",
        },
    },
)
"""SD3 (Esser et al. 2024). A pipeline without T5 puts zeros in its place, as diffusers' does."""
