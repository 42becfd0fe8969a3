"""A linear layer that returns several activations side by side, each of which can be tapped."""

from collections.abc import Mapping

import torch
from torch import nn


class FusedLinear(nn.Module):
    """A linear layer whose output holds the activations of several, such as query, key and value, one after the other.

    Each activation passes a submodule of its own, so that it can be tapped by the submodule's name. The output is that
    of the linear layer.
    """

    def __init__(self, linear: nn.Module, widths: Mapping[str, int]) -> None:
        """Wrap a linear layer. widths: name of an activation → its channels, in the order of the output."""
        super().__init__()
        self.linear = linear
        self.widths = dict(widths)
        for name in widths:
            self.add_module(name, nn.Identity())

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.linear(inputs)
        parts = torch.split(outputs, [*self.widths.values()], dim=-1)
        for name, part in zip(self.widths, parts, strict=True):
            self.get_submodule(name)(part)
        return outputs
