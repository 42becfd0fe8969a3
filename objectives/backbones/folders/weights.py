"""Checks the files of weights in a folder, and that every tensor of a network was read from them."""

import os
import zipfile
from argparse import Namespace
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from objectives.backbones.folders.configuration import is_there, read_object, unreadable
from spaces import BackboneError
from spaces.errors import first_line
from spaces.files import check_ends

if TYPE_CHECKING:
    import torch
    from torch import nn

DIFFUSERS_FILES = (
    "diffusion_pytorch_model.safetensors.index.json",
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.bin",
    "diffusion_pytorch_model.bin.index.json",
)
TRANSFORMERS_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""Files of weights, or of an index of shards, in the order in which each library looks for them."""

LFS_POINTER = b"version https://git-lfs"
FLOATS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
"""Safetensors' names of the floating-point types."""

COUNTS = ("position_ids", "num_batches_tracked")
"""The last part of the names of tensors that hold whole numbers. No map depends on what a file has for them."""

NAMED = 3
"""How many tensors a message names."""


def check_weights(folder: Path) -> None:
    """Check the files of weights that belong to the configuration in a folder, as `check_weight_files` does.

    A folder without a configuration, such as that of a tokenizer, has no weights. Loads no torch.
    """
    config = folder / "config.json"
    if is_there(config):
        names = DIFFUSERS_FILES if "_class_name" in read_object(config) else TRANSFORMERS_FILES
        check_weight_files(folder, names, with_torch=False)


def check_weight_files(folder: Path, names: tuple[str, ...], with_torch: bool = True) -> bool:
    """Check the weights in a folder, without reading more than their headers; return whether they are safetensors.

    names: the files to look for; the first that is there counts. with_torch: also look into .bin files.
    Raises BackboneError, which names the file, if there are no weights, if a file cannot be read or is damaged, if
    shards are missing or differ from their index, or if tensors of whole numbers stand for weights.
    """
    name = next((name for name in names if is_there(folder / name)), None)
    if name is None:
        raise BackboneError(f"{folder} has no weights: {_hint(folder, names)}")
    shards = _shards(folder / name) if name.endswith(".index.json") else {folder / name: None}
    is_safetensors = ".safetensors" in name
    for file, listed in shards.items():
        check_content(file)
        if not is_safetensors and not with_torch:
            continue
        kinds = tensor_kinds(file)
        if listed is not None and listed != kinds.keys():
            absent, extra = sorted(listed - kinds.keys()), sorted(kinds.keys() - listed)
            differing = f"it lacks {absent[0]}" if absent else f"it also has {extra[0]}"
            raise BackboneError(f"{file} is not the shard that {name} lists: {differing}; fetch both again")
        whole = [name for name, is_float in kinds.items() if not is_float and not _is_count(name)]
        if whole:
            raise BackboneError(
                f"{file} has whole numbers in place of weights: {some(whole)}; quantised weights are not known, so "
                "give floating-point ones"
            )
    return is_safetensors


def weight_files(folder: Path, names: tuple[str, ...]) -> list[Path]:
    """Return the files of weights in a folder, after `check_weight_files`: one, or the shards of its index."""
    name = next(name for name in names if is_there(folder / name))
    return list(_shards(folder / name)) if name.endswith(".index.json") else [folder / name]


def _is_count(tensor: str) -> bool:
    return tensor.rpartition(".")[2] in COUNTS


def _hint(folder: Path, names: tuple[str, ...]) -> str:
    stem = min(names, key=len).rpartition(".")[0]
    stems = {name.partition(".")[0] for name in names}
    single = next(name for name in names if name.endswith(".safetensors"))
    files = sorted(path.name for path in folder.iterdir())
    shards = [name for name in files if any(name.startswith(f"{stem}-") for stem in stems)]
    if shards:
        return f"it has shards such as {shards[0]}, and no {single}.index.json that lists them; fetch that file too"
    variants = [name for name in files if any(name.startswith(f"{stem}.") for stem in stems)]
    if variants:
        suffix = "".join(Path(variants[0]).suffixes[-1:])
        return f"it has only {variants[0]}; if this is a variant of the weights, rename it to {stem}{suffix}"
    return f"it needs {single}, or the shards that a {single}.index.json lists; fetch the whole network"


def _shards(index: Path) -> dict[Path, set[str]]:
    """Return the shards of an index, each with the names of its tensors."""
    values = read_object(index)
    listed, described = values.get("weight_map"), isinstance(values.get("metadata"), dict)
    if not described or not isinstance(listed, dict) or not all(isinstance(file, str) for file in listed.values()):
        raise BackboneError(f"{index} is no index of shards: it must have metadata and a weight_map; fetch it again")
    shards: dict[Path, set[str]] = {}
    for tensor, file in listed.items():
        if os.path.basename(file) != file or not file:  # noqa: PTH119 - a name is compared, not a path
            raise BackboneError(f"{index} lists the shard {file!r}, which must be a file beside it; fetch it again")
        shards.setdefault(index.with_name(file), set()).add(tensor)
    if not shards:
        raise BackboneError(f"{index} lists no shards; fetch it again")
    for shard in shards:
        if not is_there(shard):
            raise BackboneError(f"{index} lists the shard {shard.name}, which is missing; fetch it too")
    return shards


def tensor_kinds(file: Path) -> dict[str, bool]:
    """Return the names of the tensors in a file, and whether each holds floating-point numbers."""
    from safetensors import safe_open

    if file.suffix != ".safetensors":
        return {name: tensor.is_floating_point() for name, tensor in read_checkpoint(file).items()}
    try:
        with safe_open(file, "np") as tensors:
            return {name: tensors.get_slice(name).get_dtype() in FLOATS for name in tensors.keys()}  # noqa: SIM118
    except Exception as error:  # safetensors has its own, and passes on those of the system
        raise BackboneError(f"{file} is damaged: {first_line(error)}; fetch it again") from None


