"""Coordinates of a tap that mean the same on every network, so that results on one network carry over to another.

Depth is relative to the bottleneck. Noise is measured as it is seen: a view k times smaller averages k² noisy pixels
into one, so the same view has sigma / k.
"""

import math
from dataclasses import dataclass

from spaces.blocks import Architecture
from spaces.setting import Setting, Tap

REFERENCE_SIDE = 256
"""Side in pixels of the images for which noise is stated."""


@dataclass(frozen=True, slots=True)
class Coordinates:
    """The coordinates of one tap at one pool size.

    noise: ln of sigma on images of `REFERENCE_SIDE`; 0 for an encoder, which adds no noise.
    depth: -1 at the input, 0 at the bottleneck, 1 at the output; from 0 to 1 for a network without a bottleneck.
    grid: log2 of the pool size.
    """

    noise: float
    depth: float
    grid: float


def coordinates_of(architecture: Architecture, tap: Tap, pool: int) -> Coordinates:
    noise = 0.0
    if tap.timestep is not None:
        noise = math.log(architecture.sigma(tap.timestep) * REFERENCE_SIDE / architecture.image_side)
    if architecture.blocks[-1].part == "layer":
        return Coordinates(noise, tap.block / len(architecture.blocks), math.log2(pool))
    depth = relative_depth(tap.block, architecture.bottleneck, len(architecture.blocks))
    return Coordinates(noise, depth, math.log2(pool))


def relative_depth(block: int, bottleneck: int, blocks: int) -> float:
    """The depth of `Coordinates` in a network with a bottleneck. blocks: how many the network has."""
    return (block - bottleneck) / (bottleneck if block <= bottleneck else blocks - bottleneck)


def mean_coordinates(architecture: Architecture, setting: Setting) -> Coordinates:
    """The mean coordinates of a setting's taps."""
    taps = [coordinates_of(architecture, tap, setting.pool) for tap in setting.taps]
    noise, depth = (sum(getattr(tap, name) for tap in taps) / len(taps) for name in ("noise", "depth"))
    return Coordinates(noise, depth, taps[0].grid)
