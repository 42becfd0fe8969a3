"""SANA: diffusers' `SanaTransformer2DModel`."""

from typing import Any

import torch
from diffusers import SanaTransformer2DModel

from objectives.backbones.kinds.transformers.network import TransformerKind
from objectives.backbones.pipeline.texts import Text, TextRecipe, without_padding


def _call(module: Any, latents: torch.Tensor, sigmas: torch.Tensor, text: Text) -> object:
    """Run SANA. A network that was distilled with a guidance scale is given 1, which means no guidance."""
    config = module.config
    guidance = torch.ones_like(sigmas) * config["guidance_embeds_scale"] if config["guidance_embeds"] else None
    times = 1000 * sigmas * config["timestep_scale"]
    return module(latents, encoder_hidden_states=text["tokens"], timestep=times, guidance=guidance, return_dict=False)


def _encode(pipeline: Any, text: str) -> Text:
    """Encode a text as it is, without the instructions that the pipeline puts before a person's text."""
    tokens, mask, _, _ = pipeline.encode_prompt(text, do_classifier_free_guidance=False, device="cpu")
    return {"tokens": without_padding(tokens, mask)}


def _no_text(config: Any) -> Text:
    return {"tokens": torch.zeros(1, 1, config["caption_channels"])}


SANA = TransformerKind(
    SanaTransformer2DModel,
    ("transformer_blocks",),
    _call,
    text=TextRecipe(
        "SanaPipeline", {"text_encoder": "Gemma2Model"}, {"tokenizer": "GemmaTokenizer"}, _encode, _no_text
    ),
    inside={
        "transformer_blocks": {
            "query": "attn1.to_q",
            "key": "attn1.to_k",
            "value": "attn1.to_v",
            "attention": "attn1.to_out.0",
            "mlp": "ff.conv_inverted",
        },
    },
)
"""SANA (Xie et al. 2024)."""
