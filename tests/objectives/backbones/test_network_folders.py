"""Network folders as people have them: what is read, and in which words the rest is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler
from safetensors.torch import load_file, save_file

from objectives.backbones.catalog import architecture_named, describe_backbone, load_backbone
from objectives.backbones.schedule import read_schedule
from spaces import BackboneError, UsageError
from tests.support import small_encoders, small_latents, small_unets

BUILDERS = {
    "unet": small_unets.plain,
    "text": small_latents.text_conditioned,
    "sizes": small_latents.size_conditioned,
    "dit": small_latents.transformer,
    "vit": small_encoders.vit,
    "mae": small_encoders.vit_mae,
    "clip": small_encoders.clip,
    "clip vision": small_encoders.clip_vision_model,
    "dinov3": small_encoders.dinov3,
    "resnet": small_encoders.resnet,
}
UNET_WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
SCHEDULER = "scheduler/scheduler_config.json"
Change = Callable[[Path], object]


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    places = {name: tmp_path_factory.mktemp("network") for name in BUILDERS}
    for name, build in BUILDERS.items():
        build(places[name])
    return places


@pytest.fixture
def changed(networks: dict[str, Path], tmp_path: Path) -> Callable[[str, Change], Path]:
    """`changed(name, change)` returns a copy of a network to which `change` was applied."""

    def copy(name: str, change: Change) -> Path:
        folder = Path(shutil.copytree(networks[name], tmp_path / "network"))
        change(folder)
        return folder

    return copy


def entries(file: str, **values: Any) -> Change:
    """Set entries of a JSON file, which is made if it is not there."""

    def change(folder: Path) -> None:
        path = folder / file
        path.parent.mkdir(exist_ok=True)
        before = json.loads(path.read_bytes()) if path.exists() else {}
        path.write_text(json.dumps(before | values), encoding="utf-8")

    return change


def content(file: str, data: bytes) -> Change:
    def change(folder: Path) -> None:
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_bytes(data)

    return change


def dangling(file: str) -> Change:
    def change(folder: Path) -> None:
        (folder / file).unlink(missing_ok=True)
        (folder / file).symlink_to(folder / "nowhere")

    return change


def renamed(file: str, name: str) -> Change:
    return lambda folder: (folder / file).rename((folder / file).with_name(name))


def removed(file: str) -> Change:
    return lambda folder: (folder / file).unlink()


def indexed_scheduler(name: str, without: tuple[str, ...] = (), **values: Any) -> Change:
    """Name the scheduler's class in the index, and change the scheduler's own file."""

    def change(folder: Path) -> None:
        entries("model_index.json", scheduler=["diffusers", name])(folder)
        entries(SCHEDULER, **values)(folder)
        config = json.loads((folder / SCHEDULER).read_bytes())
        (folder / SCHEDULER).write_text(json.dumps({entry: config[entry] for entry in config if entry not in without}))

    return change


def lacking(part: str, name: str) -> Change:
    """Name a part in the index, and remove it."""

    def change(folder: Path) -> None:
        entries("model_index.json", **{part: ["diffusers", name]})(folder)
        shutil.rmtree(folder / part, ignore_errors=True)

    return change


def stored_as_bin(folder: Path) -> None:
    file = folder / UNET_WEIGHTS
    torch.save(load_file(file), file.with_suffix(".bin"))
    file.unlink()


def prefixed(folder: Path) -> None:
    tensors = load_file(folder / UNET_WEIGHTS)
    save_file({f"module.{name}": tensor for name, tensor in tensors.items()}, folder / UNET_WEIGHTS)


def sharded(file: Path, suffix: str = ".safetensors") -> dict[str, str]:
    """Store a file of weights as two shards with an index, and return the index's map."""
    tensors, stem = load_file(file), file.name.removesuffix(".safetensors")
    names = sorted(tensors)
    listed = {name: f"{stem}-0000{1 + (i % 2)}-of-00002{suffix}" for i, name in enumerate(names)}
    for shard in set(listed.values()):
        part = {name: tensors[name] for name in names if listed[name] == shard}
        if suffix == ".bin":
            torch.save(part, file.with_name(shard))
        else:
            save_file(part, file.with_name(shard), metadata={"format": "pt"})
    index = {"metadata": {"total_size": 1}, "weight_map": listed}
    file.with_name(f"{stem}{suffix}.index.json").write_text(json.dumps(index))
    file.unlink()
    return listed


