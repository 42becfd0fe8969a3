"""Tests of networks over latents, besides those of every backbone."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DiTTransformer2DModel,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
    VQModel,
)
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel, CLIPTokenizer

from objectives.backbones.catalog import load_backbone
from objectives.backbones.kinds.conditional_unet import ConditionalUNetNetwork
from objectives.backbones.kinds.transformers.dit import DIT
from objectives.backbones.kinds.transformers.network import TransformerNetwork
from objectives.backbones.pipeline.schedule import add_noise
from objectives.backbones.reading import Reading
from objectives.backbones.tapped import TappedBackbone, architecture_of, digest_of, tapped, times_of
from spaces import Architecture, BackboneError
from tests.support import small_latents, small_transformers

Read = Callable[[str, Path, Reading], ConditionalUNetNetwork | TransformerNetwork]
read_unet: Read = ConditionalUNetNetwork.read
read_dit: Read = partial(TransformerNetwork.read, DIT)
TIMESTEP = 50


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[Callable[[Path], None], Path]:
    made = {}
    for build in (*small_latents.FOLDERS.values(), small_transformers.dit):
        made[build] = tmp_path_factory.mktemp("latents")
        build(made[build])
    return made


@pytest.fixture
def text_folder(folders: dict[Callable[[Path], None], Path], tmp_path: Path) -> Path:
    """One to be changed."""
    return Path(shutil.copytree(folders[small_latents.text_conditioned], tmp_path / "text"))


@pytest.fixture
def sizes_folder(folders: dict[Callable[[Path], None], Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(folders[small_latents.size_conditioned], tmp_path / "sizes"))


@pytest.fixture
def dit_folder(folders: dict[Callable[[Path], None], Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(folders[small_transformers.dit], tmp_path / "dit"))


def loaded(read: Read, folder: Path, precision: str = "float32") -> TappedBackbone:
    hollow = read("small", folder, Reading(hollow=True))
    return tapped(read("small", folder, Reading()), architecture_of(hollow), "cpu", precision)


def change(config: Path, **entries: Any) -> None:
    config.write_text(json.dumps(json.loads(config.read_text()) | entries))


def inputs_for(backbone: TappedBackbone, count: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    shape = (count, *backbone.network.input_shape)
    return torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)


def last_tap(backbone: TappedBackbone) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the noised latents, and the maps of the last block."""
    latents, noise = inputs_for(backbone)
    last = backbone.architecture.blocks[-1].number
    noisy = add_noise(latents, noise, backbone.architecture.alphas_cumprod[TIMESTEP])
    return noisy, backbone.taps(latents, noise, TIMESTEP, [last])[last]


def photographs(count: int = 2) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, 16, 16), generator=torch.Generator().manual_seed(6), dtype=torch.uint8)


def to_the_end(unet: UNet2DConditionModel, maps: torch.Tensor) -> torch.Tensor:
    output: torch.Tensor = unet.conv_out(unet.conv_act(unet.conv_norm_out(maps)))
    return output


