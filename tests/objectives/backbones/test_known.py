"""What is said of the known backbones agrees with what their settings and names say."""

import pytest

from objectives.backbones.catalog import BACKBONES, hollow_network
from objectives.backbones.checkpoints.adm import unet_config
from objectives.backbones.checkpoints.published import PUBLISHED
from objectives.downloads import is_hub_id


@pytest.mark.parametrize("name", PUBLISHED)
def test_numbers_of_weights_are_those_of_the_settings(name: str) -> None:
    import torch
    from diffusers import UNet2DModel

    with torch.device("meta"):
        network = UNet2DModel(**unet_config(PUBLISHED[name].settings))
    assert BACKBONES[name].facts.parameters == pytest.approx(network.num_parameters(), rel=0.002)


def test_facts_of_the_bundled_network_are_its_own() -> None:
    network, facts = hollow_network("bundled"), BACKBONES["bundled"].facts
    assert facts.side == network.image_side
    assert facts.parameters == pytest.approx(sum(p.numel() for p in network.module.parameters()), rel=0.01)


def test_facts_are_plausible_and_hub_ids_can_be_ones() -> None:
    for name, backbone in BACKBONES.items():
        facts = backbone.facts
        assert facts.side in (32, 64, 224, 256, 512, 1024)
        assert facts.parameters is not None
        if facts.bytes is not None:  # weights in half, single or, with more than the network, a little more precision
            assert 1.9 * facts.parameters < facts.bytes < 4.2 * facts.parameters, name
        assert backbone.source == "this package" or "://" in backbone.source or is_hub_id(backbone.source)
