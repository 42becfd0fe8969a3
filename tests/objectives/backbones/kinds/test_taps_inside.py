"""Activations inside the layers of diffusion transformers, as blocks of their own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from objectives.backbones.catalog import describe_backbone, load_backbone
from objectives.backbones.reading import Reading
from objectives.backbones.tapped import TappedBackbone
from objectives.cka.estimator import cka
from objectives.heads.unit_length import normalised
from spaces import PRESETS, BackboneError, UnknownNameError
from spaces.blocks import INSIDE
from tests.support import small_encoders, small_transformers, small_unets

SIDE = 16
LAYERS = {
    "DiTTransformer2DModel": ["modulated", "query", "key", "value", "attention", "mlp", "layer"],
    "SD3Transformer2DModel": ["modulated", "query", "key", "value", "attention", "mlp", "layer"],
    "PixArtTransformer2DModel": ["query", "key", "value", "attention", "mlp", "layer"],
    "SanaTransformer2DModel": ["query", "key", "value", "attention", "mlp", "layer"],
    "FluxTransformer2DModel": ["modulated", "query", "key", "value", "attention", "mlp", "layer"],
    "Flux2Transformer2DModel": ["query", "key", "value", "attention", "mlp", "layer"],
    "PRXTransformer2DModel": ["query", "key", "value", "attention", "mlp", "layer"],
    "Lumina2Transformer2DModel": ["modulated", "query", "key", "value", "attention", "mlp", "layer"],
}
"""Kind → the parts of its first layer, in the order in which it calls them."""


@pytest.fixture(params=LAYERS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    small_transformers.FOLDERS[request.param](tmp_path)
    return request.param, str(tmp_path)


def parts_of(kind: str) -> list[str]:
    return [part for part in INSIDE if part in LAYERS[kind]]


def taps_of(backbone: TappedBackbone, numbers: list[int]) -> dict[int, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    shape = (2, *backbone.network.input_shape)
    return backbone.taps(torch.randn(shape, generator=generator), torch.randn(shape, generator=generator), 50, numbers)


def test_parts_of_layers_are_blocks_in_the_order_of_the_pass(folder: tuple[str, str]) -> None:
    kind, place = folder
    backbone = load_backbone(place, Reading(image_side=SIDE, taps_inside=parts_of(kind)))
    blocks = backbone.architecture.blocks
    assert [block.part for block in blocks][: len(LAYERS[kind])] == LAYERS[kind]
    costs = [block.cumulative_gmacs for block in blocks]
    assert costs == sorted(costs)
    numbers = [block.number for block in blocks]
    full = taps_of(backbone, numbers)
    for block in blocks:
        assert full[block.number].shape == (2, block.channels, block.side, block.side)
        assert torch.equal(taps_of(backbone, [block.number])[block.number], full[block.number])  # early exit
    assert len(PRESETS["default"](backbone.architecture)) > 0


def test_outputs_of_layers_are_the_same_with_and_without_them(folder: tuple[str, str]) -> None:
    kind, place = folder
    plain, inside = (
        load_backbone(place, Reading(image_side=SIDE, taps_inside=parts)) for parts in ([], parts_of(kind))
    )
    assert plain.digest != inside.digest
    outputs = [block.number for block in inside.architecture.blocks if block.part == "layer"]
    ours, theirs = taps_of(inside, outputs), taps_of(plain, [block.number for block in plain.architecture.blocks])
    for one, other in zip(ours.values(), theirs.values(), strict=True):
        assert torch.equal(one, other)


def test_a_query_is_what_the_attention_multiplies(tmp_path: Path) -> None:
    small_transformers.sd3(tmp_path)
    backbone = load_backbone(str(tmp_path), Reading(taps_inside=["query"]))
    seen = []
    module: Any = backbone.network.module
    handle = module.transformer_blocks[1].attn.to_q.register_forward_hook(lambda _m, _i, output: seen.append(output))
    (number,) = [
        block.number for block in backbone.architecture.blocks if block.name == "transformer_blocks.1.attn.to_q"
    ]
    taps = taps_of(backbone, [number + 1])
    handle.remove()
    assert list(taps) == [number + 1]
    side = backbone.architecture.block(number).side
    expected = seen[0].reshape(2, side, side, -1).permute(0, 3, 1, 2)
    assert torch.equal(taps_of(backbone, [number])[number], expected)


def test_the_attention_is_what_a_gate_multiplies_before_it_is_added(tmp_path: Path) -> None:
    """A layer of DiT without its MLP adds gate x attention to its input (Peebles & Xie 2023, section 3.2)."""
    small_transformers.dit(tmp_path)
    backbone = load_backbone(str(tmp_path), Reading(taps_inside=["attention"]))
    layer: Any = backbone.network.module.get_submodule("transformer_blocks.1")
    gates: list[torch.Tensor] = []
    handles = [
        layer.norm1.register_forward_hook(lambda _m, _i, output: gates.append(output[1])),
        layer.ff.register_forward_hook(lambda _m, _i, output: torch.zeros_like(output)),
    ]
    before, attention, after = backbone.architecture.blocks[1:4]
    taps = taps_of(backbone, [before.number, attention.number, after.number])
    for handle in handles:
        handle.remove()
    added = gates[0][:, :, None, None] * taps[attention.number]
    torch.testing.assert_close(taps[after.number] - taps[before.number], added, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["Flux2Transformer2DModel", "PRXTransformer2DModel"])
def test_fused_parts_are_the_rows_of_one_matrix(kind: str, tmp_path: Path) -> None:
    small_transformers.FOLDERS[kind](tmp_path)
    backbone = load_backbone(str(tmp_path), Reading(image_side=SIDE, taps_inside=["query", "key", "value"]))
    parts = [block for block in backbone.architecture.blocks if "qkv" in block.name][:3]
    matrix = backbone.network.module.get_submodule(parts[0].name.rpartition(".")[0])
    seen: list[torch.Tensor] = []
    handle = matrix.register_forward_hook(lambda _m, _i, output: seen.append(output))
    taps = taps_of(backbone, [*(part.number for part in parts), parts[-1].number + 1])
    handle.remove()
    together = torch.cat([taps[part.number] for part in parts], dim=1)
    side, width = parts[0].side, together.shape[1]
    expected = seen[0][:, -side * side :, :width].reshape(2, side, side, width).permute(0, 3, 1, 2)
    assert torch.equal(together, expected)


def test_the_order_in_which_parts_are_named_does_not_matter(tmp_path: Path) -> None:
    small_transformers.dit(tmp_path)
    one, other = (
        describe_backbone(str(tmp_path), Reading(taps_inside=parts)) for parts in (["mlp", "query"], ["query", "mlp"])
    )
    assert one == other


def test_a_channel_that_dominates_a_layer_does_not_dominate_its_modulated_input(tmp_path: Path) -> None:
    """Maps of large DiTs are ruled by a few channels (DiTF, Gan et al. 2025), which the adaptive norm takes back."""
    small_transformers.dit(tmp_path)
    backbone = load_backbone(str(tmp_path), Reading(taps_inside=["modulated"]))
    module: Any = backbone.network.module
    with torch.no_grad():
        module.pos_embed.proj.bias[3] += 100.0
    modulated, layer = backbone.architecture.blocks[:2]
    taps = taps_of(backbone, [modulated.number, layer.number])

    def strongest(number: int) -> float:
        """The share of the strongest channel in the energy of all channels."""
        energy = taps[number].square().mean(dim=(0, 2, 3))
        return float(energy.max() / energy.sum())

    def most_varying(number: int) -> float:
        """The share of the channel that varies most over images and places in the variance of all channels."""
        variance = taps[number].permute(1, 0, 2, 3).flatten(1).var(dim=1)
        return float(variance.max() / variance.sum())

    assert strongest(layer.number) > 0.99
    assert most_varying(modulated.number) < 0.5


def test_massive_channels_rule_linear_unit_and_cka_on_layers_and_not_on_modulated_inputs(tmp_path: Path) -> None:
    """The adaptive norms of trained DiTs scale massive channels down (DiTF, Gan et al. 2025), as they do here."""
    small_transformers.dit(tmp_path)
    backbone = load_backbone(str(tmp_path), Reading(taps_inside=["modulated"]))
    module: Any = backbone.network.module
    width = module.inner_dim
    with torch.no_grad():
        module.pos_embed.proj.bias[3] += 30.0
        module.pos_embed.proj.weight[3] *= 30.0
        for layer in module.transformer_blocks:  # of its outputs: shift, scale, …
            layer.norm1.linear.weight[width + 3] = 0.0
            layer.norm1.linear.bias[width + 3] = -1.0
    generator = torch.Generator().manual_seed(5)
    shape = (64, *backbone.network.input_shape)
    images, noise = (torch.randn(shape, generator=generator) for _ in range(2))
    layer_output, modulated = (block for block in backbone.architecture.blocks[1:3])
    assert (layer_output.part, modulated.part) == ("layer", "modulated")
    taps = backbone.taps(images, noise, 50, [layer_output.number, modulated.number])

    def share_of_length(number: int) -> float:
        """The share of the massive channel in the squared length of what `linear-unit` scales to length one."""
        energy = normalised(taps[number].mean(dim=(2, 3))).square()
        return float((energy[:, 3] / energy.sum(dim=1)).mean())

    def likeness(number: int) -> float:
        """The CKA of the maps to those of the massive channel of the layer before, alone."""
        return float(cka([taps[number], taps[layer_output.number][:, 3:4]]).values[0, 1])

    assert share_of_length(layer_output.number) > 0.95
    assert likeness(layer_output.number) > 0.95
    assert share_of_length(modulated.number) < 0.1
    assert likeness(modulated.number) < 0.6


@pytest.mark.parametrize(
    ("save", "message"),
    [
        (small_transformers.pixart, "got modulated; it has query, key, value, attention, mlp"),
        (small_transformers.prx, "got modulated; it has query, key, value, attention, mlp"),
        (small_unets.plain, "got modulated; it has none that are known"),
        (small_encoders.vit, "got modulated; it has none that are known"),
        (small_encoders.beit, "got modulated; it has none that are known"),
    ],
)
def test_a_part_that_a_network_has_not_is_refused(tmp_path: Path, save: Callable[[Path], None], message: str) -> None:
    save(tmp_path)
    with pytest.raises(BackboneError, match=f"`taps_inside` of backbone .* takes what its layers have, {message}"):
        load_backbone(str(tmp_path), Reading(taps_inside=["modulated"]))


def test_a_part_that_no_network_has_is_refused(tmp_path: Path) -> None:
    small_transformers.dit(tmp_path)
    with pytest.raises(UnknownNameError, match="unknown part of a layer 'querry'; did you mean 'query'"):
        load_backbone(str(tmp_path), Reading(taps_inside=["querry"]))
