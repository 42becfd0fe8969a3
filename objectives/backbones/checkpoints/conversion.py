"""The parts of a conversion that all kinds of checkpoints share: a check of the tensors, and the new folder."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from objectives.backbones.folders.weights import is_finite, listed_problems
from spaces.errors import BackboneError


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Give a folder to fill, which becomes `out` when the context ends without an error, and is removed otherwise.

    Raises BackboneError if `out` is not empty or cannot be written.
    """
    out = out.absolute()
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise BackboneError(f"{out} exists already: name a new folder for the converted network, or remove it")
    part = out.with_name(f"{out.name}.{os.getpid()}.part")
    try:
        part.mkdir(parents=True)
        yield part
        if out.exists():
            out.rmdir()
        part.rename(out)
    except (OSError, SafetensorError) as error:
        raise BackboneError(f"cannot write the converted network to {out}: {error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def save_weights(state: Mapping[str, torch.Tensor], folder: Path) -> None:
    """Write tensors, no two of which share memory, to the file of a diffusers model."""
    weights = folder / "diffusion_pytorch_model.safetensors"
    save_file(dict(state), weights, metadata={"format": "pt"})
    weights.chmod(0o644)  # safetensors creates files that only their owner may read


def check_tensors(state: Mapping[str, torch.Tensor], layout: Mapping[str, tuple[int, ...]], of_what: str) -> None:
    """Raise BackboneError unless a checkpoint has exactly the tensors of a layout, finite ones of floating point.

    layout: name → shape. of_what: what the layout belongs to, such as "the ADM settings".
    """
    common = [name for name in layout if name in state]
    problems = {
        "missing": [name for name in layout if name not in state],
        "not the network's": [name for name in state if name not in layout],
        "of another shape": [
            f"{name}: {tuple(state[name].shape)}, not {layout[name]}"
            for name in common
            if tuple(state[name].shape) != layout[name]
        ],
        "not of float32, float16 or bfloat16": [
            name for name in common if state[name].dtype not in (torch.float32, torch.float16, torch.bfloat16)
        ],
        "not finite": [name for name in common if not is_finite(state[name])],
    }
    listed = listed_problems(problems)
    if listed:
        raise BackboneError(f"the checkpoint's tensors do not fit {of_what}: {listed}")
