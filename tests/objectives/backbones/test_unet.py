from pathlib import Path

import pytest
import torch

from objectives.backbones.catalog import BUNDLED, load_backbone
from objectives.backbones.unet import UNetBackbone
from objectives.features.noise import add_noise
from spaces import BackboneError, UnknownNameError


def inputs(backbone: UNetBackbone, count: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    shape = (count, 3, backbone.architecture.image_side, backbone.architecture.image_side)
    return torch.rand(shape, generator=generator) * 2 - 1, torch.randn(shape, generator=generator)


@pytest.fixture(scope="module")
def bundled() -> UNetBackbone:
    backbone = load_backbone("bundled")
    assert isinstance(backbone, UNetBackbone)
    return backbone


@pytest.fixture(params=["tiny", "bundled"])
def backbone(request: pytest.FixtureRequest) -> UNetBackbone:
    loaded: UNetBackbone = request.getfixturevalue(request.param)
    return loaded


def test_the_block_table_is_what_comes_out(backbone: UNetBackbone) -> None:
    images, noise = inputs(backbone)
    table = backbone.architecture.blocks
    taps = backbone.taps(images, noise, 50, [block.number for block in table])
    assert [block.number for block in table] == list(range(1, len(table) + 1))
    for block in table:
        assert taps[block.number].shape == (3, block.channels, block.side, block.side)
    assert [b.cumulative_gmacs for b in table] == sorted(b.cumulative_gmacs for b in table)


def test_the_last_block_leads_to_the_networks_output(backbone: UNetBackbone) -> None:
    images, noise = inputs(backbone)
    last = backbone.architecture.blocks[-1].number
    unet = backbone.unet
    with torch.no_grad():
        noisy = add_noise(images, noise, backbone.architecture.alphas_cumprod[50])
        expected = unet(noisy.contiguous(memory_format=torch.channels_last), 50).sample
        tapped = backbone.taps(images, noise, 50, [last])[last]
        output = unet.conv_out(unet.conv_act(unet.conv_norm_out(tapped)))
    torch.testing.assert_close(output, expected, atol=1e-6, rtol=0)


def test_early_exit_equals_the_full_pass_bit_for_bit_and_leaves_no_hook(backbone: UNetBackbone) -> None:
    images, noise = inputs(backbone)
    numbers = [block.number for block in backbone.architecture.blocks]
    full = backbone.taps(images, noise, 50, numbers)
    for number in numbers:
        alone = backbone.taps(images, noise, 50, [number])
        assert list(alone) == [number]
        assert torch.equal(alone[number], full[number])
    assert not any(module._forward_hooks for module in backbone.unet.modules())


def test_early_exit_runs_nothing_deeper(backbone: UNetBackbone) -> None:
    reached = []
    handle = backbone.unet.conv_out.register_forward_hook(lambda *_: reached.append(True))
    backbone.taps(*inputs(backbone), 50, [len(backbone.architecture.blocks)])
    handle.remove()
    assert not reached


def test_batch_size_and_order_do_not_change_a_feature(backbone: UNetBackbone) -> None:
    images, noise = inputs(backbone, 6)
    block = backbone.architecture.bottleneck
    together = backbone.taps(images, noise, 50, [block])[block]
    alone = torch.cat([backbone.taps(images[i : i + 1], noise[i : i + 1], 50, [block])[block] for i in range(6)])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
    backwards = backbone.taps(images.flip(0), noise.flip(0), 50, [block])[block]
    torch.testing.assert_close(together, backwards.flip(0), atol=1e-4, rtol=1e-4)


def test_precision_is_part_of_the_digest_and_of_the_result(tiny_folder: Path, tiny: UNetBackbone) -> None:
    half = load_backbone(str(tiny_folder), precision="bfloat16")
    assert half.digest != tiny.digest
    assert half.taps(*inputs(tiny), 50, [6])[6].dtype == torch.bfloat16


def test_the_bundled_network_keeps_its_promises(bundled: UNetBackbone) -> None:
    assert len(bundled.architecture.blocks) >= 20
    assert bundled.architecture.blocks[-1].cumulative_gmacs <= 0.4
    assert (BUNDLED / "unet/diffusion_pytorch_model.safetensors").stat().st_size <= 10_000_000


def test_the_bundled_network_denoises(bundled: UNetBackbone) -> None:
    """Epsilon error against the trivial predictor of the noise, which is nothing (error 1), on real photographs."""
    from sklearn.datasets import load_sample_images

    tiles = [torch.from_numpy(image.copy()).permute(2, 0, 1).float() for image in load_sample_images().images]
    photos = torch.nn.functional.interpolate(torch.stack(tiles), size=(128, 192), mode="area")
    patches = photos.unfold(2, 32, 32).unfold(3, 32, 32).permute(0, 2, 3, 1, 4, 5).reshape(-1, 3, 32, 32) / 127.5 - 1
    noise = torch.randn(patches.shape, generator=torch.Generator().manual_seed(0))
    for timestep, bound in ((50, 0.5), (200, 0.3), (600, 0.1)):
        noisy = add_noise(patches, noise, bundled.architecture.alphas_cumprod[timestep])
        with torch.no_grad():
            predicted = bundled.unet(noisy, timestep).sample
        assert (predicted - noise).square().mean().item() < bound


def test_images_of_another_side_are_refused(tiny: UNetBackbone) -> None:
    with pytest.raises(ValueError, match=r"takes images \(n, 3, 16, 16\)"):
        tiny.taps(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8), 0, [1])


def test_what_cannot_be_loaded_is_refused_in_words(tmp_path: Path, tiny_folder: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown backbone 'bundeld'; did you mean 'bundled'"):
        load_backbone("bundeld")
    with pytest.raises(UnknownNameError, match="unknown precision 'int8'"):
        load_backbone("bundled", precision="int8")
    with pytest.raises(BackboneError, match="is not a diffusers U-Net folder"):
        load_backbone(str(tmp_path))
    (tmp_path / "unet").mkdir()
    for file in (tiny_folder / "unet").iterdir():
        content = file.read_bytes()
        (tmp_path / "unet" / file.name).write_bytes(content[:-100] if file.suffix == ".safetensors" else content)
    with pytest.raises(BackboneError, match="cannot be loaded"):
        load_backbone(str(tmp_path))


def test_damaged_bundled_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    from objectives.backbones import catalog

    copy = tmp_path / "bundled"
    shutil.copytree(BUNDLED, copy)
    weights = copy / "unet/diffusion_pytorch_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.chmod(0o644)
    weights.write_bytes(content)
    monkeypatch.setattr(catalog, "BUNDLED", copy)
    with pytest.raises(BackboneError, match=r"is damaged .* install the package again"):
        load_backbone("bundled")
