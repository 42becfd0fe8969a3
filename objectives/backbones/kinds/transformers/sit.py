"""SiT and REPA, converted to diffusers' `DiTTransformer2DModel`: they are DiTs that were trained by flow matching."""

from dataclasses import replace
from typing import Any

import torch

from objectives.backbones.kinds.transformers.dit import DIT, without_class
from objectives.backbones.pipeline.texts import Text


def _call_repa(module: Any, latents: torch.Tensor, sigmas: torch.Tensor, _text: Text) -> object:
    """Run REPA's network, whose time runs from the image, 0, to noise, 1: it is sigma."""
    return without_class(module, latents, sigmas)


def _call_sit(module: Any, latents: torch.Tensor, sigmas: torch.Tensor, _text: Text) -> object:
    """Run SiT, whose time runs from noise, 0, to the image, 1."""
    return without_class(module, latents, 1 - sigmas)


REPA = replace(DIT, call=_call_repa, flow=True)
"""SiT with representation alignment (Yu et al. 2025)."""

SIT = replace(DIT, call=_call_sit, flow=True)
"""SiT (Ma et al. 2024), with the linear path and as it was published by its authors."""
