"""DiT: diffusers' `DiTTransformer2DModel`."""

from typing import Any

import torch
from diffusers import DiTTransformer2DModel

from objectives.backbones.kinds.transformers.network import TransformerKind
from objectives.backbones.pipeline.texts import Text


def _call(module: Any, latents: torch.Tensor, times: torch.Tensor, _text: Text) -> object:
    return without_class(module, latents, times)


def without_class(module: Any, latents: torch.Tensor, times: torch.Tensor) -> object:
    """Run a DiT without a class: its label is the one for a dropped class in training."""
    no_class = module.config["num_embeds_ada_norm"]  # a table of labels has this row after the classes'
    labels = torch.full((len(latents),), no_class, device=latents.device)
    return module(latents, timestep=times, class_labels=labels, return_dict=False)


def _with_sinusoid_of_training(_name: str, module: Any) -> str:
    """Give the timesteps the frequencies of training: 10000^(-i / 128), where diffusers divides by 127.

    The published DiT has no shift (`timestep_embedding` of its models.py).
    """
    for layer in module.transformer_blocks:
        layer.norm1.emb.time_proj.downscale_freq_shift = 0
    return "timesteps as in training"


DIT = TransformerKind(
    DiTTransformer2DModel,
    ("transformer_blocks",),
    _call,
    flow=False,
    prepare=_with_sinusoid_of_training,
    inside={
        "transformer_blocks": {
            "modulated": "norm1",
            "query": "attn1.to_q",
            "key": "attn1.to_k",
            "value": "attn1.to_v",
            "attention": "attn1.to_out.0",
            "mlp": "ff.net.0.proj",
        },
    },
)
"""DiT (Peebles & Xie 2023)."""
