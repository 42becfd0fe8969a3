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


def attention(layout: Layout, classes: int, options: Mapping[str, Value]) -> nn.Module:
    """A vision transformer of few blocks, whose tokens are the cells of the maps.

    options: "width" of a token, "depth", the blocks.
    """
    width, depth = (int(number(options, name, least=1)) for name in ("width", "depth"))
    return Transformer(layout, classes, width, depth)


class Transformer(nn.Module):
    """Projected cells with learned positions and a class token → pre-norm blocks → the class token's norm → linear.

    That of Dosovitskiy et al. 2021, with two times the width between a block's linear layers instead of four. Several
    taps are read as by DifFormer (Mukhopadhyay et al. 2023, arXiv 2311.17921): each has a projection of its own, the
    cells of one timestep's blocks are one set of tokens, the same blocks and class token serve every timestep, and the
    timesteps' class tokens are classified side by side.
    """

    def __init__(self, layout: Layout, classes: int, width: int, depth: int) -> None:
        super().__init__()
        self.blocks_read = [len(group) for group in layout.groups]
        self.channels = [channels for group in layout.groups for channels in group]
        self.projects = nn.ModuleList(nn.Linear(channels, width) for channels in self.channels)
        self.positions = nn.Parameter(0.02 * torch.randn(layout.side**2, width))
        self.class_token = nn.Parameter(0.02 * torch.randn(width))
        self.blocks = nn.Sequential(*(_block(width) for _ in range(depth)))
        answers = width * len(layout.groups)
        self.classify = nn.Sequential(nn.LayerNorm(answers), nn.Linear(answers, classes))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(n, c, p, p) → (n, classes)."""
        maps = torch.split(features.flatten(2).transpose(1, 2), self.channels, dim=2)
        cells = iter([project(part) + self.positions for project, part in zip(self.projects, maps, strict=True)])
        answers = []
        for count in self.blocks_read:
            tokens = torch.cat([self.class_token.expand(len(features), 1, -1), *islice(cells, count)], dim=1)
            answers.append(self.blocks(tokens)[:, 0])
        logits: torch.Tensor = self.classify(torch.cat(answers, dim=1))
        return logits


def _block(width: int) -> nn.Module:
    heads = math.gcd(width, MOST_HEADS)
    return nn.TransformerEncoderLayer(
        width, heads, 2 * width, dropout=0, activation="gelu", batch_first=True, norm_first=True
    )
