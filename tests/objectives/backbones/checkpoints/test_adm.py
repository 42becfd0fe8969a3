"""The converter against numbers made with guided-diffusion itself, and against its forward pass in `small_adm`.

`adm/` holds, of a small network and of the true 256x256 one, settings, digests and maps. They come from
github.com/openai/guided-diffusion at 22e0df8, run in float32; of each map every 61st value and the channel means.
"""

import hashlib
import json
import math
import multiprocessing
import os
import pickle
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from diffusers import DDPMScheduler, UNet2DModel
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from objectives.backbones.catalog import architecture_named, load_backbone
from objectives.backbones.checkpoints import adm
from objectives.backbones.checkpoints.adm import (
    convert,
    convert_state_dict,
    unet_config,
)
from objectives.backbones.checkpoints.adm_settings import AdmSettings, AttentionOrder
from objectives.backbones.checkpoints.published import PUBLISHED
from objectives.backbones.folders.weights import read_checkpoint
from spaces import BackboneError, UnknownNameError
from tests.support import small_adm
from tests.support.small_adm import checkpoint_layout

FIXTURES = Path(__file__).parent / "adm"
SMALL: dict[str, Any] = json.loads((FIXTURES / "small.json").read_text())
ADM_256: dict[str, Any] = json.loads((FIXTURES / "adm256.json").read_text())
SETTINGS = AdmSettings.of(SMALL["settings"])
ORDERS: tuple[AttentionOrder, ...] = get_args(AttentionOrder)
TIMESTEPS = torch.tensor([90, 749])
BLOCKS = [
    *(f"input_blocks.{number}" for number in range(12)),
    "middle_block",
    *(f"output_blocks.{number}" for number in range(12)),
]

State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def weights() -> State:
    return small_adm.random_state(SETTINGS)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


def loaded(state: Mapping[str, torch.Tensor], settings: AdmSettings, order: AttentionOrder) -> UNet2DModel:
    unet = UNet2DModel(**unet_config(settings)).eval()
    unet.load_state_dict(convert_state_dict(state, settings, order))
    return unet


def sha256(tensor: torch.Tensor) -> str:
    return hashlib.sha256(tensor.numpy().tobytes()).hexdigest()


def test_arguments_of_the_unet_are_the_references() -> None:
    assert unet_config(SETTINGS) == SMALL["unet2d_config"]
    assert unet_config(AdmSettings.of(ADM_256["settings"])) == ADM_256["unet2d_config"]


@pytest.mark.parametrize("order", ORDERS)
def test_all_tensors_are_the_references_bit_for_bit(weights: State, order: AttentionOrder) -> None:
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(weights[name].numpy().tobytes())
    if digest.hexdigest() != SMALL["weights_sha256"]:
        pytest.skip("torch draws normal numbers with other roundings on this processor than on the reference's")
    converted = convert_state_dict(weights, SETTINGS, order)
    assert {name: list(tensor.shape) for name, tensor in converted.items()} == SMALL["shapes"]
    expected = SMALL["sha256_in_both_orders"] | SMALL[f"sha256_{order}"]
    assert {name: sha256(tensor) for name, tensor in converted.items()} == expected
    assert len(expected) == 426


@pytest.mark.parametrize("order", ORDERS)
def test_every_block_gives_the_references_map(
    weights: State, images: torch.Tensor, order: AttentionOrder, tmp_path: Path
) -> None:
    save_file(weights, tmp_path / "adm.safetensors")
    convert(tmp_path / "adm.safetensors", SETTINGS, order, tmp_path / "out")
    unet = UNet2DModel.from_pretrained(tmp_path / "out", low_cpu_mem_usage=False).eval()
    maps: State = {}
    for name, block in zip(BLOCKS, architecture_named(str(tmp_path / "out")).blocks, strict=True):
        unet.get_submodule(block.name).register_forward_hook(lambda *args, name=name: maps.update({name: args[-1]}))
    with torch.no_grad():
        output = unet(images, TIMESTEPS).sample
    reference = load_file(FIXTURES / "features.safetensors")
    got = {name: torch.cat([maps[name].flatten()[::61], maps[name].mean((2, 3)).flatten()]) for name in BLOCKS}
    got["output"] = output.flatten()
    torch.testing.assert_close(got, {name: reference[f"{order}.{name}"] for name in got}, atol=1e-4, rtol=0)
    assert len(reference) == 2 * (len(BLOCKS) + 1)


