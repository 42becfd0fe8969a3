"""Descriptions of networks as plain numbers: their blocks and their noise schedule."""

import math
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from spaces.setting import Setting

Inside = Literal["modulated", "query", "key", "value", "attention", "mlp"]
Part = Literal["encoder", "bottleneck", "decoder", "layer"] | Inside

INSIDE: tuple[Inside, ...] = ("modulated", "query", "key", "value", "attention", "mlp")
"""Activations inside a layer: the input of its attention after the adaptive norm, the attention's queries, keys and
values of all heads, the attention's output before it is gated and added, and the hidden layer of its MLP before the
activation function."""


@dataclass(frozen=True, slots=True)
class Block:
    """One row of a block table.

    number: 1-based, in execution order. name: the module whose output is the output of the whole block.
    part: the part of the U-Net; in a network that is not a U-Net "layer", or one of `INSIDE` for an activation inside
    a layer, which is a block of its own.
    channels, side: the shape of the output is (channels, side, side).
    gmacs: 1e9 multiply-accumulates of this block for one image. cumulative_gmacs: the same from the input to the end
    of this block.
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
        """The pool sizes that divide the side of the map; the pooling kernel is side / pool."""
        return tuple(p for p in range(1, self.side + 1) if self.side % p == 0)


@dataclass(frozen=True)
class Architecture:
    """A backbone without its weights.

    name: the name of the backbone. image_side: side of the square input in pixels.
    blocks: in execution order, numbered 1 to n.
    alphas_cumprod: the cumulative alphas of the noise schedule, each in [0, 1], falling with the timestep; empty for
    an encoder, which reads clean images and has no timesteps.
    prediction: what a diffusion network predicts, by its name in diffusers ("epsilon", "v_prediction", "sample").
    """

    name: str
    image_side: int
    blocks: tuple[Block, ...]
    alphas_cumprod: tuple[float, ...] = ()
    prediction: str | None = None

    @property
    def noised(self) -> bool:
        """Whether the network reads noised images, at a timestep."""
        return bool(self.alphas_cumprod)

    def block(self, number: int) -> Block:
        return self.blocks[number - 1]

    def pass_gmacs(self, setting: Setting) -> float:
        """1e9 multiply-accumulates of the forward passes that a setting needs for one image.

        Each timestep and noise draw needs one pass, which ends at the deepest block that the setting reads there. A
        clean pass is one, too.
        """
        at_once = sum(self.block(max(blocks)).cumulative_gmacs for blocks in setting.passes.values())
        return setting.passes_per_timestep * at_once

    @cached_property
    def bottleneck(self) -> int:
        """The number of the bottleneck block; where there is none, that of the deepest encoder block."""
        numbers = [block.number for block in self.blocks if block.part != "decoder"]
        return max(numbers)

    def sigma(self, timestep: int) -> float:
        """The ratio of noise to signal at a timestep t: sqrt((1 - a) / a) with a = alphas_cumprod[t]."""
        alpha = max(self.alphas_cumprod[timestep], 2.0**-24)  # a schedule may end in pure noise
        return math.sqrt((1 - alpha) / alpha)

    def log_snr(self, timestep: int) -> float:
        """The natural logarithm of the signal-to-noise ratio at a timestep."""
        return -2 * math.log(self.sigma(timestep))

    def timestep_at(self, sigma: float) -> int:
        """The timestep of the schedule whose log(sigma) is nearest."""
        sigmas = [self.sigma(t) for t in range(len(self.alphas_cumprod))]
        right = min(bisect_left(sigmas, sigma), len(sigmas) - 1)
        left = max(right - 1, 0)
        return min((left, right), key=lambda t: abs(math.log(sigmas[t] / sigma)))
