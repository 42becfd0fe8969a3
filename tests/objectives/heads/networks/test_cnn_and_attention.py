"""The networks that see where in a map a feature lies."""

import pytest
import torch

from objectives.heads.head import FeatureLayout
from objectives.heads.networks.attention import Transformer, attention
from objectives.heads.networks.cnn import cnn
from objectives.heads.networks.network import NetworkBuilder
from spaces.dimensions import Value

OPTIONS: dict[str, Value] = {"width": 12, "depth": 2}
BUILDS = [cnn, attention]


def one(channels: int, side: int) -> FeatureLayout:
    """Return the layout of one tap."""
    return FeatureLayout(((channels,),), side)


def maps(channels: int, side: int) -> torch.Tensor:
    return torch.randn(9, channels, side, side, generator=torch.Generator().manual_seed(side))


def shuffled_cells(features: torch.Tensor) -> torch.Tensor:
    order = torch.randperm(features[0, 0].numel(), generator=torch.Generator().manual_seed(0))
    return features.flatten(2)[:, :, order].view_as(features)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize(("channels", "side"), [(7, 1), (5, 2), (1, 3), (3, 4)])
def test_the_logits_of_an_image_do_not_depend_on_its_batch(build: NetworkBuilder, channels: int, side: int) -> None:
    network, features = build(one(channels, side), 4, OPTIONS), maps(channels, side)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    logits = network.eval()(features)
    assert logits.shape == (9, 4)
    torch.testing.assert_close(network(features[order]), logits[order])
    torch.testing.assert_close(network(features[:1]), logits[:1])


@pytest.mark.parametrize("build", BUILDS)
def test_the_position_of_a_feature_in_the_map_matters(build: NetworkBuilder) -> None:
    network, features = build(one(3, 4), 4, OPTIONS).eval(), maps(3, 4)
    assert not torch.allclose(network(shuffled_cells(features)), network(features), atol=1e-3)


def test_attention_knows_positions_only_from_its_position_embedding() -> None:
    network, features = attention(one(3, 4), 4, OPTIONS).eval(), maps(3, 4)
    assert isinstance(network, Transformer)
    with torch.no_grad():
        network.positions.zero_()
    torch.testing.assert_close(network(shuffled_cells(features)), network(features))


TAPS = FeatureLayout(((3, 2), (4,)), 2)
"""Two blocks at one timestep, one at another."""


@pytest.mark.parametrize("build", BUILDS)
def test_every_tap_influences_the_prediction(build: NetworkBuilder) -> None:
    network, features = build(TAPS, 4, OPTIONS).eval(), maps(9, 2)
    logits = network(features)
    assert logits.shape == (9, 4)
    for part in (slice(0, 3), slice(3, 5), slice(5, 9)):
        changed = features.clone()
        changed[:, part] += 1
        assert not torch.allclose(network(changed), logits, atol=1e-3)


def test_attention_reads_the_blocks_of_each_timestep_as_one_set() -> None:
    network, features = attention(TAPS, 4, OPTIONS).eval(), maps(9, 2)
    answers: list[torch.Tensor] = []
    network.classify.register_forward_pre_hook(lambda _, given: answers.append(given[0]))  # type: ignore[union-attr]
    network(features)
    for part, moved in ((slice(0, 3), [True, False]), (slice(3, 5), [True, False]), (slice(5, 9), [False, True])):
        changed = features.clone()
        changed[:, part] += 1
        network(changed)
        before, after = (torch.split(classes, 12, dim=1) for classes in (answers[0], answers[-1]))
        assert [not torch.equal(x, y) for x, y in zip(before, after, strict=True)] == moved


def test_attention_serves_all_timesteps_with_the_same_blocks() -> None:
    once, twice = (attention(FeatureLayout(((5,),) * times, 2), 4, OPTIONS) for times in (1, 2))
    sizes = [sum(p.numel() for name, p in net.named_parameters() if name.startswith("blocks")) for net in (once, twice)]
    assert sizes[0] == sizes[1] > 0


@pytest.mark.parametrize(("side", "kept"), [(1, 1), (2, 2), (3, 4), (4, 8)])
def test_attention_trains_on_half_of_the_cells_and_predicts_from_all(side: int, kept: int) -> None:
    network, seen = attention(one(3, side), 4, OPTIONS), list[torch.Tensor]()
    network.blocks.register_forward_pre_hook(lambda _, given: seen.append(given[0]))  # type: ignore[union-attr]
    features = maps(3, side)
    network(features), network(features), network.eval()(features)
    first, second, answered = seen
    assert first.shape == second.shape == (9, kept, 12)
    assert answered.shape == (9, side * side, 12)
    for tokens in (first, second):
        of = (tokens[:, :, None] == answered[:, None]).all(dim=3)  # which cell each token is
        assert bool((of.sum(dim=2) == 1).all())
        assert bool((of.sum(dim=1) <= 1).all())
    if side > 1:
        assert not torch.equal(first, second)


@pytest.mark.parametrize("build", BUILDS)
def test_width_and_depth_make_it_larger(build: NetworkBuilder) -> None:
    sizes = [
        sum(parameter.numel() for parameter in build(one(3, 2), 4, {"width": width, "depth": depth}).parameters())
        for width, depth in [(5, 1), (5, 2), (30, 2)]  # widths that four attention heads do not divide
    ]
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("name", ["width", "depth"])
def test_a_network_without_a_width_or_depth_is_refused(build: NetworkBuilder, name: str) -> None:
    with pytest.raises(ValueError, match=f"needs option '{name}', a number of at least 1, not 0"):
        build(one(3, 2), 4, OPTIONS | {name: 0})
    with pytest.raises(ValueError, match=f"needs option '{name}', a number of at least 1, not None"):
        build(one(3, 2), 4, {key: value for key, value in OPTIONS.items() if key != name})
