"""The networks that see where in a map a feature lies."""

import pytest
import torch

from objectives.heads.attention import Transformer, attention
from objectives.heads.cnn import cnn
from objectives.heads.networks import Build
from spaces.dimensions import Value

OPTIONS: dict[str, Value] = {"width": 12, "depth": 2}
BUILDS = [cnn, attention]


def maps(channels: int, side: int) -> torch.Tensor:
    return torch.randn(9, channels, side, side, generator=torch.Generator().manual_seed(side))


def shuffled_cells(features: torch.Tensor) -> torch.Tensor:
    order = torch.randperm(features[0, 0].numel(), generator=torch.Generator().manual_seed(0))
    return features.flatten(2)[:, :, order].view_as(features)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize(("channels", "side"), [(7, 1), (5, 2), (1, 3), (3, 4)])
def test_an_image_has_its_logits_whichever_others_come_with_it(build: Build, channels: int, side: int) -> None:
    network, features = build(channels, side, 4, OPTIONS), maps(channels, side)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    logits = network.eval()(features)
    assert logits.shape == (9, 4)
    torch.testing.assert_close(network(features[order]), logits[order])
    torch.testing.assert_close(network(features[:1]), logits[:1])


@pytest.mark.parametrize("build", BUILDS)
def test_it_matters_where_in_the_map_a_feature_lies(build: Build) -> None:
    network, features = build(3, 4, 4, OPTIONS).eval(), maps(3, 4)
    assert not torch.allclose(network(shuffled_cells(features)), network(features), atol=1e-3)


def test_attention_knows_places_by_its_positions_alone() -> None:
    network, features = attention(3, 4, 4, OPTIONS), maps(3, 4)
    assert isinstance(network, Transformer)
    with torch.no_grad():
        network.positions.zero_()
    torch.testing.assert_close(network(shuffled_cells(features)), network(features))


@pytest.mark.parametrize("build", BUILDS)
def test_width_and_depth_make_it_larger(build: Build) -> None:
    sizes = [
        sum(parameter.numel() for parameter in build(3, 2, 4, {"width": width, "depth": depth}).parameters())
        for width, depth in [(5, 1), (5, 2), (30, 2)]  # widths that four attention heads do not divide
    ]
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("name", ["width", "depth"])
def test_a_network_without_a_width_or_depth_is_refused(build: Build, name: str) -> None:
    with pytest.raises(ValueError, match=f"needs option '{name}', a number of at least 1, not 0"):
        build(3, 2, 4, OPTIONS | {name: 0})
    with pytest.raises(ValueError, match=f"needs option '{name}', a number of at least 1, not None"):
        build(3, 2, 4, {key: value for key, value in OPTIONS.items() if key != name})
