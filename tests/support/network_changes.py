"""Changes to a network's folder, as downloads, editors and other programs make them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

UNET_WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
SCHEDULER = "scheduler/scheduler_config.json"
Change = Callable[[Path], object]


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


def stored_as_bin(folder: Path) -> None:
    file = folder / UNET_WEIGHTS
    torch.save(load_file(file), file.with_suffix(".bin"))
    file.unlink()


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