def close(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_last_block_leads_to_the_output_that_diffusers_gives_for_an_empty_prompt(text_folder: Path) -> None:
    noisy, maps = last_tap(loaded(read_unet, text_folder))
    unet = UNet2DConditionModel.from_pretrained(text_folder / "unet")
    pipeline = StableDiffusionPipeline(
        vae=None,
        text_encoder=CLIPTextModel.from_pretrained(text_folder / "text_encoder"),
        tokenizer=CLIPTokenizer.from_pretrained(text_folder / "tokenizer"),
        unet=unet,
        scheduler=None,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    text, _ = pipeline.encode_prompt("", "cpu", num_images_per_prompt=2, do_classifier_free_guidance=False)
    close(to_the_end(unet, maps), unet(noisy, TIMESTEP, encoder_hidden_states=text).sample)


@torch.no_grad()
def test_the_last_block_leads_to_the_output_that_diffusers_gives_for_sizes_and_zeros(sizes_folder: Path) -> None:
    noisy, maps = last_tap(loaded(read_unet, sizes_folder))
    unet = UNet2DConditionModel.from_pretrained(sizes_folder / "unet")
    pipeline = StableDiffusionXLPipeline(None, None, None, None, None, unet, None)
    sizes = pipeline._get_add_time_ids((16, 16), (0, 0), (16, 16), torch.float32, text_encoder_projection_dim=10)
    expected = unet(
        noisy,
        TIMESTEP,
        encoder_hidden_states=torch.zeros(2, 3, 16),
        added_cond_kwargs={"text_embeds": torch.zeros(2, 10), "time_ids": sizes.repeat(2, 1)},
    ).sample
    close(to_the_end(unet, maps), expected)


@torch.no_grad()
def test_the_last_layer_leads_to_the_output_for_no_class(dit_folder: Path) -> None:
    """This shows that tokens are folded to the map in the order in which the network unfolds them."""
    noisy, maps = last_tap(loaded(read_dit, dit_folder))
    dit = DiTTransformer2DModel.from_pretrained(dit_folder / "transformer")
    for layer in dit.transformer_blocks:
        layer.norm1.emb.time_proj.downscale_freq_shift = 0
    time, no_class = torch.tensor([TIMESTEP] * 2), torch.tensor([5, 5])
    condition = torch.nn.functional.silu(dit.transformer_blocks[0].norm1.emb(time, no_class, hidden_dtype=torch.float))
    shift, scale = dit.proj_out_1(condition)[:, None, None].chunk(2, dim=-1)
    patches = dit.proj_out_2(dit.norm_out(maps.permute(0, 2, 3, 1)) * (1 + scale) + shift)
    output = patches.unflatten(-1, (2, 2, 8)).permute(0, 5, 1, 3, 2, 4).reshape(2, 8, 8, 8)
    close(output, dit(noisy, time, no_class).sample)
    assert not torch.allclose(output, dit(noisy, time, torch.tensor([0, 0])).sample, atol=1e-3)


@torch.no_grad()
def test_a_network_of_latent_diffusion_reads_what_its_autoencoder_quantises(tmp_path: Path) -> None:
    """LDMPipeline decodes latents / scaling_factor, and its decoder quantises (Rombach et al. 2022, section 3.1)."""
    small_latents.quantised(tmp_path)
    backbone, pixels = load_backbone(str(tmp_path)), photographs()
    latents = backbone.encode(pixels)
    vqvae = VQModel.from_pretrained(tmp_path / "vqvae")
    close(latents, vqvae.encode(pixels / 127.5 - 1).latents * vqvae.config.scaling_factor)
    assert backbone.architecture.image_side == 16
    assert backbone.latents is not None


@torch.no_grad()
@pytest.mark.parametrize(("scale", "shift"), [(0.18215, None), (0.3611, 0.1159)])
def test_latents_are_the_posteriors_mean_shifted_and_scaled(text_folder: Path, scale: float, shift: float) -> None:
    place = text_folder / "vae"
    change(place / "config.json", scaling_factor=scale, shift_factor=shift)
    backbone, pixels = loaded(read_unet, text_folder), photographs()
    posterior = AutoencoderKL.from_pretrained(place).encode(pixels / 127.5 - 1).latent_dist
    latents = backbone.encode(pixels)
    assert latents.shape == (2, *backbone.network.input_shape)
    close(latents, (posterior.mode() - (shift or 0)) * scale)
    assert torch.equal(latents, backbone.encode(pixels))


def test_the_autoencoder_runs_in_float32_unless_it_says_that_less_will_do(text_folder: Path) -> None:
    full, half = (loaded(read_unet, text_folder, precision) for precision in ("float32", "bfloat16"))
    exact, pixels = full.encode(photographs()), photographs()
    assert torch.equal(half.encode(pixels), exact)
    change(text_folder / "vae/config.json", force_upcast=False)
    half = loaded(read_unet, text_folder, "bfloat16")
    rounded = half.encode(pixels)
    assert rounded.dtype == torch.float32
    assert 0 < (rounded - exact).abs().max() < 0.05
    assert torch.equal(loaded(read_unet, text_folder).encode(pixels), exact)


@pytest.mark.parametrize("read", [read_unet, read_dit])
def test_autoencoder_and_text_follow_the_module_to_its_device(read: Read, text_folder: Path, dit_folder: Path) -> None:
    folder = text_folder if read is read_unet else dit_folder
    change(folder / "vae/config.json", force_upcast=False)  # there is no autocast to be left on the meta device
    network = read("small", folder, Reading())
    network.module.to("meta")
    latents = network.encode(photographs())
    assert latents.is_meta
    assert not hasattr(network.vae.model, "decoder")
    output = network.run(latents, times_of(latents, TIMESTEP))
    assert isinstance(output, tuple)
    assert output[0].is_meta


def test_a_text_encoder_is_used_where_there_is_one_and_its_weights_are_in_the_digest(text_folder: Path) -> None:
    network = read_unet("small", text_folder, Reading())
    before, text = digest_of(network, "float32"), network.module.get_buffer("text_tokens")
    assert text.shape == (1, small_latents.CONTEXT, 8)
    weights = text_folder / "text_encoder/model.safetensors"
    save_file({name: values + 0.1 for name, values in load_file(weights).items()}, weights, {"format": "pt"})
    network = read_unet("small", text_folder, Reading())
    assert digest_of(network, "float32") != before
    assert not torch.allclose(network.module.get_buffer("text_tokens"), text)


def test_a_state_dict_of_the_unet_such_as_cleandifts_takes_the_place_of_the_weights(
    text_folder: Path, tmp_path: Path
) -> None:
    """CleanDIFT's README loads its safetensors files by `UNet2DConditionModel.load_state_dict`, strictly."""
    folder = Path(shutil.copytree(text_folder, tmp_path / "net"))
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    trained = {name: tensor * 1.5 for name, tensor in load_file(weights).items()}
    save_file(trained, weights)  # without the metadata that diffusers writes
    network = load_backbone(str(folder))
    assert isinstance(network, TappedBackbone)
    assert network.network.module.load_state_dict(trained, strict=True)
    pixels = torch.full((2, 3, 16, 16), 40, dtype=torch.uint8)
    clean, usual = (
        each.taps(each.encode(pixels), None, 261, [5])[5] for each in (network, load_backbone(str(text_folder)))
    )
    assert torch.isfinite(clean).all()
    assert not torch.equal(clean, usual)


def test_without_a_text_encoder_the_text_is_zeros(text_folder: Path) -> None:
    with_text, noise = loaded(read_unet, text_folder), torch.zeros(2, 4, 8, 8)
    latents, _ = inputs_for(with_text)
    shutil.rmtree(text_folder / "text_encoder")
    without = loaded(read_unet, text_folder)
    assert not without.network.module.get_buffer("text_tokens").any()
    assert without.digest != with_text.digest
    assert without.latents == with_text.latents
    first, second = (backbone.taps(latents, noise, TIMESTEP, [1, 2]) for backbone in (with_text, without))
    assert torch.equal(first[1], second[1])  # conv_in reads no text
    assert not torch.equal(first[2], second[2])


def test_another_autoencoder_is_another_digest_of_latents_and_of_features(dit_folder: Path) -> None:
    before = loaded(read_dit, dit_folder)
    change(dit_folder / "vae/config.json", scaling_factor=1.5)
    after = loaded(read_dit, dit_folder)
    assert before.latents != after.latents
    assert before.digest != after.digest


def published(folder: Path, part: str, **config: Any) -> None:
    """A pipeline's configurations without any weights: Stable Diffusion's autoencoder, and of `part` what is given."""
    vae = {
        "_class_name": "AutoencoderKL",
        "block_out_channels": [128, 256, 512, 512],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "layers_per_block": 2,
    }
    for name, values in ((part, config), ("vae", vae)):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps(values))


def sides_and_widths(architecture: Architecture) -> list[tuple[int, int]]:
    return [(block.side, block.channels) for block in architecture.blocks]


def test_stable_diffusions_blocks_are_known_from_its_configuration_alone(tmp_path: Path) -> None:
    """12 blocks down, the middle, 12 up; 860 million parameters (Rombach et al. 2022, text to image)."""
    published(tmp_path, "unet", _class_name="UNet2DConditionModel", sample_size=64, cross_attention_dim=768)
    network = read_unet("sd", tmp_path, Reading(hollow=True))
    architecture = architecture_of(network)
    encoder = [(64, 320)] * 3 + [(32, 320)] + [(32, 640)] * 2 + [(16, 640)] + [(16, 1280)] * 2 + [(8, 1280)] * 3
    decoder = [(8, 1280)] * 2 + [(16, 1280)] * 3 + [(32, 1280)] + [(32, 640)] * 2 + [(64, 640)] + [(64, 320)] * 3
    assert sides_and_widths(architecture) == [*encoder, (8, 1280), *decoder]
    assert architecture.bottleneck == 13
    assert architecture.image_side == 512
    assert sum(weights.numel() for weights in network.module.parameters()) == 859_520_964


@pytest.mark.parametrize("name", ["DiTTransformer2DModel", "Transformer2DModel"])
def test_dits_layers_cost_what_its_paper_says(tmp_path: Path, name: str) -> None:
    """DiT-XL/2 at 256 x 256: 118.6 Gflops, counted as multiply-accumulates (Peebles & Xie 2023, section 5)."""
    published(tmp_path, "transformer", _class_name=name, norm_type="ada_norm_zero", out_channels=8)
    architecture = architecture_of(read_dit("dit", tmp_path, Reading(hollow=True)))
    assert sides_and_widths(architecture) == [(16, 1152)] * 28
    assert architecture.image_side == 256
    assert architecture.blocks[-1].cumulative_gmacs == pytest.approx(118.6, rel=1e-3)


def test_a_dit_by_its_former_name_is_the_same(dit_folder: Path) -> None:
    _, expected = last_tap(loaded(read_dit, dit_folder))
    change(
        dit_folder / "transformer/config.json",
        _class_name="Transformer2DModel",
        cross_attention_dim=None,
        num_vector_embeds=None,
        only_cross_attention=False,
        use_linear_projection=False,
    )
    assert torch.equal(last_tap(loaded(read_dit, dit_folder))[1], expected)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"in_channels": 9}, "latents of 4 channels, its autoencoder's, and nothing besides; its input is 9 x 8"),
        ({"sample_size": [8, 16]}, "must take square latents"),
        ({"num_class_embeds": 5}, "is conditioned by classes; only a text and SDXL's sizes are known"),
        ({"class_embed_type": "timestep"}, "is conditioned by classes"),
        ({"encoder_hid_dim": 6}, "is conditioned by projected texts or images"),
        ({"time_cond_proj_dim": 6}, "is conditioned by a guidance scale"),
        ({"dual_cross_attention": True}, "is conditioned by two texts at once"),
        ({"addition_embed_type": "text", "addition_embed_type_num_heads": 2}, "by an embedding of kind text"),
        ({"cross_attention_dim": [8, 8, 16]}, r"reads texts of several widths, \[8, 16\]; only one is known"),
        ({"cross_attention_dim": 12}, "reads texts 12 wide, its text encoder's are 8"),
        ({"block_out_channels": "many"}, "cannot be loaded"),
    ],
)
def test_a_unet_that_needs_more_than_a_text_is_refused(
    text_folder: Path, entries: dict[str, Any], message: str
) -> None:
    change(text_folder / "unet/config.json", **entries)
    with pytest.raises(BackboneError, match=message):
        read_unet("small", text_folder, Reading(hollow=True))