@pytest.mark.parametrize("order", ORDERS)
def test_the_forward_pass_of_small_adm_is_the_references(
    weights: State, images: torch.Tensor, order: AttentionOrder
) -> None:
    output = small_adm.forward(weights, SETTINGS, order, images, TIMESTEPS, None)
    expected = load_file(FIXTURES / "features.safetensors")[f"{order}.output"]
    torch.testing.assert_close(output.flatten(), expected, atol=1e-4, rtol=0)


def test_the_other_order_gives_another_network(weights: State, images: torch.Tensor) -> None:
    with torch.no_grad():
        legacy, new = (loaded(weights, SETTINGS, order)(images, TIMESTEPS).sample for order in ORDERS)
    assert (legacy - new).abs().max() > 1


TWO_LEVELS = replace(SETTINGS, image_size=16, channel_mult=(1, 2), attention_resolutions=(8,), num_res_blocks=1)
VARIANTS = {
    "convolutions resample": replace(SETTINGS, resblock_updown=False),
    "convolutions resample, attention everywhere": replace(
        TWO_LEVELS, resblock_updown=False, attention_resolutions=(16, 8)
    ),
    "no scale and shift": replace(TWO_LEVELS, use_scale_shift_norm=False),
    "classes": replace(TWO_LEVELS, class_cond=True),
    "fixed variance": replace(TWO_LEVELS, learn_sigma=False),
    "one head": replace(SETTINGS, num_head_channels=-1, num_heads=1),
    "four heads": replace(TWO_LEVELS, num_head_channels=-1, num_heads=4),
    "no attention but in the middle": replace(TWO_LEVELS, attention_resolutions=()),
    "one level": replace(TWO_LEVELS, channel_mult=(1,), attention_resolutions=(16,)),
    "uneven widths, three layers": replace(TWO_LEVELS, channel_mult=(1, 3), num_res_blocks=3),
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("order", ORDERS)
def test_other_settings_compute_what_guided_diffusion_does(variant: str, order: AttentionOrder) -> None:
    settings = VARIANTS[variant]
    state = small_adm.random_state(settings)
    side = settings.image_size
    images = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1
    labels = torch.tensor([7, 999]) if settings.class_cond else None
    with torch.no_grad():
        output = loaded(state, settings, order)(images, TIMESTEPS, class_labels=labels).sample
    torch.testing.assert_close(
        output, small_adm.forward(state, settings, order, images, TIMESTEPS, labels), atol=1e-4, rtol=0
    )


def test_the_256_checkpoint_converts_by_its_layout_alone() -> None:
    settings = AdmSettings.of(ADM_256["settings"])
    layout = {name: tuple(shape) for name, shape in ADM_256["layout"].items()}
    assert checkpoint_layout(settings) == layout
    assert len(layout) == 566
    state = {name: torch.empty(shape, device="meta") for name, shape in layout.items()}
    converted = convert_state_dict(state, settings, "legacy")
    with torch.device("meta"):
        unet = UNet2DModel(**unet_config(settings))
    assert {n: t.shape for n, t in converted.items()} == {n: t.shape for n, t in unet.state_dict().items()}
    assert sum(tensor.numel() for tensor in converted.values()) == ADM_256["parameters"]


def test_the_256_networks_block_table_is_the_references(tmp_path: Path) -> None:
    config = {"_class_name": "UNet2DModel", **unet_config(AdmSettings.of(ADM_256["settings"]))}
    (tmp_path / "config.json").write_text(json.dumps(config))
    table = architecture_named(str(tmp_path)).blocks
    assert len(table) == 37
    for block, (number, _, name, channels, side, gmacs, cumulative) in zip(table, ADM_256["blocks"], strict=True):
        assert (block.number, block.name, block.channels, block.side) == (number, name, channels, side)
        # rounded to 0.001 and 0.01 in the reference, where the first block is without the timestep's embedding, 0.0013
        assert block.gmacs == pytest.approx(gmacs, abs=2e-3)
        assert block.cumulative_gmacs == pytest.approx(cumulative, abs=7e-3)


@given(st.sampled_from(ORDERS), st.integers(1, 6), st.integers(1, 5), st.sampled_from([(), (1,), (7, 1)]))
def test_q_k_and_v_put_back_in_order_are_the_joint_rows(
    order: AttentionOrder, heads: int, width: int, rest: tuple[int, ...]
) -> None:
    joint = torch.arange(3 * heads * width * math.prod(rest)).reshape(3 * heads * width, *rest)
    parts = [adm._rows_of_part(joint, part, heads, order).reshape(heads, width, *rest) for part in range(3)]
    back = torch.stack(parts, dim=1 if order == "legacy" else 0).reshape(joint.shape)
    assert torch.equal(back, joint)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_is_stored_as_the_same_values_in_float32(weights: State, kind: torch.dtype) -> None:
    halved = {name: tensor.to(kind) for name, tensor in weights.items()}
    converted = convert_state_dict(halved, SETTINGS, "legacy")
    expected = convert_state_dict({name: tensor.float() for name, tensor in halved.items()}, SETTINGS, "legacy")
    assert all(tensor.dtype == torch.float32 and torch.equal(tensor, expected[n]) for n, tensor in converted.items())


@pytest.mark.parametrize("kind", ["pt", "old pt", "safetensors", "pt of views into one tensor"])
def test_every_kind_of_file_is_read(weights: State, tmp_path: Path, kind: str) -> None:
    file = tmp_path / ("adm.safetensors" if kind == "safetensors" else "adm.pt")
    if kind == "safetensors":
        save_file(weights, file)
    elif kind == "pt of views into one tensor":  # what guided-diffusion saves of a network trained in half precision
        flat = torch.cat([tensor.flatten() for tensor in weights.values()])
        pieces = torch.split(flat, [tensor.numel() for tensor in weights.values()])
        views = {name: piece.view_as(weights[name]) for name, piece in zip(weights, pieces, strict=True)}
        torch.save(views, file)
    else:
        torch.save(weights, file, _use_new_zipfile_serialization=kind == "pt")
    state = read_checkpoint(file)
    assert state.keys() == weights.keys()
    assert all(torch.equal(state[name], weights[name]) for name in weights)
    convert(file, SETTINGS, "legacy", tmp_path / "out")
    expected = convert_state_dict(weights, SETTINGS, "legacy")
    stored = load_file(tmp_path / "out/diffusion_pytorch_model.safetensors")
    assert stored.keys() == expected.keys()
    assert all(torch.equal(stored[name], expected[name]) for name in expected)


def test_a_converted_folder_is_a_backbone(weights: State, tmp_path: Path) -> None:
    torch.save(weights, tmp_path / "adm.pt")
    out = tmp_path / "deep/er/adm"
    convert(tmp_path / "adm.pt", replace(SETTINGS, noise_schedule="cosine"), "legacy", out)
    assert {path.name for path in out.parent.iterdir()} == {"adm"}
    backbone = load_backbone(str(out))
    assert len(backbone.architecture.blocks) == 25
    angles = (torch.tensor([0, 1], dtype=torch.float64) / 1000 + 0.008) / 1.008 * math.pi / 2
    first, second = (angles.cos() ** 2).tolist()
    assert backbone.architecture.alphas_cumprod[0] == pytest.approx(second / first, abs=1e-6)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ("linear", 1000, 1e-4, 0.02, "learned_range", "epsilon")),
        ({"diffusion_steps": 4000}, ("linear", 4000, 2.5e-5, 0.005, "learned_range", "epsilon")),
        ({"noise_schedule": "cosine"}, ("squaredcos_cap_v2", 1000, 1e-4, 0.02, "learned_range", "epsilon")),
        ({"learn_sigma": False}, ("linear", 1000, 1e-4, 0.02, "fixed_large", "epsilon")),
        ({"predict_xstart": True}, ("linear", 1000, 1e-4, 0.02, "learned_range", "sample")),
    ],
)
def test_the_noise_schedule_follows_the_settings(change: dict[str, Any], expected: Any, tmp_path: Path) -> None:
    settings = replace(TWO_LEVELS, **change)
    save_file(small_adm.random_state(settings), tmp_path / "adm.safetensors")
    convert(tmp_path / "adm.safetensors", settings, "new", tmp_path / "out")
    config = DDPMScheduler.from_pretrained(tmp_path / "out").config
    names = ("beta_schedule", "num_train_timesteps", "beta_start", "beta_end", "variance_type", "prediction_type")
    assert tuple(config[name] for name in names) == expected


