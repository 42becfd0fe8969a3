"""The attention head's network: a small transformer over the cells of one or several feature maps."""

import math
from collections.abc import Mapping
from itertools import islice

import torch
from torch import nn

from objectives.heads.head import FeatureLayout
from objectives.heads.option_reading import number_option
from spaces.dimensions import Value

MAX_ATTENTION_HEADS = 4
DROPPED_CELLS = 0.5  # the share of an image's cells that a training step leaves out
POSITION_SCALE = 0.5  # the standard deviation of the initial position embeddings


def attention(layout: FeatureLayout, classes: int, options: Mapping[str, Value]) -> nn.Module:
    """Build a vision transformer of a few blocks, whose tokens are the cells of the maps.

    options: "width", the length of a token; "depth", the number of transformer blocks.
    """
    width, depth = (int(number_option(options, name, least=1)) for name in ("width", "depth"))
    return Transformer(layout, classes, width, depth)


class Transformer(nn.Module):
    """Projected cells with learned positions → pre-norm blocks → mean over cells → norm → linear.

    The network follows Dosovitskiy et al. 2021 (arXiv 2010.11929), with a hidden width of 2 × width in a block instead
    of 4 ×, and with the mean over cells instead of a class token, as in Beyer et al. 2022 (arXiv 2205.01580). Position
    embeddings start about as large as projected cells (`POSITION_SCALE` instead of 0.02), because a fit is too short
    for them to grow. In training each image keeps a random half of its cells (PatchDropout, Liu et al. 2022, arXiv
    2208.07220), which reduces overfitting and time.

    Several taps are combined as in DifFormer (Mukhopadhyay et al. 2023, arXiv 2311.17921). Each tap has its own
    projection. The cells of all blocks of one timestep form one set of tokens. The same transformer blocks serve every
    timestep, and their outputs for all timesteps are concatenated and classified.
    """

    def __init__(self, layout: FeatureLayout, classes: int, width: int, depth: int) -> None:
        super().__init__()
        self.blocks_read = [len(group) for group in layout.groups]
        self.channels = [channels for group in layout.groups for channels in group]
        self.projects = nn.ModuleList(nn.Linear(channels, width) for channels in self.channels)
        self.positions = nn.Parameter(POSITION_SCALE * torch.randn(layout.side**2, width))
        self.blocks = nn.Sequential(*(_block(width) for _ in range(depth)))
        total_width = width * len(layout.groups)
        self.classify = nn.Sequential(nn.LayerNorm(total_width), nn.Linear(total_width, classes))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map features (n, c, p, p) to logits (n, classes)."""
        maps = torch.split(features.flatten(2).transpose(1, 2), self.channels, dim=2)
        cells = iter([project(part) + self.positions for project, part in zip(self.projects, maps, strict=True)])
        outputs = []
        for count in self.blocks_read:
            tokens = torch.cat(list(islice(cells, count)), dim=1)
            outputs.append(self.blocks(_random_cells(tokens) if self.training else tokens).mean(dim=1))
        logits: torch.Tensor = self.classify(torch.cat(outputs, dim=1))
        return logits


def _random_cells(cells: torch.Tensor) -> torch.Tensor:
    """Keep random cells of each image, (n, cells, width): all but the share `DROPPED_CELLS`, and at least one."""
    images, count, width = cells.shape
    kept = torch.rand(images, count, device=cells.device).argsort(dim=1)[
        :, : max(round(count * (1 - DROPPED_CELLS)), 1)
    ]
    return cells.gather(1, kept[:, :, None].expand(-1, -1, width))


def _block(width: int) -> nn.Module:
    heads = math.gcd(width, MAX_ATTENTION_HEADS)
    return nn.TransformerEncoderLayer(
        width, heads, 2 * width, dropout=0, activation="gelu", batch_first=True, norm_first=True
    )