def mixed_types(folder: Path) -> None:
    tensors = load_file(folder / UNET_WEIGHTS)
    last = sorted(tensors)[-1]
    save_file(tensors | {last: tensors[last].half()}, folder / UNET_WEIGHTS, metadata={"format": "pt"})


def attention_of_former_names(folder: Path) -> None:
    """Name the attention's tensors as the first published DDPMs do."""
    former = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors = load_file(folder / UNET_WEIGHTS)
    for name in list(tensors):
        stem, _, leaf = name.rpartition(".")
        for now, then in former.items():
            if stem.endswith(f".{now}"):
                tensors[f"{stem.removesuffix(now)}{then}.{leaf}"] = tensors.pop(name)
    save_file(tensors, folder / UNET_WEIGHTS, metadata={"format": "pt"})


def with_parts_for_other_programs(folder: Path) -> None:
    """Add what the repository of SDXL has besides the parts of its pipeline."""
    entries("model_index.json", unet=["diffusers", "UNet2DConditionModel"], vae=["diffusers", "AutoencoderKL"])(folder)
    for part in ("vae_1_0", "vae_decoder", "vae_encoder"):
        entries(f"{part}/config.json", _class_name="AutoencoderKL")(folder)


def index_that_lists_less(folder: Path) -> None:
    listed = sharded(folder / UNET_WEIGHTS)
    listed.pop("conv_in.bias")
    index = {"metadata": {}, "weight_map": listed}
    (folder / f"{UNET_WEIGHTS}.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("name", "change", "side"),
    [
        ("unet", entries("unet/config.json", sample_size=[16, 16]), 16),
        ("text", entries("unet/config.json", sample_size=[8, 8]), 16),
        ("dit", entries("transformer/config.json", sample_size=[8, 8]), 16),
        ("vit", entries("config.json", image_size=[32, 32], patch_size=[8, 8]), 32),
        ("mae", entries("config.json", image_size=[32, 32], patch_size=[8, 8]), 32),
        ("clip vision", entries("config.json", image_size=[32, 32], patch_size=[8, 8]), 32),
        ("unet", stored_as_bin, 16),
        ("unet", lambda folder: sharded(folder / UNET_WEIGHTS), 16),
        ("unet", lambda folder: sharded(folder / UNET_WEIGHTS, ".bin"), 16),
        ("vit", lambda folder: sharded(folder / "model.safetensors"), 32),
        ("unet", mixed_types, 16),
        ("unet", entries("model_index.json", unet=["diffusers", "UNet2DModel"], _class_name="DDPMPipeline"), 16),
        ("unet", entries("model_index.json", safety_checker=[None, None], feature_extractor=["transformers", "X"]), 16),
        ("dit", entries("model_index.json", id2label={"0": "tench"}, vae=["diffusers", "AutoencoderKL"]), 16),
        ("unet", entries("model_index.json", unet=["diffusers", "FlaxUNet2DModel"], scheduler=[None, None]), 16),
        ("unet", entries("model_index.json", scheduler=["diffusers", "FlaxDDPMScheduler"]), 16),
        ("unet", entries("model_index.json", _class_name=["my_pipeline", "MyPipeline"]), 16),
        ("unet", entries("checkpoint-500/config.json", _class_name="UNet2DModel"), 16),
        ("text", with_parts_for_other_programs, 16),
        ("unet", small_unets.without_subfolders, 16),
        ("unet", attention_of_former_names, 16),
        ("text", entries("scheduler/scheduler_config.json", clip_sample=True, timestep_spacing="trailing"), 16),
    ],
)
def test_what_has_one_meaning_is_read(
    name: str, change: Change, side: int, networks: dict[str, Path], changed: Callable[[str, Change], Path]
) -> None:
    whole, backbone = load_backbone(str(networks[name])), load_backbone(str(changed(name, change)))
    assert backbone.architecture.image_side == side
    assert backbone.architecture.blocks == whole.architecture.blocks
    pixels = torch.randint(0, 256, (2, 3, side, side), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    noised, last = whole.architecture.noised, whole.architecture.blocks[-1].number
    maps = []
    for network in (whole, backbone):
        inputs = network.encode(pixels)
        noise, timestep = (torch.ones_like(inputs), 5) if noised else (None, None)
        maps.append(network.taps(inputs, noise, timestep, [last])[last])
    torch.testing.assert_close(*maps, atol=1e-2, rtol=1e-2)


WEIGHTS: list[tuple[str, Change, str]] = [
    (
        "unet",
        content(UNET_WEIGHTS, b"version https://git-lfs.github.com/spec/v1\n"),
        "is a pointer of Git LFS .*git lfs pull",
    ),
    ("unet", content(UNET_WEIGHTS, b""), "safetensors is empty; fetch it again"),
    ("unet", content(UNET_WEIGHTS, b"PK\3\4"), "safetensors is damaged: .*; fetch it again"),
    ("unet", dangling(UNET_WEIGHTS), "is a link to a file that does not exist"),
    (
        "unet",
        removed(UNET_WEIGHTS),
        r"unet has no weights: it needs diffusion_pytorch_model\.safetensors, or the shards",
    ),
    ("vit", removed("model.safetensors"), r"has no weights: it needs model\.safetensors, or the shards"),
    (
        "unet",
        renamed(UNET_WEIGHTS, "diffusion_pytorch_model.fp16.safetensors"),
        r"rename it to diffusion_pytorch_model\.saf",
    ),
    ("vit", renamed("model.safetensors", "model.fp16.safetensors"), r"rename it to model\.safetensors"),
    (
        "clip",
        removed("model.safetensors.index.json"),
        r"it has shards such as model-00001-of-.* and no model\.safetensors\.in",
    ),
    (
        "clip",
        removed("model-00001-of-00004.safetensors"),
        r"lists the shard model-00001-of-.*, which is missing; fetch it too",
    ),
    ("clip", content("model.safetensors.index.json", b"[]"), r"must hold a JSON object, \{…\}, got a list"),
    ("clip", content("model.safetensors.index.json", b"{}"), "must have metadata and a weight_map"),
    ("clip", entries("model.safetensors.index.json", weight_map={"a": "../a.safetensors"}), "must be a file beside it"),
    ("clip", entries("model.safetensors.index.json", weight_map={}), "lists no shards"),
    ("unet", index_that_lists_less, "is not the shard that .* lists: it also has conv_in.bias"),
    ("unet", prefixed, "268 missing .*; all names in the file begin with 'module.', so save it without this prefix"),
    (
        "unet",
        entries("unet/config.json", layers_per_block=1),
        r"86 not the network's \(down_blocks\.0\.resnets\.1\.conv1\.bias, ",
    ),
    (
        "vit",
        entries("config.json", num_hidden_layers=1),
        r"16 not the network's \(vit\.layers\.1\.attention\.k_proj\.bias, ",
    ),
    (
        "resnet",
        entries("config.json", depths=[1, 1]),
        r"15 not the network's \(resnet\.encoder\.stages\.1\.layers\.1\.",
    ),
    ("text", entries("text_encoder/config.json", num_hidden_layers=1), r"16 not the network's \(encoder\.layers\.1\."),
]
CONFIGURATIONS: list[tuple[str, Change, str]] = [
    (
        "unet",
        entries("unet/config.json", block_out_channels=8),
        r"`block_out_channels` must be tuple.*, got 8; .*correct",
    ),
    ("unet", entries("unet/config.json", norm_num_groups=None), "`norm_num_groups` must be int, got None; .*; correct"),
    ("unet", entries("unet/config.json", attention_head_dim=0), "division or modulo by zero; correct .*config.json"),
    ("unet", entries("unet/config.json", sample_size=None), "its input is 3 x None; give `sample_size`"),
    ("unet", entries("unet/config.json", layers_per_block=1000), "at most 1,000 layers in all levels .* about 6,003"),
    ("unet", entries("unet/config.json", layers_per_block=-1), "`layers_per_block` in .* must be at least 1, got -1"),
    ("vit", entries("config.json", num_hidden_layers=-1), "`num_hidden_layers` in .* must be at least 1, got -1"),
    ("text", entries("vae/config.json", block_out_channels=8), r"`block_out_channels` must be tuple.*, got 8"),
    ("vit", entries("config.json", hidden_act="zzz"), "it does not know 'zzz'; correct .*config.json"),
    ("vit", entries("config.json", image_size=None), "Validation error for field 'image_size': .*None.*; correct"),
    ("unet", entries(SCHEDULER, beta_start="x"), "must have a number as beta_start, got 'x'"),
    *(
        ("unet", content(file, data), rf"{file}.* {refusal}")
        for file in ("unet/config.json", SCHEDULER, "model_index.json")
        for data, refusal in (
            (b"null", r"must hold a JSON object, \{…\}, got null; fetch it again"),
            (b"[1]", "must hold a JSON object, .* got a list"),
            (b"3", "must hold a JSON object, .* got a number"),
            (b"", "is not JSON: Expecting value: line 1 column 1"),
            (b"{", "is not JSON: .* line 1 column 2"),
            (b"\xef\xbb\xbf{}", "begins with a byte-order mark; save it as UTF-8 without one"),
            (b"{}".decode().encode("utf-16"), "is not UTF-8 at byte 0"),
            (b'{"a": "\xe9"}', "is not UTF-8 at byte 7"),
            (b"\0\0", "is not JSON"),
            (b"[" * 100_000, "is not JSON"),
            (b'{"a": ' + b"9" * 5000 + b"}", "is not JSON: Exceeds the limit"),
        )
    ),
    ("unet", dangling("unet/config.json"), "config.json is a link to a file that does not exist; restore that file"),
    ("unet", dangling("model_index.json"), "is a link to a file that does not exist"),
    ("unet", dangling(SCHEDULER), "is a link to a file that does not exist"),
    ("unet", removed(SCHEDULER), "scheduler has no scheduler_config.json; fetch it too"),
    ("text", dangling("text_encoder/config.json"), "is a link to a file that does not exist"),
    ("text", removed("text_encoder/config.json"), "text_encoder/config.json cannot be read: No such file"),
    ("vit", dangling("preprocessor_config.json"), "is a link to a file that does not exist"),
    ("vit", content("preprocessor_config.json", b"null"), "preprocessor_config.json must hold a JSON object"),
    (
        "vit",
        entries("processor_config.json", image_processor=3),
        "`image_processor` in .* must be a JSON object, got 3",
    ),
    (
        "unet",
        entries("unet/config.json", sample_size=18),
        "halves its images 2 times, .* must be a multiple of 4, got 18",
    ),
    (
        "unet",
        entries("unet/config.json", sample_size=[16, 32]),
        r"must take square RGB images, its input is 3 x \[16, 32\]",
    ),
    ("unet", entries("unet/config.json", sample_size="16"), "must take square RGB images, its input is 3 x 16"),
    (
        "unet",
        entries("unet/config.json", time_embedding_type="fourier"),
        "reads the scale of the noise, not a timestep",
    ),
    (
        "unet",
        entries("unet/config.json", time_embedding_type="learned", num_train_timesteps=10),
        r"knows 10 timesteps .* has 1,000; take both of one pipeline",
    ),
    ("dit", entries("transformer/config.json", sample_size=[8, 4]), "must take square latents"),
    (
        "dit",
        entries("transformer/config.json", sample_size=10**6),
        "images of at most 4,096 pixels a side, got 2,000,000",
    ),
    (
        "unet",
        entries("unet/config.json", layers_per_block=10**6),
        "`layers_per_block` .* at most 1,000 layers, got 1,000,000",
    ),
    (
        "vit",
        entries("config.json", hidden_size=10**30),
        "`hidden_size` .* must be at most 2,147,483,647, got a number of 31",
    ),
    ("unet", entries("unet/config.json", norm_eps=float("nan")), "`norm_eps` in .* must be at most"),
    ("unet", entries("unet/config.json", _class_name=[]), r"is a network of no stated kind; known: UNet2DModel"),
    ("vit", entries("config.json", quantization_config={"load_in_8bit": True}), "is of quantised weights"),
    ("text", entries("vae/config.json", scaling_factor=0), "`scaling_factor` .* must be a number above 0"),
]
NEIGHBOURS: list[tuple[str, Change, str]] = [
    (
        "unet",
        entries("vqvae/config.json", _class_name="VQModel"),
        r"is a UNet2DModel with vqvae \(VQModel\) beside it in .*",
    ),
    ("unet", entries("model_index.json", vqvae=["diffusers", "VQModel"]), r"with vqvae \(VQModel\) beside it"),
    ("unet", entries("model_index.json", image_processor=["diffusers", "VaeImageProcessor"]), "with image_processor"),
    ("unet", entries("vae/config.json", _class_name="AutoencoderKL"), r"with vae \(AutoencoderKL\) beside it"),
    ("text", entries("controlnet/config.json", _class_name="ControlNetModel"), r"with controlnet \(ControlNetModel\)"),
    (
        "unet",
        entries("model_index.json", unet=["diffusers", "UNet1DModel"]),
        "says that unet is a UNet1DModel, but only UN",
    ),
    ("text", entries("model_index.json", vae=["diffusers", "AutoencoderTiny"]), "says that vae is a AutoencoderTiny"),
    *(
        (
            "unet",
            indexed_scheduler(name),
            rf"noise schedule in .*{SCHEDULER}, a {name} in model_index.json, is .*which is not known",
        )
        for name in ("ScoreSdeVeScheduler", "EDMEulerScheduler", "FlowMatchEulerDiscreteScheduler")
    ),
    (
        "unet",
        indexed_scheduler("LCMScheduler", without=("beta_schedule",)),
        f"says that scheduler is a LCMScheduler, but .*{SCHEDULER} is that of a DDPMScheduler, which makes other noise",
    ),
    (
        "text",
        indexed_scheduler("FlowMatchEulerDiscreteScheduler", _class_name="DDIMScheduler"),
        "a FlowMatchEulerDiscreteScheduler in model_index.json, is that of a flow, which is not known",
    ),
    ("unet", indexed_scheduler("FlowMatchEulerDiscreteScheduler", without=("_class_name",)), "is that of a flow"),
    (
        "unet",
        lacking("scheduler", "DDPMScheduler"),
        r"names scheduler \(DDPMScheduler\), but .*/scheduler is not there",
    ),
    (
        "text",
        lacking("scheduler", "PNDMScheduler"),
        r"names scheduler \(PNDMScheduler\), but .*/scheduler is not there",
    ),
    ("dit", lacking("scheduler", "DDIMScheduler"), r"names scheduler \(DDIMScheduler\), but .*/scheduler is not there"),
    ("text", lacking("vae", "AutoencoderKL"), r"names vae \(AutoencoderKL\), but .*/vae is not there; fetch it too"),
    (
        "unet",
        entries("transformer/config.json", _class_name="DiTTransformer2DModel"),
        "holds two networks, unet/ and trans",
    ),
    (
        "vit",
        content("adapter_config.json", b"{}"),
        "has an adapter, .*adapter_config.json, which is not applied; merge it",
    ),
    (
        "text",
        content("unet/pytorch_lora_weights.safetensors", b"x"),
        "has an adapter, .*pytorch_lora_weights.safetensors",
    ),
    ("vit", entries("preprocessor_config.json", do_rescale=False), "changes pixels in an unknown way"),
    ("vit", entries("preprocessor_config.json", rescale_factor=1 / 127.5), "changes pixels in an unknown way"),
    ("vit", entries("preprocessor_config.json", do_flip_channel_order=True), "changes pixels in an unknown way"),
    (
        "vit",
        entries("preprocessor_config.json", image_std=[0, 0, 0]),
        "must have 3 numbers between -100 and 100 as `image_mean`, and 3 above 0",
    ),
    ("vit", entries("preprocessor_config.json", image_mean=[0.5]), "must have 3 numbers between"),
]


@pytest.mark.parametrize(("name", "change", "refusal"), [*WEIGHTS, *CONFIGURATIONS, *NEIGHBOURS])
def test_what_is_damaged_or_unknown_is_refused_in_one_line(
    name: str, change: Change, refusal: str, changed: Callable[[str, Change], Path]
) -> None:
    with pytest.raises(BackboneError, match=refusal) as error:
        load_backbone(str(changed(name, change)))
    assert str(error.value).isprintable()


@pytest.mark.parametrize(("name", "change", "refusal"), [*CONFIGURATIONS[-10:], *NEIGHBOURS])
def test_a_configuration_is_refused_before_weights_are_read(
    name: str, change: Change, refusal: str, changed: Callable[[str, Change], Path], tmp_path: Path
) -> None:
    folder = changed(name, change)
    with pytest.raises(BackboneError, match=refusal):
        architecture_named(str(folder))
    with pytest.raises(BackboneError, match=refusal):
        describe_backbone(str(folder), cache=tmp_path)


@pytest.mark.parametrize(("name", "change", "refusal"), WEIGHTS[:14])
def test_damaged_files_are_refused_before_a_search_begins(
    name: str, change: Change, refusal: str, changed: Callable[[str, Change], Path], tmp_path: Path
) -> None:
    with pytest.raises(BackboneError, match=refusal):
        describe_backbone(str(changed(name, change)), cache=tmp_path)


def bin_shard_that_lacks_a_tensor(folder: Path) -> None:
    listed = sharded(folder / UNET_WEIGHTS, ".bin")
    shard = (folder / UNET_WEIGHTS).with_name(listed["conv_in.bias"])
    tensors = torch.load(shard)
    del tensors["conv_in.bias"]
    torch.save(tensors, shard)


def numbers_in_a_bin_file(folder: Path) -> None:
    stored_as_bin(folder)
    file = (folder / UNET_WEIGHTS).with_suffix(".bin")
    torch.save(torch.load(file) | {"epoch": 3}, file)


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (bin_shard_that_lacks_a_tensor, "is not the shard that .* lists: it lacks conv_in.bias"),
        (numbers_in_a_bin_file, "is no state dict"),
    ],
)
def test_bin_files_are_compared_when_they_are_loaded(
    change: Change, refusal: str, changed: Callable[[str, Change], Path]
) -> None:
    with pytest.raises(BackboneError, match=refusal):
        load_backbone(str(changed("unet", change)))