@pytest.mark.parametrize(("stated", "order"), [(True, "legacy"), (False, "new")])
def test_settings_that_contradict_the_attention_order_are_refused(
    weights: State, stated: bool, order: AttentionOrder
) -> None:
    with pytest.raises(BackboneError, match=f"say use_new_attention_order {stated}, which is not .* '{order}'"):
        convert_state_dict(weights, replace(SETTINGS, use_new_attention_order=stated), order)


def test_an_unknown_attention_order_is_refused(weights: State) -> None:
    with pytest.raises(UnknownNameError, match="unknown attention order 'old'; known: legacy, new"):
        convert_state_dict(weights, SETTINGS, "old")  # type: ignore[arg-type]


def without(state: State, *names: str) -> State:
    return {name: tensor for name, tensor in state.items() if name not in names}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: without(state, "out.2.bias"), r": 1 missing \(out\.2\.bias\)$"),
        (lambda state: {}, r"382 missing \(time_embed\.0\.weight, time_embed\.0\.bias, time_embed\.2\.weight, …\)"),
        (
            lambda state: state | {"label_emb.weight": torch.zeros(1000, 128)},
            r"1 not the network's \(label_emb\.weight\)$",
        ),
        (
            lambda state: without(state, "out.0.bias") | {"out.2.bias": torch.zeros(3)},
            r"1 missing \(out\.0\.bias\); 1 of another shape \(out\.2\.bias: \(3,\), not \(6,\)\)$",
        ),
        (
            lambda state: state | {"out.2.bias": torch.zeros(6, dtype=torch.int64)},
            r"1 not of float32, float16 or bfloat16",
        ),
    ],
)
def test_checkpoints_of_other_networks_are_refused_by_naming_tensors(weights: State, change: Any, words: str) -> None:
    with pytest.raises(BackboneError, match=words):
        convert_state_dict(change(dict(weights)), SETTINGS, "legacy")