def test_levels_of_an_unknown_kind_are_refused(text_folder: Path) -> None:
    config = text_folder / "unet/config.json"
    change(config, down_block_types=["CrossAttnDownBlock2D", "SimpleCrossAttnDownBlock2D", "DownBlock2D"])
    with pytest.raises(BackboneError, match="has a SimpleCrossAttnDownBlock2D, whose blocks are not known"):
        read_unet("small", text_folder, Reading(hollow=True)).blocks()


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (
            {"_class_name": "AutoencoderTiny"},
            "reads the latents of a AutoencoderTiny; only AutoencoderKL is known for such",
        ),
        ({"latents_mean": [0.0] * 4, "latents_std": [1.0] * 4}, "reads latents normalised by channel"),
        ({"latent_channels": 16}, "must take latents of 16 channels, as its autoencoder makes, got 4; take"),
    ],
)
def test_an_autoencoder_of_another_kind_is_refused(dit_folder: Path, entries: dict[str, Any], message: str) -> None:
    change(dit_folder / "vae/config.json", **entries)
    with pytest.raises(BackboneError, match=message):
        read_dit("small", dit_folder, Reading(hollow=True))


def test_what_is_not_what_it_should_be_is_refused(text_folder: Path, sizes_folder: Path, dit_folder: Path) -> None:
    change(text_folder / "text_encoder/config.json", model_type="t5")
    with pytest.raises(BackboneError, match="a text encoder of kind t5; only clip_text_model is known"):
        read_unet("small", text_folder, Reading(hollow=True))
    change(sizes_folder / "model_index.json", force_zeros_for_empty_prompt=False)
    with pytest.raises(BackboneError, match="was not trained with zeros for an empty text"):
        read_unet("small", sizes_folder, Reading(hollow=True))
    change(dit_folder / "transformer/config.json", _class_name="Transformer2DModel", norm_type="layer_norm")
    with pytest.raises(
        BackboneError, match="whose norms are layer_norm; known: ada_norm_zero, ada_norm_single, of DiT"
    ):
        load_backbone(str(dit_folder))


