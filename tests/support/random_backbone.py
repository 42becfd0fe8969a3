"""Backbones with random weights: as fast as the trained ones, and nothing to download."""

from pathlib import Path

import torch

from objectives.backbones.backbone import PRECISIONS
from objectives.backbones.catalog import hollow_network
from objectives.backbones.reading import Reading
from objectives.backbones.tapped import TappedBackbone, architecture_of, tapped
from spaces import check_name


def random_backbone(
    name: str,
    device: str = "cpu",
    precision: str = "float32",
    cache: Path | None = None,
    image_side: int | None = None,
) -> TappedBackbone:
    """Return a backbone with fixed random weights, for measuring speed. Raises as `load_backbone` does."""
    check_name("precision", precision, PRECISIONS)
    reading = Reading(cache=cache, image_side=image_side)
    network = hollow_network(name, reading)
    network.module.to_empty(device=device)
    for buffer in network.module.buffers():  # positions, a text, running statistics: any value in range is good enough
        buffer.fill_(1 if buffer.is_floating_point() else 0)
    generator = torch.Generator(device).manual_seed(0)
    for parameter in network.module.parameters():
        torch.nn.init.normal_(parameter, std=0.02, generator=generator)
    return tapped(network, architecture_of(hollow_network(name, reading)), device, precision)