@pytest.mark.parametrize("change", [dangling("unet/other.json"), lambda folder: (folder / "unet/x.bin").mkdir()])
def test_a_file_that_cannot_be_digested_is_named(
    change: Change, changed: Callable[[str, Change], Path], tmp_path: Path
) -> None:
    with pytest.raises(BackboneError, match=r"is a link to a file that does not exist|cannot be read: Is a directory"):
        describe_backbone(str(changed("unet", change)), cache=tmp_path)


@pytest.mark.parametrize(("name", "part"), [("unet", "unet"), ("text", "unet"), ("dit", "transformer")])
def test_the_networks_own_folder_stands_for_its_pipeline(name: str, part: str, networks: dict[str, Path]) -> None:
    whole, inner = (architecture_named(str(folder)) for folder in (networks[name], networks[name] / part))
    assert (inner.blocks, inner.alphas_cumprod, inner.prediction) == (
        whole.blocks,
        whole.alphas_cumprod,
        whole.prediction,
    )


def test_weights_too_large_for_float16_are_refused(changed: Callable[[str, Change], Path]) -> None:
    def enlarge(folder: Path) -> None:
        tensors = load_file(folder / UNET_WEIGHTS)
        tensors["conv_in.weight"][0] = 1e5
        save_file(tensors, folder / UNET_WEIGHTS, metadata={"format": "pt"})

    folder = str(changed("unet", enlarge))
    load_backbone(folder, precision="bfloat16")
    with pytest.raises(BackboneError, match="too large for float16; use bfloat16"):
        load_backbone(folder, precision="float16")