def check_content(file: Path) -> None:
    """Raises BackboneError for a file that cannot be read, is empty, or is a pointer of Git LFS."""
    try:
        check_ends(file)
        with file.open("rb") as opened:
            head = opened.read(len(LFS_POINTER))
    except OSError as error:
        raise unreadable(file, error) from None
    if not head:
        raise BackboneError(f"{file} is empty; fetch it again")
    if head == LFS_POINTER:
        raise BackboneError(f"{file} is a pointer of Git LFS in place of the weights; run `git lfs pull` in its folder")


def read_checkpoint(file: Path, averaged: str | None = None) -> "dict[str, torch.Tensor]":
    """Map the tensors of a `.safetensors` or PyTorch file into memory. Code in the file is not run.

    averaged: the entry of the averaged weights in a PyTorch file that holds a whole training; such a file may also hold
    the training's arguments. Raises BackboneError if the file is missing, damaged, or not a mapping of names to
    tensors.
    """
    import torch
    from safetensors.torch import load_file

    check_content(file)
    try:
        if file.suffix == ".safetensors":
            state = load_file(file)
        else:
            is_zip = zipfile.is_zipfile(file)
            if is_zip:
                _check_stored(file)
            with torch.serialization.safe_globals([Namespace] if averaged else []):
                content: Any = torch.load(file, map_location="cpu", weights_only=True, mmap=is_zip)
            state = content.get(averaged, content) if averaged and isinstance(content, Mapping) else content
    except UnpicklingError:  # torch's message explains how to run the file's code
        raise BackboneError(f"{file} is damaged, or no checkpoint of tensors alone; its code is not run") from None
    except Exception as error:  # a damaged file makes the readers raise nearly anything
        raise BackboneError(f"{file} cannot be read as a checkpoint: {first_line(error)}") from error
    if not isinstance(state, Mapping) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise BackboneError(f"{file} is no state dict: a checkpoint must map names to tensors and hold nothing else")
    return {str(name): tensor for name, tensor in state.items()}


def _check_stored(file: Path) -> None:
    """Raise ValueError for a compressed file, which may become far larger in memory. torch writes none."""
    with zipfile.ZipFile(file) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("it is compressed, as torch.save writes no file")


def check_fit(
    name: str, folder: Path, report: Mapping[str, Any], may_have: Callable[[str], bool] = lambda _: False
) -> None:
    """Refuse weights that are not those of the network: a library would leave missing ones to chance.

    report: a library's account of a loading, with `missing_keys`, `unexpected_keys` and `mismatched_keys`.
    may_have: whether the file may have a tensor that the network has not.
    Raises BackboneError, which names the tensors.
    """
    missing = sorted(tensor for tensor in report["missing_keys"] if not _is_count(tensor))
    unexpected = sorted(
        tensor for tensor in report["unexpected_keys"] if not may_have(tensor) and not _is_count(tensor)
    )
    problems = {
        "missing": missing,
        "not the network's": unexpected,
        "of another shape": [
            f"{key}: {tuple(got)}, not {tuple(shape)}" for key, got, shape in sorted(report["mismatched_keys"])
        ],
    }
    listed = listed_problems(problems)
    if listed:
        prefix = _common_prefix(missing, report["unexpected_keys"])
        mend = (
            f"all names in the file begin with {prefix!r}, so save it without this prefix"
            if prefix
            else "give a whole checkpoint and the config.json that belongs to it"
        )
        raise BackboneError(f"the weights of backbone {name} in {folder} do not fit its config.json: {listed}; {mend}")


def check_finite(name: str, folder: Path, module: "nn.Module") -> None:
    """Refuse weights with NaN or infinite values. Takes 0.25 s for 550 million weights on one core.

    Raises BackboneError, which names the tensors.
    """
    refuse_infinite(name, folder, [key for key, tensor in module.state_dict().items() if not is_finite(tensor)])


def refuse_infinite(name: str, folder: Path, broken: Collection[str]) -> None:
    """Raise BackboneError if there are tensors with NaN or infinite values. broken: their names."""
    if broken:
        raise BackboneError(
            f"the weights of backbone {name} in {folder} are not finite: NaN or infinite values in {some(broken)}; "
            "fetch them again, or train with a smaller learning rate"
        )


def is_finite(tensor: "torch.Tensor") -> bool:
    """Return whether all numbers of a tensor are finite. The extremes of a tensor with NaN are NaN."""
    import torch

    if tensor.is_meta or not tensor.is_floating_point() or not tensor.numel():
        return True
    return bool(torch.stack(torch.aminmax(tensor.detach())).isfinite().all())


def listed_problems(problems: Mapping[str, Collection[str]]) -> str:
    """Return the problems with tensors in words: how many have each problem, and the names of the first."""
    return "; ".join(f"{len(names)} {problem} ({some(names)})" for problem, names in problems.items() if names)


def some(names: Iterable[str]) -> str:
    """Return the first names of a list, with a mark if there are more."""
    listed = list(names)
    return ", ".join(listed[:NAMED]) + (", …" if len(listed) > NAMED else "")


def _common_prefix(missing: Collection[str], unexpected: Collection[str]) -> str:
    """Return the prefix, such as "module.", without which the unexpected names are the missing ones; "" if none."""
    if not missing or not unexpected:
        return ""
    ends = sorted(missing)[0]
    candidates = {name.removesuffix(ends) for name in unexpected if name.endswith(f".{ends}")}
    return next(
        (prefix for prefix in sorted(candidates) if {f"{prefix}{name}" for name in missing} <= set(unexpected)), ""
    )