class Malicious:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("exit 1",)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.pt", None, "cannot be read: No such file"),
        ("a.safetensors", None, "cannot be read: No such file"),
        ("a.pt", b"", "is empty; fetch it again"),
        ("a.pt", b"<!DOCTYPE html><title>Sign in</title>", "is damaged, or no checkpoint of tensors alone"),
        ("a.pt", pickle.dumps(Malicious(), protocol=2), "its code is not run"),
        ("a.safetensors", b"no tensors at all", "cannot be read as a checkpoint"),
    ],
)
def test_foreign_files_are_refused_in_words(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BackboneError, match=words) as caught:
        convert(tmp_path / name, SETTINGS, "legacy", tmp_path / "out")
    assert "weights_only" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_with_nan_is_refused_by_naming_the_tensor(tmp_path: Path) -> None:
    state = small_adm.random_state(SETTINGS)
    state["out.2.bias"][0] = float("nan")
    save_file(state, tmp_path / "adm.safetensors")
    with pytest.raises(BackboneError, match=r"do not fit the ADM settings: 1 not finite \(out\.2\.bias\)"):
        convert(tmp_path / "adm.safetensors", SETTINGS, "legacy", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_truncated_files_are_refused_in_words(weights: State, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"adm.{suffix}"
    torch.save(weights, file) if suffix == "pt" else save_file(weights, file)
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(BackboneError, match="cannot be read as a checkpoint"):
        read_checkpoint(file)


def test_a_training_checkpoint_is_no_state_dict(weights: State, tmp_path: Path) -> None:
    torch.save({"model": weights, "step": 3}, tmp_path / "adm.pt")
    with pytest.raises(BackboneError, match="is no state dict"):
        read_checkpoint(tmp_path / "adm.pt")


def test_an_existing_folder_is_not_written_over(weights: State, tmp_path: Path) -> None:
    save_file(weights, tmp_path / "adm.safetensors")
    (tmp_path / "empty").mkdir()
    convert(tmp_path / "adm.safetensors", SETTINGS, "legacy", tmp_path / "empty")
    assert UNet2DModel.from_pretrained(tmp_path / "empty", low_cpu_mem_usage=False).config["sample_size"] == 32
    for taken in ("empty", "adm.safetensors"):
        with pytest.raises(BackboneError, match="exists already: name a new folder"):
            convert(tmp_path / "adm.safetensors", SETTINGS, "legacy", tmp_path / taken)


def test_what_cannot_be_written_leaves_nothing(weights: State, tmp_path: Path) -> None:
    save_file(weights, tmp_path / "adm.safetensors")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BackboneError, match="cannot write the converted network to"):
        convert(tmp_path / "adm.safetensors", SETTINGS, "legacy", tmp_path / "file/out")
    wrong = weights | {"out.2.bias": torch.zeros(3)}
    save_file(wrong, tmp_path / "wrong.safetensors")
    with pytest.raises(BackboneError, match="1 of another shape"):
        convert(tmp_path / "wrong.safetensors", SETTINGS, "legacy", tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"adm.safetensors", "wrong.safetensors", "file"}


def _convert_and_die(folder: Path) -> None:
    def killed(settings: AdmSettings) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)

    torch.set_num_threads(1)
    adm.noise_scheduler = killed  # all but the last file is written by then
    convert(folder / "adm.safetensors", SETTINGS, "legacy", folder / "out")


