"""Heads that are small networks, trained in epochs, of which the best is kept."""

import math
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import nn

from objectives.heads.head import FeatureLayout, Fit, FittedHead, LabelledFeatures, check, validation_epoch
from objectives.heads.networks.training import Recipe, epochs, seeded
from objectives.heads.option_reading import number_option
from objectives.heads.standardisation import Standardiser
from objectives.results import Epoch
from spaces.dimensions import Value

PATIENCE = 10
"""A fit stops after this number of epochs in a row that are worse than the best."""

NetworkBuilder = Callable[[FeatureLayout, int, Mapping[str, Value]], nn.Module]
"""A function (layout, classes, options) → network.

The network maps standardised features, float32 (n, c, p, p), to logits, (n, classes). The network's random
initialisation is drawn from torch's global state. Raises ValueError for options that are missing or invalid.
"""


@dataclass(frozen=True)
class NetworkClassifier:
    """A trained network in evaluation mode: features, float32 (n, c, p, p) → logits (n, classes)."""

    network: nn.Module

    @torch.no_grad()
    def logits(self, features: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(features)
        return logits

    def state(self) -> dict[str, torch.Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}


class StandardisationLayer(nn.Module):
    """Standardises each feature by the training images; its statistics are saved with the weights."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, standardiser: Standardiser) -> None:
        super().__init__()
        self.register_buffer("mean", standardiser.mean)
        self.register_buffer("scale", standardiser.scale)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return Standardiser(self.mean, self.scale)(features.flatten(1)).view_as(features)


@dataclass(frozen=True)
class NetworkHead:
    """A network on standardised features, trained with AdamW.

    `fit` stops `PATIENCE` epochs after the best one. `refit` stops at that epoch of the same schedule.
    options: "learning_rate" > 0, "weight_decay" ≥ 0, and those of `build`.
    details: "epochs", the number of the best epoch by the metric of the validation images; of equally good epochs the
    last one, whose learning rate is the lowest.
    mixed, blend: as in `Recipe`.
    """

    build: NetworkBuilder
    mixed: bool = False
    blend: bool = False

    def fit(
        self,
        train: LabelledFeatures,
        validation: LabelledFeatures,
        classes: int,
        options: Mapping[str, Value],
        seed: int,
    ) -> Iterator[Epoch | Fit]:
        check(classes, train, validation)
        recipe, network = self._recipe(options), self._network(train, classes, options, seed)
        best: tuple[Epoch, Fit] | None = None
        for done in epochs(network, train, recipe, seed):
            epoch = validation_epoch(done, NetworkClassifier(network), validation)
            yield epoch
            if best is None or epoch.score >= best[0].score:
                best = epoch, Fit(_frozen_copy(network), epoch.validation, {"epochs": done})
            elif done - best[0].number >= PATIENCE:
                break
        if best is not None:  # always: a recipe has at least one epoch
            yield best[1]

    def refit(
        self,
        train: LabelledFeatures,
        classes: int,
        options: Mapping[str, Value],
        details: Mapping[str, float],
        seed: int,
    ) -> FittedHead:
        check(classes, train)
        recipe, network = self._recipe(options), self._network(train, classes, options, seed)
        if not 1 <= details["epochs"] <= recipe.epochs:
            raise ValueError(f"epochs to refit for must lie in 1–{recipe.epochs}, not {details['epochs']}")
        for epoch in epochs(network, train, recipe, seed):
            if epoch == details["epochs"]:
                break
        return _frozen_copy(network)

    def restore(
        self,
        state: Mapping[str, torch.Tensor],
        layout: FeatureLayout,
        classes: int,
        options: Mapping[str, Value],
    ) -> FittedHead:
        depth = options.get("depth", 1)
        if isinstance(depth, int | float) and depth > len(state):
            raise ValueError(f"this head has {depth:,} layers, more than the {len(state)} tensors of its state")
        with torch.device("meta"):  # whatever width the options say takes no memory; the state has every weight
            blank = torch.empty(math.prod(layout.shape))
            body = self.build(layout, classes, options)
            network = nn.Sequential(StandardisationLayer(Standardiser(blank, blank)), body)
        network.load_state_dict(dict(state), assign=True)
        return _frozen_copy(network)

    def _recipe(self, options: Mapping[str, Value]) -> Recipe:
        rate, decay = (
            number_option(options, "learning_rate", least=1e-12),
            number_option(options, "weight_decay", least=0),
        )
        return Recipe(rate, decay, mixed=self.mixed, blend=self.blend)

    def _network(self, train: LabelledFeatures, classes: int, options: Mapping[str, Value], seed: int) -> nn.Module:
        with seeded(seed, 0, torch.device("cpu")):  # the initialisation does not depend on the device
            body = self.build(train.layout, classes, options)
        return nn.Sequential(StandardisationLayer(Standardiser.of(train)), body).to(train.labels.device)


def _frozen_copy(network: nn.Module) -> NetworkClassifier:
    return NetworkClassifier(deepcopy(network).eval().requires_grad_(False))
