"""A network of one hidden layer."""

import math
from collections.abc import Mapping

from torch import nn

from objectives.heads.head import Layout
from objectives.heads.options import number
from spaces.dimensions import Value

DROPOUT = 0.5


def mlp(layout: Layout, classes: int, options: Mapping[str, Value]) -> nn.Module:
    """Linear → GELU → dropout → linear, blind to where in the map a feature lies.

    options: "width" of the hidden layer.
    """
    width = int(number(options, "width", least=1))
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(layout.shape), width),
        nn.GELU(),
        nn.Dropout(DROPOUT),
        nn.Linear(width, classes),
    )