@pytest.mark.parametrize("hollow", [True, False])
def test_missing_parts_are_refused_in_words(text_folder: Path, hollow: bool) -> None:
    shutil.rmtree(text_folder / "tokenizer")
    with pytest.raises(BackboneError, match=r"has a text encoder, but .*tokenizer has no vocabulary for it"):
        read_unet("small", text_folder, Reading(hollow=hollow))
    shutil.rmtree(text_folder / "vae")
    with pytest.raises(BackboneError, match=r"has no vae/ .* give the folder of a whole diffusers pipeline"):
        read_unet("small", text_folder, Reading(hollow=hollow))


@pytest.mark.parametrize("part", ["vae", "text_encoder", "unet"])
def test_weights_cut_short_are_refused_and_a_hollow_network_reads_none(text_folder: Path, part: str) -> None:
    weights = next((text_folder / part).glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(BackboneError, match=rf"/{part}/.*\.safetensors is damaged: .*; fetch it again"):
        read_unet("small", text_folder, Reading())
    hollow = read_unet("small", text_folder, Reading(hollow=True))
    assert all(weights.is_meta for weights in (*hollow.module.parameters(), *hollow.vae.model.parameters()))
    assert len(architecture_of(hollow).blocks) == 13


def test_a_label_table_without_a_row_for_no_class_is_refused(dit_folder: Path) -> None:
    weights = dit_folder / "transformer/diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    for name in [name for name in tensors if "embedding_table" in name]:
        tensors[name] = tensors[name][:-1].clone()
    save_file(tensors, weights, {"format": "pt"})
    with pytest.raises(
        BackboneError, match=r"3 of another shape \(.*embedding_table.weight: \(5, 16\), not \(6, 16\), "
    ):
        read_dit("small", dit_folder, Reading())
