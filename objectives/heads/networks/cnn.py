"""A small convolutional network."""

from collections.abc import Mapping

from torch import nn

from objectives.heads.head import Layout
from objectives.heads.options import number
from spaces.dimensions import Value

DROPOUT = 0.5


def cnn(layout: Layout, classes: int, options: Mapping[str, Value]) -> nn.Module:
    """A 1x1 projection, 3x3 convolutions each with a norm and GELU, the average over the map → norm → dropout → linear.

    options: "width", the channels of every layer; "depth", the 3x3 convolutions.
    """
    width, depth = (int(number(options, name, least=1)) for name in ("width", "depth"))
    convolutions: list[nn.Module] = []
    for _ in range(depth):
        # Not a norm over the batch: the last one may hold one image.
        convolutions += [nn.Conv2d(width, width, 3, padding=1), nn.GroupNorm(1, width), nn.GELU()]
    return nn.Sequential(
        nn.Conv2d(layout.channels, width, 1),
        *convolutions,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.LayerNorm(width),
        nn.Dropout(DROPOUT),
        nn.Linear(width, classes),
    )
