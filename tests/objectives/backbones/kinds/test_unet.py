from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import CMStochasticIterativeScheduler, DDPMScheduler, ScoreSdeVeScheduler, UNet2DModel

from objectives.backbones.backbone import Backbone
from objectives.backbones.catalog import BUNDLED, load_backbone
from objectives.backbones.pipeline.schedule import add_noise
from objectives.backbones.reading import Reading
from objectives.backbones.tapped import TappedBackbone
from spaces import BackboneError, UnknownNameError
from tests.support import small_unets


def inputs(backbone: Backbone, count: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    shape = (count, 3, backbone.architecture.image_side, backbone.architecture.image_side)
    return torch.rand(shape, generator=generator) * 2 - 1, torch.randn(shape, generator=generator)


@pytest.fixture(scope="module")
def bundled() -> TappedBackbone:
    backbone = load_backbone("bundled")
    assert isinstance(backbone, TappedBackbone)
    return backbone


@pytest.mark.parametrize("name", ["tiny", "bundled"])
def test_the_last_block_leads_to_the_networks_output(name: str, request: pytest.FixtureRequest) -> None:
    backbone: TappedBackbone = request.getfixturevalue(name)
    images, noise = inputs(backbone)
    last = backbone.architecture.blocks[-1].number
    unet: Any = backbone.network.module
    with torch.no_grad():
        noisy = add_noise(images, noise, backbone.architecture.alphas_cumprod[50])
        expected = unet(noisy.contiguous(memory_format=torch.channels_last), 50).sample
        tapped = backbone.taps(images, noise, 50, [last])[last]
        output = unet.conv_out(unet.conv_act(unet.conv_norm_out(tapped)))
    torch.testing.assert_close(output, expected, atol=1e-6, rtol=0)


def test_a_class_conditional_network_is_told_the_mean_of_all_classes(tmp_path: Path) -> None:
    small_unets.residual_resampling(tmp_path)
    backbone, plain = load_backbone(str(tmp_path)), UNet2DModel.from_pretrained(tmp_path)
    images, noise = inputs(backbone)
    number = backbone.architecture.bottleneck
    mean = plain.class_embedding.weight.mean(dim=0, keepdim=True)
    plain.class_embedding.weight.data[:] = mean
    seen = []
    plain.mid_block.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    with torch.no_grad():
        plain(add_noise(images, noise, backbone.architecture.alphas_cumprod[50]), 50, torch.tensor([0, 3, 4]))
    torch.testing.assert_close(backbone.taps(images, noise, 50, [number])[number], seen[0], atol=1e-5, rtol=1e-5)


def told(backbone: TappedBackbone, images: torch.Tensor, noise: torch.Tensor, timestep: int) -> list[torch.Tensor]:
    """Return the inputs and the times that the network gets."""
    seen: list[torch.Tensor] = []
    handle = backbone.network.module.register_forward_pre_hook(lambda _module, values: seen.extend(values[:2]))
    backbone.taps(images, noise, timestep, [1])
    handle.remove()
    return seen


def test_a_consistency_model_gets_what_its_scheduler_gives_it(tmp_path: Path) -> None:
    """Timestep 999 × k / 39 of ours is step 39 - k of diffusers' ladder of 40 sigmas."""
    small_unets.consistency(tmp_path)
    backbone = load_backbone(str(tmp_path))
    images, noise = inputs(backbone)
    for step in (0, 13, 26, 39):  # those that both ladders have
        scheduler = CMStochasticIterativeScheduler()
        scheduler.set_timesteps(timesteps=[step])
        sigma, time = scheduler.sigmas[0], scheduler.timesteps[0]
        expected = scheduler.scale_model_input(images + sigma * noise, time)
        found, times = told(backbone, images, noise, 999 * (39 - step) // 39)
        torch.testing.assert_close(found, expected.float(), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(times, time.float().expand(3), atol=1e-3, rtol=1e-5)


def test_a_network_of_a_score_sde_gets_what_its_scheduler_gives_it(tmp_path: Path) -> None:
    """Its images are in [0, 1] before the noise (Song et al. 2021), and its time is sigma."""
    small_unets.score(tmp_path)
    backbone = load_backbone(str(tmp_path))
    images, noise = inputs(backbone)
    sigmas = ScoreSdeVeScheduler(sigma_max=380.0).discrete_sigmas
    assert len(sigmas) == len(backbone.architecture.alphas_cumprod)
    for timestep in (0, 500, 1999):
        found, times = told(backbone, images, noise, timestep)
        expected = (images + 1) / 2 + sigmas[timestep] * noise
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(times, sigmas[timestep].expand(3), atol=0, rtol=1e-4)


def test_the_blocks_of_a_score_sde_lead_to_its_output(tmp_path: Path) -> None:
    small_unets.score(tmp_path)
    names = [block.name for block in load_backbone(str(tmp_path)).architecture.blocks]
    down = ["down_blocks.0.resnets.0", "down_blocks.0", "down_blocks.1.attentions.0"]
    up = ["up_blocks.0.resnets.0", "up_blocks.0", "up_blocks.1.resnets.0", "up_blocks.1"]
    assert names == ["conv_in", *down, "mid_block", *up]


def test_the_schedule_and_what_is_predicted_come_from_the_folder(tmp_path: Path) -> None:
    small_unets.plain(tmp_path)
    architecture = load_backbone(str(tmp_path)).architecture
    assert architecture.prediction == "v_prediction"
    expected = DDPMScheduler(beta_schedule="squaredcos_cap_v2").alphas_cumprod.tolist()
    assert architecture.alphas_cumprod == pytest.approx(expected)


def test_the_bundled_network_keeps_its_promises(bundled: TappedBackbone) -> None:
    assert len(bundled.architecture.blocks) >= 20
    assert bundled.architecture.blocks[-1].cumulative_gmacs <= 0.4
    assert (BUNDLED / "unet/diffusion_pytorch_model.safetensors").stat().st_size <= 10_000_000


def test_the_bundled_network_denoises(bundled: TappedBackbone) -> None:
    """Epsilon error against the trivial predictor of the noise, which is nothing (error 1), on real photographs."""
    from sklearn.datasets import load_sample_images

    tiles = [torch.from_numpy(image.copy()).permute(2, 0, 1).float() for image in load_sample_images().images]
    photos = torch.nn.functional.interpolate(torch.stack(tiles), size=(128, 192), mode="area")
    patches = photos.unfold(2, 32, 32).unfold(3, 32, 32).permute(0, 2, 3, 1, 4, 5).reshape(-1, 3, 32, 32) / 127.5 - 1
    noise = torch.randn(patches.shape, generator=torch.Generator().manual_seed(0))
    for timestep, bound in ((50, 0.5), (200, 0.3), (600, 0.1)):
        noisy = add_noise(patches, noise, bundled.architecture.alphas_cumprod[timestep])
        with torch.no_grad():
            predicted = bundled.network.module(noisy, timestep).sample
        assert (predicted - noise).square().mean().item() < bound


def test_what_cannot_be_loaded_is_refused_in_words(tmp_path: Path, tiny_folder: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown backbone 'bundeld'; did you mean 'bundled'"):
        load_backbone("bundeld")
    with pytest.raises(UnknownNameError, match="unknown precision 'int8'"):
        load_backbone("bundled", Reading(precision="int8"))
    with pytest.raises(BackboneError, match=r"holds no network: it needs a config\.json"):
        load_backbone(str(tmp_path))
    (tmp_path / "unet").mkdir()
    for file in (tiny_folder / "unet").iterdir():
        content = file.read_bytes()
        (tmp_path / "unet" / file.name).write_bytes(content[:-100] if file.suffix == ".safetensors" else content)
    with pytest.raises(BackboneError, match=r"diffusion_pytorch_model\.safetensors is damaged: .*; fetch it again"):
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
