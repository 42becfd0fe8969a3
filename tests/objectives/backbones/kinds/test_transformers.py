"""Diffusion transformers get what their own pipelines give them: inputs, times, positions and texts."""

import inspect
import json
import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler
from diffusers.models.embeddings import Timesteps
from safetensors.torch import load_file, save_file

from objectives.backbones.catalog import load_backbone
from objectives.backbones.pipeline.processes import FLOW, flow_alphas
from objectives.backbones.reading import Reading
from objectives.backbones.tapped import TappedBackbone
from spaces import BackboneError
from tests.support import small_encoders, small_latents, small_transformers, small_unets

SIDE = 16
"""Side of the images in pixels."""

Inputs = dict[str, Any]


class _Reached(Exception):  # noqa: N818 - a signal, not an error
    pass


@contextmanager
def first_inputs(module: Any) -> Iterator[Inputs]:
    """Keep what a module gets at its first call, and end the call there."""
    seen: Inputs = {}
    forward = module.forward

    def keep(*positional: Any, **named: Any) -> None:
        names = list(inspect.signature(forward).parameters)
        seen.update(dict(zip(names, positional, strict=False)), **named)
        raise _Reached

    module.forward = keep
    try:
        yield seen
    except _Reached:
        pass
    finally:
        module.forward = forward


@pytest.fixture(scope="module")
def backbones(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], TappedBackbone]:
    made: dict[str, TappedBackbone] = {}

    def backbone(kind: str) -> TappedBackbone:
        if kind not in made:
            folder = tmp_path_factory.mktemp("transformer")
            small_transformers.FOLDERS[kind](folder)
            made[kind] = load_backbone(str(folder), Reading(image_side=SIDE))
        return made[kind]

    return backbone


def latents_and_noise(backbone: TappedBackbone, count: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    shape = (count, *backbone.network.input_shape)
    return torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)


def ours(backbone: TappedBackbone, timestep: int) -> Inputs:
    """What the network gets from us."""
    with first_inputs(backbone.network.module) as seen:
        backbone.taps(*latents_and_noise(backbone), timestep, [1])
    return seen


def noised(backbone: TappedBackbone, timestep: int) -> torch.Tensor:
    """The noised latents by diffusers' own scheduler."""
    latents, noise = latents_and_noise(backbone)
    if backbone.architecture.prediction != FLOW:
        noisy: torch.Tensor = DDPMScheduler().add_noise(latents, noise, torch.tensor([timestep]))
        return noisy
    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(sigmas=[(timestep + 1) / 1000])
    noisy = scheduler.scale_noise(latents, scheduler.timesteps, noise)
    return noisy


def text_of(backbone: TappedBackbone) -> dict[str, torch.Tensor]:
    buffers = dict(backbone.network.module.named_buffers(recurse=False))
    return {name.removeprefix("text_"): values for name, values in buffers.items() if name.startswith("text_")}


