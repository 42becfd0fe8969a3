"""Damages to a network's folder, as downloads, disks, editors and other programs do them, drawn at random."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

HUGE = [10**6, 2**31, 10**12, 10**30, 10**400, 1e308, float("inf")]
SMALL = [0, 1, 2, 3, 5, 7, 16, 32, 33, 64, 77, 1000, -1, 0.5, 1.5, -0.0, 1e-30, float("nan")]
TEXTS = ["", "0", "16", "linear", "nonsense", "\ud800", "\0", "two\nlines"]
LISTS = [[], [None], [16, 16], [16, 32], [32, 32, 32], [[16]], ["a"], [0.5] * 3, [0, 0, 0], [1e-4] * 10, [[], {}]]
OBJECTS = [{}, {"height": 16, "width": 16}, {"shortest_edge": 24}, {"height": 16}, {"": None}]
VALUES: list[Any] = [None, True, False, *HUGE, *SMALL, *TEXTS, *LISTS, *OBJECTS]

CLASSES = ["UNet2DModel", "AutoencoderKL", "Transformer2DModel", "EulerDiscreteScheduler", "LCMScheduler", "VQModel"]
ENTRIES: dict[str, list[Any]] = {
    "_class_name": [*CLASSES, "FlowMatchEulerDiscreteScheduler", "DPMSolverSDEScheduler", []],
    "model_type": ["vit", "clip_text_model", "resnet", "siglip", {}],
    "sample_size": [[16, 16], 18, "16", 8],
    "image_size": [[32, 32], 33, {"height": 32, "width": 32}],
    "patch_size": [[8, 8], 5, 64],
    "use_flow_sigmas": [True],
    "prediction_type": ["flow_prediction", "v_prediction", "x"],
    "rescale_betas_zero_snr": [True, "yes"],
    "trained_betas": [[0.1, 0.2], [[0.1]], [0, 0], [1, 1]],
    "num_train_timesteps": [10, 1],
    "beta_start": [2, 0, "0.1"],
    "beta_schedule": ["sigmoid", "scaled_linear", "squaredcos_cap_v2", None],
    "timestep_type": ["continuous"],
    "time_embedding_type": ["fourier", "learned"],
    "class_embed_type": ["timestep", "identity"],
    "num_class_embeds": [3],
    "encoder_hid_dim": [6],
    "dropout": [2],
    "do_rescale": [False],
    "rescale_factor": [1, 1 / 255],
    "do_normalize": [False, "no"],
    "do_center_crop": [False, None],
    "image_std": [[0, 0, 0], 0.5],
    "crop_size": [0, [32, 32], {"height": 32}],
    "size": [24, {"longest_edge": 32}, {"max_height": 32, "max_width": 32}],
    "quantization_config": [{"load_in_8bit": True}],
    "attn_implementation": ["eager", "nonsense"],
    "dtype": ["float16", "nonsense"],
    "torch_dtype": ["bfloat16", 3],
    "_use_default_values": [None, ["sample_size"]],
    "transformers_weights": ["../x.safetensors", "other.safetensors"],
    "latents_mean": [[0.0]],
    "scaling_factor": [0, "x"],
    "shift_factor": ["x", 0.5],
    "force_upcast": [False, None],
    "unet": [["diffusers", "UNet2DConditionModel"], ["a", "b"]],
    "vqvae": [["diffusers", "VQModel"], [None, None]],
    "text_encoder": [["transformers", "T5EncoderModel"]],
    "auto_map": [{}, {"AutoModel": "code.Model"}],
    "architectures": [None],
    "id2label": [None, []],
    "num_labels": [-1],
    "hidden_act": ["x", "relu"],
    "norm_num_groups": [3, None],
    "attention_head_dim": [3, None, [2, 2, 2]],
    "down_block_types": [["DownBlock2D"], ["AttnDownBlock2D"] * 3],
    "block_out_channels": [[8, 8], [8, 16, 32], [9, 9, 9]],
    "depths": [[1], [1, 1000000]],
    "num_hidden_layers": [0, 1, 3],
}
CONTENTS: list[bytes] = [
    *(b"", b"null", b"[]", b"3", b'"text"', b"true", b"{", b"{}", b"\xff\xfe{\x00}\x00", b"\xef\xbb\xbf{}", b"\0" * 64),
    b"[" * 100_000,
    b'{"a": NaN}',
    b'{"a": ' + b"9" * 5000 + b"}",
    b'{"a": "\xe9"}',
    b"PK\x03\x04",
    b"\x80\x04K\x01.",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 123\n",
    b'{"metadata": {}, "weight_map": {"a": "../model.safetensors"}}',
    b'{"metadata": {}, "weight_map": {"a": "diffusion_pytorch_model.safetensors"}}',
    b'{"metadata": null, "weight_map": []}',
]
NAMES = [
    "model_index.json",
    "scheduler_config.json",
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "adapter_config.json",
    "pytorch_lora_weights.safetensors",
    "model.safetensors",
    "model.safetensors.index.json",
    "diffusion_pytorch_model.safetensors.index.json",
    "diffusion_pytorch_model.bin",
    "pytorch_model.bin",
    "generation_config.json",
    "tokenizer.json",
    "scheduler/x.json",
    "tokenizer/tokenizer_config.json",
    "tokenizer/special_tokens_map.json",
    *(f"{part}/config.json" for part in ("vqvae", "vae", "unet", "transformer", "text_encoder", "controlnet")),
]


def files_in(folder: Path, suffix: str = "") -> list[Path]:
    return sorted(path for path in folder.rglob(f"*{suffix}") if path.is_file() and not path.is_symlink())


def damage_entry(folder: Path, chance: random.Random) -> None:
    """Change, remove or add one entry of a JSON file."""
    file = chance.choice(files_in(folder, ".json"))
    try:
        values = json.loads(file.read_bytes())
    except (ValueError, RecursionError):  # an earlier damage may have nested it deeply
        return
    holder = values
    while isinstance(holder, dict | list) and holder:
        key = chance.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        inner = holder[key]
        if isinstance(inner, dict | list) and inner and chance.random() < 0.7:
            holder = inner
            continue
        act = chance.random()
        if act < 0.15:
            del holder[key]
        elif act < 0.45 and isinstance(holder, dict):
            entry = chance.choice(list(ENTRIES))
            holder[entry] = chance.choice(ENTRIES[entry])
        elif act < 0.6 and type(inner) is int:
            holder[key] = inner + chance.choice([-1, 1, 1000, -inner])
        else:
            holder[key] = chance.choice(VALUES)
        break
    try:
        file.write_text(json.dumps(values), encoding="utf-8")
    except (ValueError, RecursionError):
        return


def damage_content(folder: Path, chance: random.Random) -> None:
    """Replace, cut or flip the bytes of a file."""
    file = chance.choice(files_in(folder))
    content = bytearray(file.read_bytes())
    act = chance.random()
    if act < 0.4:
        content = bytearray(chance.choice(CONTENTS))
    elif act < 0.6:
        content = content[: chance.randrange(len(content) + 1)]
    elif act < 0.7:
        content = bytearray(b"\xef\xbb\xbf") + content
    else:
        for _ in range(chance.choice([1, 1, 4, 50]) if content else 0):
            where = chance.randrange(min(len(content), chance.choice([8, 200, 10**9])))
            content[where] = chance.randrange(256)
    file.write_bytes(content)


def damage_place(folder: Path, chance: random.Random) -> None:
    """Remove, link, rename or add a file or a folder."""
    act, file = chance.random(), chance.choice(files_in(folder))
    if act < 0.25:
        file.unlink()
    elif act < 0.4:
        file.unlink()
        file.symlink_to(chance.choice([folder / "nowhere", file, folder]))
    elif act < 0.5:
        file.unlink()
        file.mkdir()
    elif act < 0.65:
        name = chance.choice(
            [f"{file.stem}.fp16{file.suffix}", f"{file.stem}-00001-of-00002{file.suffix}", "x", "a.ckpt"]
        )
        file.rename(file.with_name(name))
    elif act < 0.75 and file.parent != folder:
        shutil.rmtree(file.parent)
    else:
        added = folder / chance.choice(NAMES)
        if not added.exists():
            added.parent.mkdir(parents=True, exist_ok=True)
            added.write_bytes(chance.choice([*CONTENTS, file.read_bytes()]))


def damage_tensors(folder: Path, chance: random.Random) -> None:
    """Change, remove, add or rename tensors, or store them in another form."""
    files = files_in(folder, ".safetensors")
    if not files:
        return
    file = chance.choice(files)
    try:
        tensors = load_file(file)
    except Exception:  # an earlier change damaged the file
        return
    if not tensors:
        return
    key = chance.choice(sorted(tensors))
    tensor = tensors[key]
    acts: list[Callable[[], Any]] = [
        lambda: tensors.pop(key),
        lambda: tensors.update({key: tensor[:0].clone() if tensor.ndim else tensor}),
        lambda: tensors.update({key: tensor[:-1].clone() if tensor.ndim else tensor}),
        lambda: tensors.update({key: tensor.reshape(-1).clone()}),
        lambda: tensors.update({key: tensor.unsqueeze(0).clone()}),
        lambda: tensors.update({key: torch.full_like(tensor, chance.choice([1e4, 0, 1]))}),
        lambda: tensors.update({key: tensor.to(chance.choice([torch.int8, torch.bool, torch.int64, torch.uint8]))}),
        lambda: tensors.update({key: tensor.to(chance.choice([torch.float16, torch.float64, torch.bfloat16]))}),
        lambda: tensors.update({key: tensor.float() / 0}),
        lambda: tensors.update({key: torch.where(torch.rand(tensor.shape) < 0.1, float("nan"), tensor.float())}),
        lambda: tensors.update({f"{key}.more": tensor.clone()}),
        lambda: tensors.update({"another.weight": tensor.clone()}),
        lambda: tensors.update({chance.choice(["module.", "model.", "x"]) + key: tensors.pop(key)}),
        tensors.clear,
    ]
    act = chance.random()
    if act < 0.7:
        chance.choice(acts)()
    elif act < 0.8:
        prefix = chance.choice(["module.", "model.", "unet.", "vit."])
        tensors = {prefix + name: values for name, values in tensors.items()}
    if act < 0.85:
        save_file(tensors, file, metadata=chance.choice([{"format": "pt"}, {"format": "pt"}, None, {"format": "tf"}]))
        return
    stem = "diffusion_pytorch_model" if file.name.startswith("diffusion") else "pytorch_model"
    if act < 0.92:
        file.unlink()
        content = chance.choice(
            [tensors, tensors, list(tensors.values()), {"state_dict": tensors}, tensor, {1: tensor}, 3]
        )
        torch.save(content, file.with_name(f"{stem}.bin"))
        return
    names = sorted(tensors)
    half = chance.randrange(len(names))
    parts = {f"{file.stem}-{i}-of-2.safetensors": part for i, part in ((1, names[:half]), (2, names[half:]))}
    for name, part in parts.items():
        save_file({entry: tensors[entry] for entry in part}, file.with_name(name), metadata={"format": "pt"})
    listed = {entry: name for name, part in parts.items() for entry in part}
    if chance.random() < 0.5:
        listed.pop(chance.choice(names))
    if chance.random() < 0.3:
        file.with_name(chance.choice(sorted(parts))).unlink()
    file.with_name(f"{file.name}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": listed}))
    if chance.random() < 0.7:
        file.unlink()


def damage_neighbours(networks: Path) -> Callable[[Path, random.Random], None]:
    """Return a damage that copies a part of another network into the folder, or over a file of it."""

    def damage(folder: Path, chance: random.Random) -> None:
        other = networks / chance.choice(sorted(path.name for path in networks.iterdir()))
        file = chance.choice(files_in(other))
        if file.parent != other and chance.random() < 0.5:
            name = chance.choice([file.parent.name, file.parent.name, "vqvae", "controlnet", "image_encoder", "unet"])
            shutil.copytree(file.parent, folder / name, dirs_exist_ok=True)
            return
        target = chance.choice([folder / file.name, *(path for path in files_in(folder) if path.name == file.name)])
        if not target.is_dir():
            target.unlink(missing_ok=True)
            shutil.copy(file, target)

    return damage
