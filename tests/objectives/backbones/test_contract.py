"""Tests of the contract of every kind of backbone, on small networks with random weights."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from objectives.backbones.backbone import Backbone
from objectives.backbones.catalog import NETWORK_KINDS, describe_backbone, late_backbone_here, load_backbone
from objectives.backbones.files import network_folder
from objectives.backbones.pipeline.processes import CONSISTENCY, FLOW, SCORE
from objectives.backbones.reading import Reading
from objectives.backbones.tapped import TappedBackbone
from spaces import PRESETS, BackboneError
from tests.support import small_encoders, small_latents, small_sit, small_transformers, small_unets
from tests.support.random_backbone import random_backbone

FOLDERS = (
    small_unets.FOLDERS
    | small_latents.FOLDERS
    | small_transformers.FOLDERS
    | small_sit.FOLDERS
    | small_encoders.FOLDERS
    | small_encoders.STRUCTURED
)
Inputs = tuple[torch.Tensor, torch.Tensor | None, int | None]


@pytest.fixture(scope="module", params=FOLDERS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("backbone")
    FOLDERS[request.param](folder)
    return folder


def side_of(folder: Path) -> int | None:
    """The image side that is asked for: only of the kinds whose configuration states none."""
    values = json.loads((network_folder(folder) / "config.json").read_text())
    return 16 if values.get("_class_name") in small_transformers.WITHOUT_SIDE else None


@pytest.fixture(scope="module")
def backbone(folder: Path) -> Backbone:
    return load_backbone(str(folder), Reading(image_side=side_of(folder)))


def weight_files(folder: Path) -> list[Path]:
    """One file of weights for each part of a network."""
    return sorted({file.parent: file for file in sorted(folder.rglob("*.safetensors"))}.values())


def of_the_network(tensor: str) -> bool:
    """Return whether a tensor belongs to the network alone: not to a head or another model, and not renamed."""
    others = ("classifier", "decoder.", "text_", "projection")
    renamed = ("query", "key", "value", "dense.", "relative_")
    return not any(part in tensor for part in (*others, *renamed))


def missing(tensors: dict[str, torch.Tensor], name: str) -> str:
    del tensors[name]
    return r"1 missing \(|is not the shard that model\.safetensors\.index\.json lists: it lacks"


def left_over(tensors: dict[str, torch.Tensor], name: str) -> str:
    tensors[name + ".more"] = tensors[name].clone()
    return r"1 not the network's \(|is not the shard that model\.safetensors\.index\.json lists: it also has"


def misshapen(tensors: dict[str, torch.Tensor], name: str) -> str:
    tensors[name] = tensors[name][:, :-1].clone()
    return r"1 of another shape \(.*: \(\d+, .*\), not \(\d+, .*\)\)"


def whole(tensors: dict[str, torch.Tensor], name: str) -> str:
    tensors[name] = tensors[name].to(torch.int8)
    return "has whole numbers in place of weights"


def infinite(tensors: dict[str, torch.Tensor], name: str) -> str:
    tensors[name][0, 0] = float("inf")
    return "are not finite: NaN or infinite values in "


def undefined(tensors: dict[str, torch.Tensor], name: str) -> str:
    tensors[name][-1, -1] = float("nan")
    return "are not finite: NaN or infinite values in "


DAMAGES: dict[str, Callable[[dict[str, torch.Tensor], str], str]] = {
    kind.__name__: kind for kind in (missing, left_over, misshapen, whole, infinite, undefined)
}
"""Kind of damage → what does it to a tensor, and returns what the refusal says."""


def pixels_for(backbone: Backbone, count: int) -> torch.Tensor:
    side = backbone.architecture.image_side
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8)


def inputs_for(backbone: Backbone, count: int = 3) -> Inputs:
    inputs = backbone.encode(pixels_for(backbone, count))
    if not backbone.architecture.noised:
        return inputs, None, None
    return inputs, torch.randn(inputs.shape, generator=torch.Generator().manual_seed(2)), 50


def of(inputs: Inputs, rows: slice) -> Inputs:
    images, noise, timestep = inputs
    return images[rows], None if noise is None else noise[rows], timestep


def read_by_the_network(
    backbone: TappedBackbone, images: torch.Tensor, noise: torch.Tensor | None, timestep: int
) -> torch.Tensor:
    """Return the images that the module itself receives in a forward pass."""
    received: list[torch.Tensor] = []

    def keep(_module: torch.nn.Module, arguments: tuple[object, ...], options: dict[str, object]) -> None:
        values = (value for value in (*arguments, *options.values()) if isinstance(value, torch.Tensor))
        received.append(next(value for value in values if value.numel() == images.numel()).clone())

    handle = backbone.network.module.register_forward_pre_hook(keep, with_kwargs=True)
    backbone.taps(images, noise, timestep, [1])
    handle.remove()
    return received[0]


def assert_same(one: torch.Tensor, other: torch.Tensor) -> None:
    """Equal but for rounding."""
    scale = one.abs().max().item()
    torch.testing.assert_close(one, other, atol=1e-5 * scale, rtol=1e-4)


class TestBackbone:
    def test_the_block_table_is_what_comes_out(self, backbone: Backbone) -> None:
        table = backbone.architecture.blocks
        taps = backbone.taps(*inputs_for(backbone), [block.number for block in table])
        assert [block.number for block in table] == list(range(1, len(table) + 1))
        for block in table:
            assert taps[block.number].shape == (3, block.channels, block.side, block.side)
            assert torch.isfinite(taps[block.number]).all()
        costs = [block.cumulative_gmacs for block in table]
        assert costs == sorted(costs)
        assert costs[-1] > 0
        assert sum(block.gmacs for block in table) == pytest.approx(costs[-1])

    def test_early_exit_equals_the_full_pass_bit_for_bit_and_leaves_no_hook(self, backbone: Backbone) -> None:
        inputs = inputs_for(backbone)
        numbers = [block.number for block in backbone.architecture.blocks]
        full = backbone.taps(*inputs, numbers)
        for number in numbers:
            alone = backbone.taps(*inputs, [number])
            assert list(alone) == [number]
            assert torch.equal(alone[number], full[number])
        assert isinstance(backbone, TappedBackbone)
        assert not any(module._forward_hooks for module in backbone.network.module.modules())

    def test_early_exit_runs_nothing_deeper(self, backbone: Backbone) -> None:
        assert isinstance(backbone, TappedBackbone)
        first, second = backbone.architecture.blocks[0], backbone.architecture.blocks[-1]
        reached = []
        deeper = backbone.network.module.get_submodule(second.name)
        handle = deeper.register_forward_hook(lambda *_: reached.append(True))
        backbone.taps(*inputs_for(backbone), [first.number])
        handle.remove()
        assert not reached

    def test_every_block_sees_the_image(self, backbone: Backbone) -> None:
        """A tap that is constant over images, or that repeats the block before it, is read at the wrong place."""
        taps = backbone.taps(*inputs_for(backbone), [block.number for block in backbone.architecture.blocks])
        for maps in taps.values():
            assert not torch.equal(maps[0], maps[1])
        for number in range(2, len(taps) + 1):
            assert taps[number].shape != taps[number - 1].shape or not torch.equal(taps[number], taps[number - 1])

    def test_batch_size_and_order_change_a_feature_by_rounding_alone(self, backbone: Backbone) -> None:
        inputs = inputs_for(backbone, 6)
        last = backbone.architecture.blocks[-1].number
        together = backbone.taps(*inputs, [last])[last]
        alone = torch.cat([backbone.taps(*of(inputs, slice(i, i + 1)), [last])[last] for i in range(6)])
        assert_same(together, alone)
        images, noise, timestep = inputs
        backwards = backbone.taps(images.flip(0), None if noise is None else noise.flip(0), timestep, [last])[last]
        assert_same(together, backwards.flip(0))

    def test_loading_again_gives_the_same_bits(self, folder: Path, backbone: Backbone) -> None:
        again = load_backbone(str(folder), Reading(image_side=side_of(folder)))
        last = backbone.architecture.blocks[-1].number
        assert again.digest == backbone.digest
        assert again.latents == backbone.latents
        assert torch.equal(
            again.taps(*inputs_for(again), [last])[last], backbone.taps(*inputs_for(backbone), [last])[last]
        )

    def test_the_description_is_that_of_the_loaded_network(
        self, folder: Path, backbone: Backbone, tmp_path: Path
    ) -> None:
        for _ in range(2):  # the second is remembered
            described = describe_backbone(str(folder), Reading(cache=tmp_path, image_side=side_of(folder)))
            assert described == (backbone.architecture, backbone.digest)

    def test_loading_it_late_changes_nothing(self, folder: Path, backbone: Backbone) -> None:
        late = late_backbone_here(str(folder), Reading(image_side=side_of(folder)))
        number = backbone.architecture.blocks[-1].number
        assert (late.architecture, late.digest) == (backbone.architecture, backbone.digest)
        inputs = inputs_for(backbone)
        assert torch.equal(late.taps(*inputs, [number])[number], backbone.taps(*inputs, [number])[number])
        assert late.latents == backbone.latents

    def test_precision_is_part_of_the_digest_and_changes_a_feature_slightly(
        self, folder: Path, backbone: Backbone
    ) -> None:
        half = load_backbone(str(folder), Reading(precision="bfloat16", image_side=side_of(folder)))
        assert half.digest != backbone.digest
        assert (half.latents is None and backbone.latents is None) or half.latents != backbone.latents
        inputs, last = inputs_for(backbone), backbone.architecture.blocks[-1].number
        one, other = backbone.taps(*inputs, [last])[last], half.taps(*inputs, [last])[last].float()
        difference = ((one - other).norm() / one.norm()).item()
        assert 0 < difference < 0.1

    def test_noise_and_timestep_matter_to_a_diffusion_network_and_are_refused_by_an_encoder(
        self, backbone: Backbone
    ) -> None:
        images, noise, timestep = inputs_for(backbone)
        last = backbone.architecture.blocks[-1].number
        if not backbone.architecture.noised:
            with pytest.raises(ValueError, match="takes no noise and timestep"):
                backbone.taps(images, torch.zeros_like(images), 0, [last])
            return
        with pytest.raises(ValueError, match="needs a timestep"):
            backbone.taps(images, noise, None, [last])
        assert noise is not None
        here = backbone.taps(images, noise, timestep, [last])[last]
        assert not torch.equal(here, backbone.taps(images, noise, 300, [last])[last])
        assert not torch.equal(here, backbone.taps(images, noise.flip(0), timestep, [last])[last])

    def test_a_clean_pass_reads_the_image_itself(self, backbone: Backbone) -> None:
        """It is what the network's process makes of the image without noise, at the size that the image has."""
        assert isinstance(backbone, TappedBackbone)
        if not backbone.architecture.noised:
            return
        images, noise, _ = inputs_for(backbone)
        last = backbone.architecture.blocks[-1].number
        for timestep in (0, 50, 700):
            alpha = backbone.architecture.alphas_cumprod[timestep]
            sizes = {FLOW: 1 - (timestep + 1) / 1000, CONSISTENCY: 1.0, SCORE: 1.0}  # of the image in a noised input
            size = sizes.get(str(backbone.architecture.prediction), alpha**0.5)
            received = [
                read_by_the_network(backbone, images * share, noise_or_none, timestep)
                for share, noise_or_none in ((1.0, None), (1 / size, torch.zeros_like(images)))
            ]
            torch.testing.assert_close(received[0], received[1], atol=1e-5, rtol=1e-4)
        clean, again, later = (backbone.taps(images, None, timestep, [last])[last] for timestep in (50, 50, 300))
        assert torch.equal(clean, again)
        assert not torch.equal(clean, later)
        assert not torch.equal(clean, backbone.taps(images, noise, 50, [last])[last])

    def test_another_side_is_refused(self, backbone: Backbone) -> None:
        images, noise, timestep = inputs_for(backbone)
        with pytest.raises(ValueError, match=r"takes inputs \(n, "):
            backbone.taps(images[..., :-1], noise, timestep, [1])
        side = backbone.architecture.image_side
        with pytest.raises(ValueError, match=rf"encodes pixels uint8 \(n, 3, {side}, {side}\)"):
            backbone.encode(pixels_for(backbone, 2)[..., :-1])

    def test_a_default_space_can_be_made_of_it(self, backbone: Backbone) -> None:
        space = PRESETS["default"](backbone.architecture)
        assert len(space) > 0
        assert (space.timesteps == (None,)) == (not backbone.architecture.noised)

    def test_random_weights_give_maps_of_the_same_shapes(self, folder: Path, backbone: Backbone) -> None:
        drawn = random_backbone(str(folder), image_side=side_of(folder))
        last = backbone.architecture.blocks[-1].number
        maps, again = (drawn.taps(*inputs_for(backbone), [last])[last] for _ in range(2))
        assert maps.shape == backbone.taps(*inputs_for(backbone), [last])[last].shape
        assert torch.isfinite(maps).all()
        assert torch.equal(maps, again)

    @pytest.mark.parametrize("damage", DAMAGES)
    def test_weights_that_are_not_the_networks_are_refused_by_name(
        self, folder: Path, tmp_path: Path, damage: str
    ) -> None:
        """The weights of the autoencoder and of the text encoder are damaged too."""
        for number, weights in enumerate(weight_files(folder)):
            copy = Path(shutil.copytree(folder, tmp_path / str(number)))
            file = copy / weights.relative_to(folder)
            tensors = load_file(file)
            if not (names := [name for name in tensors if tensors[name].ndim > 1 and of_the_network(name)]):
                continue  # a shard of the text model of a whole CLIP
            name = names[0]
            expected = DAMAGES[damage](tensors, name)
            save_file(tensors, file, metadata={"format": "pt"})
            with pytest.raises(BackboneError, match=expected) as refusal:
                load_backbone(str(copy), Reading(image_side=side_of(copy)))
            last = ".".join(name.split(".")[-2:])  # transformers gives some layers other names
            assert f"{last}" in str(refusal.value)
            assert str(file.parent) in str(refusal.value)

    def test_weights_cut_short_are_refused_in_words(self, folder: Path, tmp_path: Path) -> None:
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)
        weights = next(
            path for path in sorted(copy.rglob("*.safetensors")) if path.parent.name in ("unet", "transformer", "copy")
        )
        weights.write_bytes(weights.read_bytes()[:-100])
        with pytest.raises(BackboneError, match=r"\.safetensors is damaged: .*; fetch it again"):
            load_backbone(str(copy))


def test_a_network_that_changes_before_it_is_loaded_is_refused(tmp_path: Path) -> None:
    small_unets.plain(tmp_path)
    late = late_backbone_here(str(tmp_path))
    (file,) = weight_files(tmp_path)
    save_file({name: tensor + 1 for name, tensor in load_file(file).items()}, file)
    with pytest.raises(BackboneError, match="have changed since the run began"):
        late.encode(torch.zeros(1, 3, 16, 16, dtype=torch.uint8))


def test_every_kind_is_here(tmp_path: Path) -> None:
    found = set()
    for name, build in FOLDERS.items():
        build(tmp_path / name)
        values = json.loads((network_folder(tmp_path / name) / "config.json").read_text())
        found.add(values.get("_class_name") or values["model_type"])
    assert (
        found - {"Transformer2DModel", *small_encoders.STRUCTURED} == NETWORK_KINDS.keys()
    )  # the older name of two kinds