def pipeline_inputs(kind: str, module: Any, noisy: torch.Tensor, timestep: int, text: dict[str, Any]) -> Inputs:
    """What the network gets from diffusers' pipeline in its first step, which is at the timestep."""
    flow, count, side = FlowMatchEulerDiscreteScheduler(), len(noisy), noisy.shape[-1] * 8
    tokens = text["tokens"].expand(count, -1, -1)
    common = {
        "prompt_embeds": tokens,
        "latents": noisy,
        "height": side,
        "width": side,
        "guidance_scale": 1.0,
        "output_type": "latent",
    }
    sigmas = {"sigmas": [(timestep + 1) / 1000], "num_inference_steps": 1}
    mask = {"prompt_attention_mask": torch.ones(tokens.shape[:2])}
    pooled = {"pooled_prompt_embeds": text["pooled"].expand(count, -1)} if "pooled" in text else {}
    unused = dict.fromkeys(("vae", "text_encoder", "tokenizer"))
    run: Callable[[], Any]
    match kind:
        case "SD3Transformer2DModel":
            more = dict.fromkeys(("text_encoder_2", "tokenizer_2", "text_encoder_3", "tokenizer_3"))
            pipeline = diffusers.StableDiffusion3Pipeline(module, flow, **unused, **more)
            run = partial(pipeline, **common, **pooled, **sigmas)
        case "PixArtTransformer2DModel" | "PixArtTransformer2DModel of large images":
            alpha = module.use_additional_conditions
            module.register_to_config(sample_size=128 if alpha else 32)  # by this the pipelines tell sizes or do not
            pipeline_class = diffusers.PixArtAlphaPipeline if alpha else diffusers.PixArtSigmaPipeline
            pipeline = pipeline_class(transformer=module, scheduler=DDPMScheduler(), **unused)
            run = partial(
                pipeline, negative_prompt=None, timesteps=[timestep], use_resolution_binning=False, **common, **mask
            )
        case "SanaTransformer2DModel":
            pipeline = diffusers.SanaPipeline(transformer=module, scheduler=flow, **unused)
            run = partial(
                pipeline, use_resolution_binning=False, **common | {"height": 256, "width": 256}, **mask, **sigmas
            )
        case "FluxTransformer2DModel":
            more = dict.fromkeys(("text_encoder_2", "tokenizer_2"))
            pipeline = diffusers.FluxPipeline(flow, transformer=module, **unused, **more)
            latents = pipeline._pack_latents(noisy, count, noisy.shape[1], *noisy.shape[2:])
            run = partial(pipeline, **common | {"latents": latents}, **pooled, **sigmas)
        case "Flux2Transformer2DModel":
            pipeline = diffusers.Flux2KleinPipeline(flow, transformer=module, **unused)
            run = partial(pipeline, **common, **sigmas)
        case "Lumina2Transformer2DModel":
            pipeline = diffusers.Lumina2Pipeline(module, flow, **unused)
            run = partial(pipeline, **common, **mask, **sigmas)
        case "PRXTransformer2DModel":
            pipeline = diffusers.PRXPipeline(module, flow, **unused)
            run = partial(pipeline, timesteps=[timestep + 1], use_resolution_binning=False, **common, **mask)
    with first_inputs(module) as seen:
        run()
    return seen


FLOWS = [kind for kind in small_transformers.FOLDERS if not kind.startswith("DiT")]


@pytest.mark.filterwarnings("ignore:.LoraLoaderMixin. is deprecated")  # of diffusers itself
@pytest.mark.parametrize("timestep", [0, 121, 700, 999])
@pytest.mark.parametrize("kind", FLOWS)
def test_a_network_gets_what_its_pipeline_would_give_it(
    backbones: Callable[[str], TappedBackbone], kind: str, timestep: int
) -> None:
    backbone = backbones(kind)
    got, text = ours(backbone, timestep), text_of(backbone)
    module = backbone.network.module
    theirs = pipeline_inputs(kind, module, noised(backbone, timestep), timestep, text)
    compared = 0
    for name, values in {**theirs, **(theirs.get("added_cond_kwargs") or {})}.items():
        if name in ("encoder_attention_mask", "attention_mask") or not isinstance(values, torch.Tensor):
            continue  # no text here has padding to be masked
        found = got["added_cond_kwargs"][name] if name in ("resolution", "aspect_ratio") else got[name]
        same_for_all = name in ("img_ids", "txt_ids") and values.ndim == 3
        expected = values[0] if same_for_all else values
        torch.testing.assert_close(found, expected.expand_as(found).to(found), atol=1e-5, rtol=1e-5)
        compared += 1
    assert compared >= (5 if kind.endswith("large images") else 3)


def test_dits_timesteps_have_the_frequencies_of_training(backbones: Callable[[str], TappedBackbone]) -> None:
    """cos and sin of t × 10000^(-i / 128), as DiT's own code has it. diffusers divides i by 127: 15 % off at t 121."""
    module: Any = backbones("DiTTransformer2DModel").network.module
    layer = module.transformer_blocks[-1]
    times = torch.tensor([0, 50, 121, 999])
    frequencies = torch.exp(-math.log(10000) * torch.arange(128) / 128)
    angles = times[:, None].float() * frequencies
    expected = torch.cat([angles.cos(), angles.sin()], dim=1)
    found = layer.norm1.emb.time_proj(times)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    theirs = Timesteps(256, flip_sin_to_cos=True, downscale_freq_shift=1)(times)
    assert ((found - theirs)[2].norm() / found[2].norm()).item() > 0.1


def test_timestep_t_of_a_flow_means_sigma_of_a_thousandth_more() -> None:
    for timestep, alpha in enumerate(flow_alphas()):
        sigma = (timestep + 1) / 1000
        assert alpha == pytest.approx((1 - sigma) ** 2 / ((1 - sigma) ** 2 + sigma**2))


