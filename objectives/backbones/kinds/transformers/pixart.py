"""PixArt-alpha and PixArt-Sigma: diffusers' `PixArtTransformer2DModel`."""

from typing import Any

import torch
from diffusers import PixArtTransformer2DModel

from objectives.backbones.kinds.transformers.network import TransformerKind
from objectives.backbones.pipeline.texts import Text, TextRecipe, without_padding


def _call(module: Any, latents: torch.Tensor, times: torch.Tensor, text: Text) -> object:
    """Run PixArt. Networks of 1,024 pixels are told the size of the image, 8 times that of its latents."""
    added: dict[str, torch.Tensor | None] = {"resolution": None, "aspect_ratio": None}
    if module.use_additional_conditions:
        count, side = len(latents), latents.shape[-1] * 8
        added = {
            "resolution": torch.full((count, 2), float(side), device=latents.device),
            "aspect_ratio": torch.ones(count, 1, device=latents.device),
        }
    return module(
        latents, encoder_hidden_states=text["tokens"], timestep=times, added_cond_kwargs=added, return_dict=False
    )


def _encode(pipeline: Any, text: str) -> Text:
    tokens, mask, _, _ = pipeline.encode_prompt(text, do_classifier_free_guidance=False, device="cpu")
    return {"tokens": without_padding(tokens, mask)}


def _no_text(config: Any) -> Text:
    return {"tokens": torch.zeros(1, 1, config["caption_channels"] or config["cross_attention_dim"])}


PIXART = TransformerKind(
    PixArtTransformer2DModel,
    ("transformer_blocks",),
    _call,
    flow=False,
    text=TextRecipe(
        "PixArtSigmaPipeline", {"text_encoder": "T5EncoderModel"}, {"tokenizer": "T5Tokenizer"}, _encode, _no_text
    ),
    inside={
        "transformer_blocks": {
            "query": "attn1.to_q",
            "key": "attn1.to_k",
            "value": "attn1.to_v",
            "attention": "attn1.to_out.0",
            "mlp": "ff.net.0.proj",
        },
    },
)
"""PixArt-alpha (Chen et al. 2023) and PixArt-Sigma (Chen et al. 2024). Their position tables are interpolated."""
