"""What a space must know about a network: its blocks and its noise schedule, as plain numbers."""

import math
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from spaces.setting import Setting

Part = Literal["encoder", "bottleneck", "decoder", "layer"]


@dataclass(frozen=True, slots=True)
class Block:
    """One row of a block table.

    number: 1-based, execution order. name: the module whose output is the whole block's output. part: of a U-Net; a
    network without an hourglass is made of layers.
    channels, side: of that output, (channels, side, side). gmacs: 1e9 multiply-accumulates of this block for one
    image; cumulative_gmacs: from the input to the end of this block.
    """

    number: int
    name: str
    part: Part
    channels: int
    side: int
    gmacs: float
    cumulative_gmacs: float

    @property
    def pools(self) -> tuple[int, ...]:
        """The pool sizes that divide the map exactly, so that the kernel is side / pool."""
        return tuple(p for p in range(1, self.side + 1) if self.side % p == 0)


@dataclass(frozen=True)
class Architecture:
    """A backbone without its weights.

    name: the backbone's. image_side: pixels of the square input. blocks: in execution order, numbers 1..n.
    alphas_cumprod: the noise schedule's cumulative alphas, alphas_cumprod[t] in [0, 1], falling with t; empty for an
    encoder, which reads clean images and knows no timestep. prediction: what a diffusion network was trained to
    predict, in diffusers' words ("epsilon", "v_prediction", "sample").
    """

    name: str
    image_side: int
    blocks: tuple[Block, ...]
    alphas_cumprod: tuple[float, ...] = ()
    prediction: str | None = None

    @property
    def noised(self) -> bool:
        return bool(self.alphas_cumprod)

    def block(self, number: int) -> Block:
        return self.blocks[number - 1]

    def pass_gmacs(self, setting: Setting) -> float:
        """1e9 multiply-accumulates of one image's passes: for each timestep and draw, one to the deepest block read."""
        return setting.draws * sum(self.block(max(blocks)).cumulative_gmacs for blocks in setting.passes.values())

    @cached_property
    def bottleneck(self) -> int:
        """Number of the bottleneck block; the deepest encoder block where there is none."""
        numbers = [block.number for block in self.blocks if block.part != "decoder"]
        return max(numbers)

    def sigma(self, timestep: int) -> float:
        """Noise over signal at a timestep, sqrt((1 - a) / a) with a = alphas_cumprod[t]."""
        alpha = max(self.alphas_cumprod[timestep], 2.0**-24)  # a schedule may end in pure noise
        return math.sqrt((1 - alpha) / alpha)

    def log_snr(self, timestep: int) -> float:
        return -2 * math.log(self.sigma(timestep))

    def timestep_at(self, sigma: float) -> int:
        """The timestep whose sigma is nearest in log, clipped to the schedule."""
        sigmas = [self.sigma(t) for t in range(len(self.alphas_cumprod))]
        right = min(bisect_left(sigmas, sigma), len(sigmas) - 1)
        left = max(right - 1, 0)
        return min((left, right), key=lambda t: abs(math.log(sigmas[t] / sigma)))