@pytest.mark.parametrize("kind", ["SD3Transformer2DModel", "SanaTransformer2DModel", "FluxTransformer2DModel"])
def test_a_flow_carries_settings_over_by_its_signal_to_noise_ratio(
    backbones: Callable[[str], TappedBackbone], kind: str
) -> None:
    architecture = backbones(kind).architecture
    for timestep in (0, 17, 250, 720, 998):
        sigma = (timestep + 1) / 1000
        assert architecture.sigma(timestep) == pytest.approx(sigma / (1 - sigma))
        assert architecture.timestep_at(sigma / (1 - sigma)) == timestep


PROMPTS: dict[str, tuple[Callable[[Path], None], Callable[[Any, str], Any]]] = {
    "StableDiffusion3Pipeline": (
        small_transformers.sd3_with_text,
        lambda pipeline, text: pipeline.encode_prompt(text, None, None, do_classifier_free_guidance=False)[::2],
    ),
    "FluxPipeline": (
        small_transformers.flux1_with_text,
        lambda pipeline, text: pipeline.encode_prompt(text, None)[:2],
    ),
    "PixArtSigmaPipeline": (
        small_transformers.pixart_with_text,
        lambda pipeline, text: pipeline.encode_prompt("a", negative_prompt=text)[2:],
    ),
    "SanaPipeline": (
        small_transformers.sana_with_text,
        lambda pipeline, text: pipeline.encode_prompt("a", negative_prompt=text)[2:],
    ),
    "Lumina2Pipeline": (
        small_transformers.lumina2_with_text,
        lambda pipeline, text: pipeline.encode_prompt("a", negative_prompt=text)[2:],
    ),
}
"""Pipeline → what saves a small one with its text encoders, and how it encodes a text, with a mask or a pooled text."""


@pytest.mark.parametrize("name", PROMPTS)
@pytest.mark.parametrize("prompt", ["", "a b a"])
@torch.no_grad()
def test_a_text_is_encoded_as_its_pipeline_does_and_kept(tmp_path: Path, name: str, prompt: str) -> None:
    save, encode = PROMPTS[name]
    save(tmp_path)
    module = load_backbone(str(tmp_path), Reading(image_side=SIDE)).network.module
    pipeline = getattr(diffusers, name).from_pretrained(index(tmp_path, name), transformer=module, vae=None)
    tokens, more = encode(pipeline, prompt)
    backbone = load_backbone(str(tmp_path), Reading(image_side=SIDE, prompt=prompt, cache=tmp_path / "cache"))
    text = text_of(backbone)
    if "pooled" in text:
        torch.testing.assert_close(text["pooled"], more)
        torch.testing.assert_close(text["tokens"], tokens)
    else:
        torch.testing.assert_close(text["tokens"], tokens[:, more[0].bool()])
    (kept,) = (tmp_path / "cache" / "texts").iterdir()
    save_file({key: values + 1 for key, values in load_file(kept).items()}, kept)
    again = text_of(load_backbone(str(tmp_path), Reading(image_side=SIDE, prompt=prompt, cache=tmp_path / "cache")))
    assert torch.equal(again["tokens"], text["tokens"] + 1)  # no text encoder was loaded
    kept.write_bytes(b"damaged")
    again = text_of(load_backbone(str(tmp_path), Reading(image_side=SIDE, prompt=prompt, cache=tmp_path / "cache")))
    assert torch.equal(again["tokens"], text["tokens"])


def index(folder: Path, pipeline: str) -> Path:
    """Write the model_index.json with which diffusers loads a pipeline's folder. Return the folder."""
    parts: dict[str, Any] = {"_class_name": pipeline, "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"]}
    scheduler = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())["_class_name"]
    parts["scheduler"] = ["diffusers", scheduler]
    for part in sorted(folder.iterdir()):
        if part.name.startswith("tokenizer"):
            config = json.loads((part / "tokenizer_config.json").read_text())
            parts[part.name] = ["transformers", config["tokenizer_class"]]
        elif part.name.startswith("text_encoder"):
            config = json.loads((part / "config.json").read_text())
            parts[part.name] = ["transformers", config["architectures"][0]]
    (folder / "model_index.json").write_text(json.dumps(parts))
    return folder


