"""A small transformer over the cells of one map, or of several that were read at other blocks and timesteps."""

import math
from collections.abc import Mapping
from itertools import islice

import torch
from torch import nn

from objectives.heads.head import Layout
from objectives.heads.options import number
from spaces.dimensions import Value

MOST_HEADS = 4
DROPPED = 0.5
POSITIONS = 0.5


def attention(layout: Layout, classes: int, options: Mapping[str, Value]) -> nn.Module:
    """A vision transformer of few blocks, whose tokens are the cells of the maps.

    options: "width" of a token, "depth", the blocks.
    """
    width, depth = (int(number(options, name, least=1)) for name in ("width", "depth"))
    return Transformer(layout, classes, width, depth)


class Transformer(nn.Module):
    """Projected cells with learned positions → pre-norm blocks → the norm of the cells' mean → linear.

    That of Dosovitskiy et al. 2021, with two times the width between a block's linear layers instead of four, and with
    the mean instead of a class token, as Beyer et al. 2022 (arXiv 2205.01580) have it. Positions start about as large
    as projected cells, by `POSITIONS` instead of 0.02: a fit is too short for them to grow. In training each image
    keeps a random half of its cells (PatchDropout, Liu et al. 2022, arXiv 2208.07220): it overfits less, in less time.

    Several taps are read after DifFormer (Mukhopadhyay et al. 2023, arXiv 2311.17921): each has a projection of its
    own, the cells of one timestep's blocks are one set of tokens, the same blocks serve every timestep, and what they
    make of the timesteps is classified side by side.
    """

    def __init__(self, layout: Layout, classes: int, width: int, depth: int) -> None:
        super().__init__()
        self.blocks_read = [len(group) for group in layout.groups]
        self.channels = [channels for group in layout.groups for channels in group]
        self.projects = nn.ModuleList(nn.Linear(channels, width) for channels in self.channels)
        self.positions = nn.Parameter(POSITIONS * torch.randn(layout.side**2, width))
        self.blocks = nn.Sequential(*(_block(width) for _ in range(depth)))
        answers = width * len(layout.groups)
        self.classify = nn.Sequential(nn.LayerNorm(answers), nn.Linear(answers, classes))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(n, c, p, p) → (n, classes)."""
        maps = torch.split(features.flatten(2).transpose(1, 2), self.channels, dim=2)
        cells = iter([project(part) + self.positions for project, part in zip(self.projects, maps, strict=True)])
        answers = []
        for count in self.blocks_read:
            tokens = torch.cat(list(islice(cells, count)), dim=1)
            answers.append(self.blocks(_some(tokens) if self.training else tokens).mean(dim=1))
        logits: torch.Tensor = self.classify(torch.cat(answers, dim=1))
        return logits


def _some(cells: torch.Tensor) -> torch.Tensor:
    """Of (n, cells, width), other cells of each image: all but the share `DROPPED`, and at least one."""
    images, count, width = cells.shape
    drawn = torch.rand(images, count, device=cells.device).argsort(dim=1)[:, : max(round(count * (1 - DROPPED)), 1)]
    return cells.gather(1, drawn[:, :, None].expand(-1, -1, width))


def _block(width: int) -> nn.Module:
    heads = math.gcd(width, MOST_HEADS)
    return nn.TransformerEncoderLayer(
        width, heads, 2 * width, dropout=0, activation="gelu", batch_first=True, norm_first=True
    )
