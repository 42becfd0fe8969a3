"""A small transformer over the cells of a map."""

import math
from collections.abc import Mapping

import torch
from torch import nn

from objectives.heads.options import number
from spaces.dimensions import Value

MOST_HEADS = 4


def attention(channels: int, side: int, classes: int, options: Mapping[str, Value]) -> nn.Module:
    """A vision transformer of few blocks, whose tokens are the cells of the map.

    options: "width" of a token, "depth", the blocks.
    """
    width, depth = (int(number(options, name, least=1)) for name in ("width", "depth"))
    return Transformer(channels, side * side, classes, width, depth)


class Transformer(nn.Module):
    """Projected cells with learned positions and a class token → pre-norm blocks → the class token's norm → linear.

    That of Dosovitskiy et al. 2021, with two times the width between a block's linear layers instead of four.
    """

    def __init__(self, channels: int, cells: int, classes: int, width: int, depth: int) -> None:
        super().__init__()
        self.project = nn.Linear(channels, width)
        self.positions = nn.Parameter(0.02 * torch.randn(cells, width))
        self.class_token = nn.Parameter(0.02 * torch.randn(width))
        self.blocks = nn.Sequential(*(_block(width) for _ in range(depth)))
        self.classify = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, classes))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(n, c, p, p) → (n, classes)."""
        cells = self.project(features.flatten(2).transpose(1, 2)) + self.positions
        tokens = torch.cat([self.class_token.expand(len(cells), 1, -1), cells], dim=1)
        logits: torch.Tensor = self.classify(self.blocks(tokens)[:, 0])
        return logits


def _block(width: int) -> nn.Module:
    heads = math.gcd(width, MOST_HEADS)
    return nn.TransformerEncoderLayer(
        width, heads, 2 * width, dropout=0, activation="gelu", batch_first=True, norm_first=True
    )
