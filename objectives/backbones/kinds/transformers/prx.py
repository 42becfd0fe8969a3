"""PRX: diffusers' `PRXTransformer2DModel`."""

from typing import Any

import torch
from diffusers import PRXTransformer2DModel

from objectives.backbones.kinds.transformers.fused import FusedLinear
from objectives.backbones.kinds.transformers.network import TransformerKind
from objectives.backbones.pipeline.texts import Text, TextRecipe, without_padding


def _call(module: Any, latents: torch.Tensor, sigmas: torch.Tensor, text: Text) -> object:
    return module(latents, sigmas, text["tokens"], return_dict=False)


def _encode(pipeline: Any, text: str) -> Text:
    tokens, mask = pipeline.encode_prompt(text, device="cpu", do_classifier_free_guidance=False)[:2]
    return {"tokens": without_padding(tokens, mask)}


def _with_parts_apart(_name: str, module: Any) -> str:
    """Give names to query, key and value of the image, which one matrix computes."""
    for layer in module.blocks:
        widths = dict.fromkeys(("query", "key", "value"), layer.hidden_size)
        layer.attention.img_qkv_proj = FusedLinear(layer.attention.img_qkv_proj, widths)
    return ""


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
    prepare=_with_parts_apart,
    inside={
        "blocks": {
            "query": "attention.img_qkv_proj.query",
            "key": "attention.img_qkv_proj.key",
            "value": "attention.img_qkv_proj.value",
            "attention": "attention.to_out.0",
            "mlp": "gate_proj",
        },
    },
)
"""PRX (Photoroom 2025)."""
