"""Named spaces, each a function of the architecture.

The paper's grids are those of "Diffusion Models Beat GANs on Image Classification" (arXiv 2307.08702), section 4,
named for guided-diffusion's 256x256 U-Net (ADM-256: 37 blocks, bottleneck 19, linear schedule of 1,000 steps).
"""

import math
from collections.abc import Callable, Iterable

from spaces.blocks import Architecture
from spaces.coordinates import REFERENCE_SIDE
from spaces.space import Space

PAPER_TIMESTEPS = (10, 30, 50, 90, 150, 300, 500)
PAPER_BLOCKS = (6, 9, 15, 19, 24, 30, 33)
PAPER_POOLS = (1, 2, 4, 8)
PAPER_HEADS = ("linear", "mlp", "cnn", "attention")
PAPER_BLOCK_COUNT = 37
PAPER_BOTTLENECK = 19

DEFAULT_TIMESTEP_COUNT = 8
DEFAULT_LOG_SNR = (8.0, -2.0)
DEFAULT_POOLS = (1, 2, 4)
DEFAULT_HEADS = ("linear", "mlp")
"""Named one by one, so that the default space stays the same when a head is added."""


def paper(architecture: Architecture) -> Space:
    """The paper's grid and its four heads.

    On another network than ADM-256, blocks correspond by relative depth, and timesteps by sigma scaled with the image
    side.
    """
    blocks = _unique(_by_relative_depth(architecture, block) for block in PAPER_BLOCKS)
    timesteps: tuple[int | None, ...] = (None,)
    if architecture.noised:
        timesteps = _unique(_by_sigma(architecture, timestep) for timestep in PAPER_TIMESTEPS)
    return _space(architecture, timesteps, blocks, PAPER_POOLS, PAPER_HEADS)


def default(architecture: Architecture) -> Space:
    """Every block in the range the paper searched, eight timesteps evenly spaced in log-SNR, pools 1, 2 and 4.

    An encoder is read to its last layer, whose output it was trained for.

    Log-SNR 8 to -2 spans the paper's t 10 to 500 on its own schedule.

    Pool 8 is left out. It has four times the features of pool 4. The paper reports both pools for 14 pairs of block and
    timestep, and pool 8 is better in one of them (CUB, block 15, t 50).
    """
    first, last = (_by_relative_depth(architecture, block) for block in (PAPER_BLOCKS[0], PAPER_BLOCKS[-1]))
    if not architecture.noised:
        return _space(architecture, (None,), range(first, len(architecture.blocks) + 1), DEFAULT_POOLS, DEFAULT_HEADS)
    high, low = DEFAULT_LOG_SNR
    step = (high - low) / (DEFAULT_TIMESTEP_COUNT - 1)
    log_snrs = [high - step * i for i in range(DEFAULT_TIMESTEP_COUNT)]
    timesteps = _unique(architecture.timestep_at(math.exp(-log_snr / 2)) for log_snr in log_snrs)
    return _space(architecture, timesteps, range(first, last + 1), DEFAULT_POOLS, DEFAULT_HEADS)


PRESETS: dict[str, Callable[[Architecture], Space]] = {"default": default, "paper": paper}


def _space(
    architecture: Architecture,
    timesteps: Iterable[int | None],
    blocks: Iterable[int],
    pools: Iterable[int],
    heads: tuple[str, ...],
) -> Space:
    chosen = tuple(blocks)
    possible = {pool for block in chosen for pool in architecture.block(block).pools}
    fitting = tuple(pool for pool in pools if pool in possible)
    return Space(architecture, tuple(timesteps), chosen, fitting, heads)


def _by_relative_depth(architecture: Architecture, paper_block: int) -> int:
    """The block that corresponds to a block of ADM-256.

    The bottlenecks correspond to each other; before and after them, blocks at the same share of the way. In a network
    of layers, it is the layer at the same share of all.
    """
    if architecture.blocks[-1].part == "layer":
        return max(1, round(paper_block * len(architecture.blocks) / PAPER_BLOCK_COUNT))
    middle = architecture.bottleneck
    if paper_block <= PAPER_BOTTLENECK:
        return max(1, round(paper_block * middle / PAPER_BOTTLENECK))
    share = (paper_block - PAPER_BOTTLENECK) / (PAPER_BLOCK_COUNT - PAPER_BOTTLENECK)
    return middle + round(share * (len(architecture.blocks) - middle))


def _by_sigma(architecture: Architecture, paper_timestep: int) -> int:
    """The timestep at which as much of the image is seen as at the paper's timestep; see `spaces.coordinates`."""
    scale = architecture.image_side / REFERENCE_SIDE
    return architecture.timestep_at(linear_schedule_sigma(paper_timestep) * scale)


def linear_schedule_sigma(timestep: int) -> float:
    """The sigma of the linear schedule beta = 1e-4 … 0.02 over 1,000 steps (Ho et al. 2020, section 4)."""
    alpha = 1.0
    for t in range(timestep + 1):
        alpha *= 1 - (1e-4 + (0.02 - 1e-4) * t / 999)
    return float(((1 - alpha) / alpha) ** 0.5)


def _unique(values: Iterable[int]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(values))
