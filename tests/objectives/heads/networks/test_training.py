"""The batches of a training run, and its seeds."""

from itertools import chain

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from objectives.heads.head import LabelledFeatures
from objectives.heads.networks.training import Recipe, epochs, seeded

CPU = torch.device("cpu")


class Watched(nn.Module):
    """A linear layer that remembers which images came in each training step: their only feature is their number."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 2)
        self.steps: list[list[int]] = []

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.steps.append([round(1000 * float(value)) for value in features.flatten()])
        logits: torch.Tensor = self.layer(features.flatten(1))
        return logits


def numbered(count: int) -> LabelledFeatures:
    return LabelledFeatures(torch.arange(count).view(-1, 1, 1, 1) / 1000, torch.arange(count) % 2)


def watched(seed: int, recipe: Recipe, stop: int | None = None) -> Watched:
    with seeded(0, 0, CPU):
        network = Watched()
    for number in epochs(network, numbered(21), recipe, seed):
        if number == stop:
            break
    return network


def test_every_epoch_sees_every_image_once_in_a_new_order() -> None:
    network = watched(3, Recipe(1e-3, 0.0, epochs=3, batch=8))
    assert [len(step) for step in network.steps] == [8, 8, 5] * 3
    orders = [list(chain(*network.steps[at : at + 3])) for at in (0, 3, 6)]
    assert all(sorted(order) == list(range(21)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert network.steps == watched(3, Recipe(1e-3, 0.0, epochs=3, batch=8)).steps
    assert network.steps != watched(4, Recipe(1e-3, 0.0, epochs=3, batch=8)).steps


def test_stopping_early_leaves_the_network_of_that_epoch_of_the_whole_schedule() -> None:
    recipe = Recipe(1e-2, 0.1, epochs=5, batch=8)
    with seeded(0, 0, CPU):
        network = Watched()
    weights = {}
    for number in epochs(network, numbered(21), recipe, 3):
        weights[number] = network.layer.weight.detach().clone()
        assert not network.training
        assert all(parameter.grad is None for parameter in network.parameters())
    assert list(weights) == [1, 2, 3, 4, 5]
    assert torch.equal(watched(3, recipe, stop=2).layer.weight, weights[2])
    assert not torch.equal(weights[2], weights[5])


@pytest.mark.parametrize(
    "device",
    ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))],
)
def test_mixed_precision_is_for_training_on_a_gpu_alone(device: str) -> None:
    kinds = {}
    for mixed in (False, True):
        data, network, seen = numbered(21), Watched().to(device), set[tuple[bool, torch.dtype]]()
        data = LabelledFeatures(data.features.to(device), data.labels.to(device))
        network.register_forward_hook(lambda module, _, out, seen=seen: seen.add((module.training, out.dtype)))
        for _ in epochs(network, data, Recipe(1e-2, 0.1, epochs=2, mixed=mixed), 3):
            network(data.features)
        assert network.layer.weight.dtype == torch.float32
        kinds[mixed] = seen
    float32, half = torch.float32, torch.bfloat16
    assert kinds[False] == {(True, float32), (False, float32)}
    assert kinds[True] == {(True, half if device == "cuda" else float32), (False, float32)}


@pytest.mark.parametrize(("images", "batch"), [(21, 8), (400, 10), (1200, 30), (5119, 127), (6000, 128)])
def test_few_images_are_trained_on_in_forty_small_batches_an_epoch(images: int, batch: int) -> None:
    network = Watched()
    for _ in epochs(network, numbered(images), Recipe(1e-3, 0.0, epochs=1), 3):
        assert {len(step) for step in network.steps[:-1]} == {batch}
        assert sum(map(len, network.steps)) == images
        assert len(network.steps) >= 40 or batch == 8


def test_an_epoch_is_the_same_fraction_of_the_schedule_for_any_number_of_images() -> None:
    rates = {}
    for images in (80, 320, 6400):
        steps: list[float] = []
        hook = register_optimizer_step_pre_hook(lambda o, *_, to=steps: to.append(o.param_groups[0]["lr"]))
        last = []
        for _ in epochs(Watched(), numbered(images), Recipe(1e-2, 0.0, epochs=10), 3):
            last.append(steps[-1])
        hook.remove()
        rates[images] = torch.tensor(last)
    for other in (320, 6400):
        torch.testing.assert_close(rates[80], rates[other], rtol=0, atol=1e-3)  # of up to 1e-2, as steps are discrete
    assert rates[80].argmax() == 0
    assert rates[80][-1] < 1e-6


def test_the_labels_of_blended_images_are_blended_by_the_same_share() -> None:
    network, slopes = Watched(), list[torch.Tensor]()
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    data = LabelledFeatures(torch.arange(16).view(-1, 1, 1, 1) % 2 / 1, torch.arange(16) % 2)  # a feature is its label
    network.layer.weight.register_hook(slopes.append)  # type: ignore[no-untyped-call]
    list(epochs(network, data, Recipe(1e-12, 0.0, epochs=9, blend=True), 3))
    shares = set()
    for step, slope in zip(network.steps, slopes, strict=True):
        blended = torch.tensor(step) / 1000
        # Both classes are believed by half; what a feature says of its image's label, it says of a blended one's.
        assert slope[1].item() == pytest.approx(((0.5 - blended) * blended).mean().item(), abs=2e-3)
        shares |= set(step) - {0, 1000}
    assert len(shares) > 9
    assert all(0 < share < 1000 for share in shares)


def test_weight_decay_shrinks_weights_and_leaves_biases() -> None:
    flat = LabelledFeatures(torch.zeros(8, 1, 1, 1), torch.arange(8) % 2)  # the weights get no gradient
    moved = {}
    for decay in (0.0, 10.0):
        with seeded(0, 0, CPU):
            network = Watched()
        before = network.layer.weight.detach().clone()
        list(epochs(network, flat, Recipe(1e-2, decay, epochs=4), 0))
        moved[decay] = (network.layer.weight.norm() / before.norm()).item(), network.layer.bias.detach()
    assert moved[0.0][0] == 1
    assert moved[10.0][0] < 0.95
    assert torch.equal(moved[0.0][1], moved[10.0][1])


def test_seeded_is_repeatable_and_leaves_no_trace() -> None:
    before = torch.get_rng_state()
    drawn = []
    for seed, stream in [(1, 2), (1, 2), (1, 3), (2, 2)]:
        with seeded(seed, stream, CPU):
            drawn.append(torch.rand(4))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], drawn[3])
    assert torch.equal(torch.get_rng_state(), before)
