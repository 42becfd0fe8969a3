"""Lumina-Image 2.0: diffusers' `Lumina2Transformer2DModel`."""

from typing import Any

import torch
from diffusers import Lumina2Transformer2DModel

from objectives.backbones.kinds.transformers.network import TransformerKind
from objectives.backbones.pipeline.texts import Text, TextRecipe, without_padding


def _call(module: Any, latents: torch.Tensor, sigmas: torch.Tensor, text: Text) -> object:
    """Run Lumina2, whose time runs from noise, 0, to the image, 1. It counts the words of its mask on the CPU."""
    tokens = text["tokens"]
    every_word = torch.ones(tokens.shape[:2], dtype=torch.bool)
    return module(latents, 1 - sigmas, tokens, every_word, return_dict=False)


def _prepare(_name: str, module: Any) -> str:
    """Let the layers that read the text alone run without the mask, which hides no word of an unpadded text.

    The tables of positions are no buffers, so a module that was built without weights has none; they are made here.
    """
    positions = module.rope_embedder
    positions.freqs_cis = positions._precompute_freqs_cis(positions.axes_dim, positions.axes_lens, positions.theta)
    for layer in module.context_refiner:
        layer.register_forward_pre_hook(lambda _layer, inputs: (inputs[0], None, *inputs[2:]))
    return ""


def _encode(pipeline: Any, text: str) -> Text:
    """Encode a text as the pipeline does its negative prompt: without the system's prompt before it."""
    tokens, mask = pipeline.encode_prompt("", negative_prompt=text, device="cpu")[2:]
    return {"tokens": without_padding(tokens, mask)}


LUMINA2 = TransformerKind(
    Lumina2Transformer2DModel,
    ("layers",),
    _call,
    text=TextRecipe(
        "Lumina2Pipeline",
        {"text_encoder": "Gemma2Model"},
        {"tokenizer": "GemmaTokenizer"},
        _encode,
        lambda config: {"tokens": torch.zeros(1, 1, config["cap_feat_dim"])},
    ),
    largest_grid=lambda config: int(min(config["axes_lens"][1:])),
    prepare=_prepare,
    inside={
        "layers": {
            "modulated": "norm1",
            "query": "attn.to_q",
            "key": "attn.to_k",
            "value": "attn.to_v",
            "attention": "attn.to_out.0",
            "mlp": "feed_forward.linear_1",
        },
    },
)
"""Lumina-Image 2.0 (Qin et al. 2025)."""