def test_a_killed_conversion_leaves_no_folder_and_can_be_repeated(weights: State, tmp_path: Path) -> None:
    save_file(weights, tmp_path / "adm.safetensors")
    process = multiprocessing.get_context("fork").Process(target=_convert_and_die, args=(tmp_path,))
    process.start()
    process.join(timeout=120)
    assert process.exitcode == -signal.SIGKILL
    assert len(list(tmp_path.glob("out.*.part/diffusion_pytorch_model.safetensors"))) == 1
    assert not (tmp_path / "out").exists()
    convert(tmp_path / "adm.safetensors", SETTINGS, "legacy", tmp_path / "out")
    assert (tmp_path / "out/scheduler_config.json").is_file()


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_networks_can_be_represented(name: str) -> None:
    checkpoint = PUBLISHED[name]
    layout = checkpoint_layout(checkpoint.settings)
    state = {tensor: torch.empty(shape, device="meta") for tensor, shape in layout.items()}
    convert_state_dict(state, checkpoint.settings, checkpoint.order)
    if checkpoint.content is not None:  # some 200 bytes of a PyTorch file go to each tensor's name and place
        overhead = checkpoint.content.size - 4 * sum(math.prod(shape) for shape in layout.values())
        assert 0 < overhead < 300 * len(layout)
