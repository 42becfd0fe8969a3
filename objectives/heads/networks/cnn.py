"""The cnn head's network: a small convolutional network."""

from collections.abc import Mapping

from torch import nn

from objectives.heads.head import FeatureLayout
from objectives.heads.option_reading import number_option
from spaces.dimensions import Value

DROPOUT = 0.5


def cnn(layout: FeatureLayout, classes: int, options: Mapping[str, Value]) -> nn.Module:
    """Build: 1x1 projection → 3x3 convolutions with norms and GELU → mean over the map → norm → dropout → linear.

    options: "width", the channels of every layer; "depth", the number of 3x3 convolutions.
    """
    width, depth = (int(number_option(options, name, least=1)) for name in ("width", "depth"))
    convolutions: list[nn.Module] = []
    for _ in range(depth):
        # No batch norm: the last batch of an epoch may hold a single image.
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
