"""PRX: diffusers' `PRXTransformer2DModel`."""

from typing import Any

import torch
from diffusers import PRXTransformer2DModel

from objectives.backbones.kinds.transformers.network import TransformerKind
from objectives.backbones.pipeline.texts import Text, TextRecipe, without_padding


def _call(module: Any, latents: torch.Tensor, sigmas: torch.Tensor, text: Text) -> object:
    return module(latents, sigmas, text["tokens"], return_dict=False)


def _encode(pipeline: Any, text: str) -> Text:
    tokens, mask = pipeline.encode_prompt(text, device="cpu", do_classifier_free_guidance=False)[:2]
    return {"tokens": without_padding(tokens, mask)}


PRX = TransformerKind(
    PRXTransformer2DModel,
    ("blocks",),
    _call,
    text=TextRecipe(
        "PRXPipeline",
        {"text_encoder": "T5GemmaEncoder"},
        {"tokenizer": "GemmaTokenizer"},
        _encode,
        lambda config: {"tokens": torch.zeros(1, 1, config["context_in_dim"])},
    ),
    native_side=64,
)
"""PRX (Photoroom 2025)."""
