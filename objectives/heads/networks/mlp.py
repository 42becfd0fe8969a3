"""The mlp head's network: one hidden layer."""

import math
from collections.abc import Mapping

from torch import nn

from objectives.heads.head import FeatureLayout
from objectives.heads.option_reading import number_option
from spaces.dimensions import Value

DROPOUT = 0.5


def mlp(layout: FeatureLayout, classes: int, options: Mapping[str, Value]) -> nn.Module:
    """Build: linear → GELU → dropout → linear, on the flattened map.

    options: "width" of the hidden layer.
    """
    width = int(number_option(options, "width", least=1))
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(layout.shape), width),
        nn.GELU(),
        nn.Dropout(DROPOUT),
        nn.Linear(width, classes),
    )
