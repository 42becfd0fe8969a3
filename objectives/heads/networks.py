"""Heads that are small networks, trained in epochs; the best epoch is kept."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import nn

from objectives.heads.head import Classifier, Fit, Labelled, accuracy, check
from objectives.heads.standardising import Standardiser
from objectives.heads.training import Recipe, epochs, seeded
from objectives.results import Accuracy, Epoch
from spaces.dimensions import Value


@dataclass(frozen=True)
class NetworkClassifier:
    """network: features, float32 (n, c, p, p) → logits (n, classes); in evaluation mode."""

    network: nn.Module

    @torch.no_grad()
    def logits(self, features: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(features)
        return logits

    def state(self) -> dict[str, torch.Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}


class Standardise(nn.Module):
    """Flattens images and standardises each feature by the training images; kept with the weights."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, train: Labelled) -> None:
        super().__init__()
        standardiser = Standardiser.of(train)
        self.register_buffer("mean", standardiser.mean)
        self.register_buffer("scale", standardiser.scale)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return Standardiser(self.mean, self.scale)(features.flatten(1))


@dataclass(frozen=True)
class Mlp:
    """Standardised features → linear → GELU → dropout → linear.

    options: "width" of the hidden layer, "learning_rate" > 0, "weight_decay" ≥ 0. details: "epochs", the number of the
    best one by validation accuracy; of equals the last, whose learning rate is the lowest.
    """

    dropout: float = 0.5

    def fit(
        self, train: Labelled, validation: Labelled, classes: int, options: Mapping[str, Value], seed: int
    ) -> Iterator[Epoch | Fit]:
        check(classes, train, validation)
        recipe, network = _recipe(options), self._network(train, classes, options, seed)
        best: Fit | None = None
        for number in epochs(network, train, recipe, seed):
            reached: Accuracy = accuracy(NetworkClassifier(network), validation)
            yield Epoch(number, reached)
            if best is None or reached.correct >= best.validation.correct:
                best = Fit(_kept(network), reached, {"epochs": number})
        if best is not None:  # a recipe has at least one epoch
            yield best

    def refit(
        self,
        train: Labelled,
        classes: int,
        options: Mapping[str, Value],
        details: Mapping[str, float],
        seed: int,
    ) -> Classifier:
        check(classes, train)
        recipe, network = _recipe(options), self._network(train, classes, options, seed)
        if not 1 <= details["epochs"] <= recipe.epochs:
            raise ValueError(f"epochs to refit for must lie in 1–{recipe.epochs}, not {details['epochs']}")
        for number in epochs(network, train, recipe, seed):
            if number == details["epochs"]:
                break
        return _kept(network)

    def restore(
        self,
        state: Mapping[str, torch.Tensor],
        shape: tuple[int, int, int],
        classes: int,
        options: Mapping[str, Value],
    ) -> Classifier:
        blank = Labelled(torch.zeros(1, *shape), torch.zeros(1, dtype=torch.int64))
        network = self._network(blank, classes, options, seed=0)  # whose every number is then replaced
        network.load_state_dict(dict(state))
        return _kept(network)

    def _network(self, train: Labelled, classes: int, options: Mapping[str, Value], seed: int) -> nn.Module:
        inputs, width = train.shape[1], int(_number(options, "width", least=1))
        with seeded(seed, 0, torch.device("cpu")):  # one initialisation, whatever the device
            layers = [nn.Linear(inputs, width), nn.GELU(), nn.Dropout(self.dropout), nn.Linear(width, classes)]
        return nn.Sequential(Standardise(train), *layers).to(train.labels.device)


def _kept(network: nn.Module) -> NetworkClassifier:
    return NetworkClassifier(deepcopy(network).eval().requires_grad_(False))


def _recipe(options: Mapping[str, Value]) -> Recipe:
    return Recipe(_number(options, "learning_rate", least=1e-12), _number(options, "weight_decay", least=0))


def _number(options: Mapping[str, Value], name: str, least: float) -> float:
    value = options.get(name)
    if not isinstance(value, int | float) or not least <= value < float("inf"):
        raise ValueError(f"this head needs option {name!r}, a number of at least {least:g}, not {value!r}")
    return value
