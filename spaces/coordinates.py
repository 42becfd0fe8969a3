"""Where a tap lies, in coordinates that mean the same on every network: so what was found on one is carried to others.

Depth is relative, and noise is what is seen of it: a side k times smaller averages k² noisy pixels into one, so that
the same view has sigma / k.
"""

import math
from dataclasses import dataclass

from spaces.blocks import Architecture
from spaces.setting import Setting, Tap

SIDE = 256
"""Pixels of the images at which noise is told."""


@dataclass(frozen=True, slots=True)
class Place:
    """noise: ln of sigma on images of `SIDE`; 0 of an encoder, which sees none. depth: -1 at the input, 0 at the
    bottleneck, 1 at the output; of mere layers 0 to 1. grid: log2 of the pool size."""

    noise: float
    depth: float
    grid: float


def place_of(architecture: Architecture, tap: Tap, pool: int) -> Place:
    noise = 0.0
    if tap.timestep is not None:
        noise = math.log(architecture.sigma(tap.timestep) * SIDE / architecture.image_side)
    if architecture.blocks[-1].part == "layer":
        return Place(noise, tap.block / len(architecture.blocks), math.log2(pool))
    return Place(noise, relative_depth(tap.block, architecture.bottleneck, len(architecture.blocks)), math.log2(pool))


def relative_depth(block: int, bottleneck: int, blocks: int) -> float:
    """As of a `Place`, of a network with an hourglass."""
    return (block - bottleneck) / (bottleneck if block <= bottleneck else blocks - bottleneck)


def middle(architecture: Architecture, setting: Setting) -> Place:
    """Of a setting: where its only tap lies, or the mean of several."""
    places = [place_of(architecture, tap, setting.pool) for tap in setting.taps]
    noise, depth = (sum(getattr(place, name) for place in places) / len(places) for name in ("noise", "depth"))
    return Place(noise, depth, places[0].grid)