@pytest.mark.parametrize("read", [load_backbone, architecture_named, describe_backbone])
def test_an_empty_name_is_not_the_current_folder(
    read: Callable[[str], object], networks: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(networks["unet"])
    with pytest.raises(UsageError, match="a backbone must have a name, got ''"):
        read("")


def schedule_file(folder: Path, **values: Any) -> Path:
    (folder / "scheduler_config.json").write_text(json.dumps(values))
    return folder


@pytest.mark.parametrize(
    ("values", "refusal"),
    [
        (
            {"_class_name": "DPMSolverMultistepScheduler", "use_flow_sigmas": True},
            "is that of a flow, which is not known",
        ),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler", "beta_schedule": "linear"}, "is that of a flow"),
        ({"_class_name": "FlowMapEulerDiscreteScheduler"}, "is that of a flow"),
        ({"prediction_type": "flow_prediction"}, "is that of a flow"),
        ({"_class_name": "EDMEulerScheduler"}, "is EDMEulerScheduler, which is not known; .* of the DDPM family"),
        ({"_class_name": "ScoreSdeVeScheduler"}, "is ScoreSdeVeScheduler, which is not known"),
        ({"_class_name": "CogVideoXDDIMScheduler", "beta_schedule": "linear"}, "which is not known"),
        ({"_class_name": "IPNDMScheduler", "trained_betas": [0.1]}, "which is not known"),
        ({"_class_name": None}, "is None, which is not known"),
        ({"_class_name": ["x", "DDPMScheduler"]}, "which is not known"),
        ({"timestep_type": "continuous"}, "has continuous timesteps"),
        ({"snr_shift_scale": 3.0}, "a shifted signal-to-noise ratio"),
        ({"prediction_type": "score"}, "predicts 'score'; known: epsilon, sample, v_prediction"),
        ({"prediction_type": None}, "predicts None"),
        ({"num_train_timesteps": 0}, "num_train_timesteps between 1 and 100,000, got 0"),
        ({"num_train_timesteps": 10**12}, "num_train_timesteps between 1 and 100,000"),
        ({"num_train_timesteps": "1000"}, "num_train_timesteps between 1 and 100,000, got '1000'"),
        ({"trained_betas": [[0.1]]}, "trained_betas that are a list of numbers"),
        ({"trained_betas": "x"}, "trained_betas that are a list of numbers"),
        ({"trained_betas": [0.5, 1.5]}, "betas above 0 and at most 1, got 1.5 at timestep 1"),
        ({"trained_betas": [0.0, 0.5]}, "betas above 0 and at most 1, got 0 at timestep 0"),
        ({"trained_betas": [float("nan")]}, "betas above 0 and at most 1, got nan at timestep 0"),
        ({"beta_end": 2}, "betas above 0 and at most 1, got 1.0"),
        ({"beta_start": -1}, "betas above 0 and at most 1, got -1 at timestep 0"),
        ({"beta_start": "a"}, "must have a number as beta_start, got 'a'"),
        ({"beta_schedule": "exp"}, "cannot be used"),
        ({"beta_schedule": None}, "cannot be used"),
    ],
)
def test_a_schedule_that_is_not_ddpms_is_refused(values: dict[str, Any], refusal: str, tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=rf"the noise schedule in .*scheduler_config.json .*{refusal}"):
        read_schedule(schedule_file(tmp_path, **values))


LATE = {"beta_start": 0.00085, "beta_end": 0.012}
"""The defaults of diffusers' schedulers that were added later; they differ from DDPM's."""


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"_class_name": "HeunDiscreteScheduler"}, DDIMScheduler(**LATE)),
        ({"_class_name": "LCMScheduler"}, DDIMScheduler(**LATE, beta_schedule="scaled_linear")),
        ({"_class_name": "DPMSolverSDEScheduler"}, DDIMScheduler(**LATE)),
        ({"_class_name": "FlaxDDIMScheduler", "beta_end": 0.01}, DDIMScheduler(beta_end=0.01)),
        ({"_class_name": "DDIMScheduler", "rescale_betas_zero_snr": True}, DDIMScheduler(rescale_betas_zero_snr=True)),
        ({"trained_betas": [0.1, 0.2, 0.3]}, DDIMScheduler(trained_betas=[0.1, 0.2, 0.3])),
        ({"steps_offset": 1, "thresholding": True, "clip_sample": False, "use_karras_sigmas": True}, DDIMScheduler()),
        ({"use_flow_sigmas": False, "flow_shift": 3.0}, DDIMScheduler()),
    ],
)
def test_a_schedule_has_the_noise_that_diffusers_gives_its_class(
    values: dict[str, Any], expected: Any, tmp_path: Path
) -> None:
    schedule = read_schedule(schedule_file(tmp_path, **values))
    assert schedule.alphas_cumprod == tuple(expected.alphas_cumprod.tolist())


def test_an_index_may_name_another_scheduler_that_makes_the_same_noise(tmp_path: Path) -> None:
    """diffusers puts the class of the index first, and people change it to sample in fewer steps."""
    small_unets.plain(tmp_path)
    own = read_schedule(tmp_path)
    indexed_scheduler("DDIMScheduler")(tmp_path)
    assert read_schedule(tmp_path) == own