def test_another_text_is_another_digest_and_other_features(tmp_path: Path) -> None:
    small_transformers.pixart_with_text(tmp_path)
    one, other = (load_backbone(str(tmp_path), Reading(prompt=prompt)) for prompt in ("", "a b"))
    assert one.digest != other.digest
    assert one.latents == other.latents
    latents, noise = latents_and_noise(one)
    first, second = (backbone.taps(latents, noise, 50, [1])[1] for backbone in (one, other))
    assert not torch.allclose(first, second, atol=1e-4)


@pytest.mark.parametrize(
    ("save", "missing", "message"),
    [
        (
            small_transformers.sd3_with_text,
            "tokenizer_2",
            "encodes texts by text_encoder, .* has no tokenizer_2/; fetch",
        ),
        (
            small_transformers.flux1_with_text,
            "text_encoder_2",
            "but .* has no text_encoder_2/; fetch the whole pipeline",
        ),
    ],
)
def test_a_pipeline_that_lacks_a_part_of_its_text_is_refused(
    tmp_path: Path, save: Callable[[Path], None], missing: str, message: str
) -> None:
    save(tmp_path)
    shutil.rmtree(tmp_path / missing)
    with pytest.raises(BackboneError, match=message):
        load_backbone(str(tmp_path), Reading(image_side=SIDE))


def test_sd3_without_t5_reads_zeros_in_its_place(tmp_path: Path) -> None:
    small_transformers.sd3_with_text(tmp_path)
    shutil.rmtree(tmp_path / "text_encoder_3")
    shutil.rmtree(tmp_path / "tokenizer_3")
    tokens = text_of(load_backbone(str(tmp_path)))["tokens"]
    assert tokens[:, :77].any()
    assert not tokens[:, 77:].any()


@pytest.mark.parametrize(
    ("save", "message"),
    [
        (small_transformers.dit, "reads no text, so it takes no `prompt`, got 'a bird'"),
        (small_transformers.sd3, "has no text encoder in .*, so it takes no `prompt`"),
        (small_unets.plain, "reads no text, so"),
        (small_encoders.vit, "reads no text, so"),
        (small_latents.size_conditioned, "reads zeros in place of a text, so"),
    ],
)
def test_a_prompt_for_a_network_that_cannot_read_it_is_refused(
    tmp_path: Path, save: Callable[[Path], None], message: str
) -> None:
    save(tmp_path)
    with pytest.raises(BackboneError, match=message):
        load_backbone(str(tmp_path), Reading(prompt="a bird"))


@pytest.mark.parametrize(
    ("kind", "side", "message"),
    [
        ("SD3Transformer2DModel", 18, "must be a multiple of 4 from 4 to 24, got 18; its own side is 16"),
        ("SD3Transformer2DModel", 28, "must be a multiple of 4 from 4 to 24, got 28"),
        ("SanaTransformer2DModel", 15, "must be a multiple of 2 from 2 to 4,096, got 15"),
        ("FluxTransformer2DModel", 8192, "must be a multiple of 4 from 4 to 4,096, got 8,192; its own side is 256"),
        ("Lumina2Transformer2DModel", 68, "must be a multiple of 4 from 4 to 64, got 68"),
    ],
)
def test_a_side_that_a_network_cannot_take_is_refused(tmp_path: Path, kind: str, side: int, message: str) -> None:
    small_transformers.FOLDERS[kind](tmp_path)
    with pytest.raises(BackboneError, match=f"`image_side` of backbone .* {message}"):
        load_backbone(str(tmp_path), Reading(image_side=side))


@pytest.mark.parametrize("kind", small_transformers.FOLDERS)
def test_another_side_is_part_of_the_digest_and_of_the_maps(tmp_path: Path, kind: str) -> None:
    small_transformers.FOLDERS[kind](tmp_path)
    one, other = (load_backbone(str(tmp_path), Reading(image_side=side)) for side in (16, 24))
    assert one.digest != other.digest
    assert one.latents == other.latents  # the cache keeps them by side
    assert [block.side * 3 for block in one.architecture.blocks] == [
        block.side * 2 for block in other.architecture.blocks
    ]
    latents, noise = latents_and_noise(other)
    last = other.architecture.blocks[-1]
    assert other.taps(latents, noise, 50, [last.number])[last.number].shape == (2, last.channels, last.side, last.side)
