"""Tests of the heads that train in epochs, in addition to those of all heads."""

import pytest
import torch
from torch import nn

from objectives.heads.catalog import HEADS
from objectives.heads.head import Fit, LabelledFeatures
from objectives.heads.networks.mlp import mlp
from objectives.heads.networks.network import PATIENCE, NetworkHead
from objectives.heads.networks.training import Recipe, epochs, seeded
from objectives.results import Epoch
from spaces.dimensions import Value

MLP = NetworkHead(mlp)
OPTIONS: dict[str, Value] = {"width": 16, "depth": 1, "learning_rate": 1e-2, "weight_decay": 0.0}


def noise(count: int, seed: int) -> LabelledFeatures:
    generator = torch.Generator().manual_seed(seed)
    return LabelledFeatures(torch.randn(count, 4, 1, 1, generator=generator), torch.arange(count) % 2)


def test_each_epoch_is_reported_and_the_last_of_the_best_is_stored() -> None:
    *reports, fit = MLP.fit(noise(60, 1), noise(40, 2), 2, OPTIONS, 0)
    epochs = [report for report in reports if isinstance(report, Epoch)]
    assert isinstance(fit, Fit)
    assert [epoch.number for epoch in epochs] == list(range(1, len(epochs) + 1))
    best = max(epochs, key=lambda epoch: (epoch.validation.correct, epoch.number))
    assert fit.validation == best.validation
    assert fit.details == {"epochs": best.number}
    assert best.number < len(epochs)  # of noise the last epoch is not the best, so keeping the last would show


def test_a_fit_stops_after_ten_epochs_without_improvement_and_a_refit_at_the_best_epoch() -> None:
    stopped = 0
    for seed in range(4):
        train = noise(60, seed)
        *reports, fit = MLP.fit(train, noise(40, seed + 9), 2, OPTIONS, seed)
        assert isinstance(fit, Fit)
        assert len(reports) == min(fit.details["epochs"] + PATIENCE, 30)
        stopped += len(reports) < 30
        again = MLP.refit(train, 2, OPTIONS, fit.details, seed).state()
        assert all(torch.equal(tensor, again[name]) for name, tensor in fit.classifier.state().items())
    assert stopped


def test_seeds_differ() -> None:
    states = []
    for seed in (0, 1):
        *_, fit = MLP.fit(noise(60, 1), noise(40, 2), 2, OPTIONS, seed)
        assert isinstance(fit, Fit)
        states.append(fit.classifier.state())
    assert any(not torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"width": 0}, "needs option 'width', a number of at least 1, not 0"),
        ({"learning_rate": float("nan")}, "needs option 'learning_rate'"),
        ({"learning_rate": "fast"}, "not 'fast'"),
        ({"weight_decay": -1.0}, "needs option 'weight_decay', a number of at least 0, not -1.0"),
    ],
)
def test_options_without_effect_are_refused(changed: dict[str, Value], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        next(MLP.fit(noise(60, 1), noise(40, 2), 2, OPTIONS | changed, 0))
    with pytest.raises(ValueError, match="needs option"):
        next(MLP.fit(noise(60, 1), noise(40, 2), 2, {}, 0))


@pytest.mark.parametrize("epochs", [0, 31])
def test_refit_for_epochs_beyond_the_schedule_is_refused(epochs: int) -> None:
    with pytest.raises(ValueError, match=f"must lie in 1–30, not {epochs}"):
        MLP.refit(noise(60, 1), 2, OPTIONS, {"epochs": epochs}, 0)


@pytest.mark.parametrize("name", ["mlp", "cnn", "attention"])
def test_a_last_batch_of_a_single_image_is_used_too(name: str) -> None:
    *epochs, fit = HEADS[name].fit(noise(129, 1), noise(40, 2), 2, OPTIONS, 0)  # of 8 a step
    assert isinstance(fit, Fit)
    assert len(epochs) == min(fit.details["epochs"] + PATIENCE, 30)


@pytest.mark.parametrize("name", ["mlp", "cnn", "attention"])
def test_renaming_the_classes_of_a_network_only_renames_its_outputs(name: str) -> None:
    """Renamed classes that begin at the weights that were theirs make the same network, its last rows renamed."""
    head, renamed = HEADS[name], torch.tensor([2, 0, 1])
    assert isinstance(head, NetworkHead)
    labels, data = torch.arange(60) % 3, noise(60, 1)
    logits = []
    for names in (torch.arange(3), renamed):
        with seeded(0, 0, torch.device("cpu")):
            network = head.build(data.layout, 3, OPTIONS)
        *_, last = (part for part in network.modules() if isinstance(part, nn.Linear))
        for parameter in last.parameters():
            parameter.data[names] = parameter.detach().clone()
        list(epochs(network, LabelledFeatures(data.features, names[labels]), Recipe(1e-2, 1e-3, epochs=5), 0))
        logits.append(network(data.features)[:, names])
    torch.testing.assert_close(logits[1], logits[0], rtol=1e-3, atol=1e-3)
