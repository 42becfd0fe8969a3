"""Loads a diffusers model tensor by tensor, each at once in the precision in which it will be used.

diffusers would load all weights in float32 first: twice or four times the memory that the network then needs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from objectives.backbones.files import loading
from objectives.backbones.folders.configuration import read_configuration
from objectives.backbones.folders.weights import (
    DIFFUSERS_FILES,
    check_fit,
    check_weight_files,
    is_finite,
    refuse_infinite,
    weight_files,
)

MULTIPLYING = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.RMSNorm)
"""The modules whose weights have the precision of the forward passes. All others keep float32.

torch normalises by the root mean square in one step only if weights and inputs have one format; it adds up in float32.
"""


def read_lean_module(name: str, kind: Any, folder: Path, precision: str, **entries: object) -> Any:
    """Read a diffusers model of class `kind` from safetensors, in evaluation mode.

    precision: number format of the weights of `MULTIPLYING` modules. entries: replace those of its configuration.
    Raises BackboneError if files are missing or damaged, or if the weights are not those of the configuration.
    """
    config = read_configuration(folder / "config.json") | entries
    with loading(name, folder, kind, config):
        if not check_weight_files(folder, DIFFUSERS_FILES):
            module = kind.from_pretrained(folder, torch_dtype=torch.float32, low_cpu_mem_usage=False, **entries)
            return module.float()
        with torch.device("meta"):
            module = kind.from_config(config).eval()
        if any(part._non_persistent_buffers_set for part in module.modules()):
            with _without_parameters():  # such buffers, which no file has, are computed
                module = kind.from_config(config).eval()
    wanted = module.state_dict()
    files = weight_files(folder, DIFFUSERS_FILES)
    found = {key: shape for file in files for key, shape in _shapes(file)}
    check_fit(
        name,
        folder,
        {
            "missing_keys": wanted.keys() - found.keys(),
            "unexpected_keys": found.keys() - wanted.keys(),
            "mismatched_keys": [
                (key, shape, wanted[key].shape)
                for key, shape in found.items()
                if key in wanted and tuple(shape) != tuple(wanted[key].shape)
            ],
        },
    )
    broken = []
    for file in files:
        with loading(name, folder), safe_open(file, "pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118 - it is no dict
                values = tensors.get_tensor(key)
                broken += [] if is_finite(values) else [key]
                _put(module, key, values, getattr(torch, precision))
    refuse_infinite(name, folder, broken)
    return module


@contextmanager
def _without_parameters() -> Iterator[None]:
    """Let modules that are built in the context have parameters on the meta device, and buffers as usual."""
    module_class: Any = nn.Module
    register = module_class.register_parameter

    def register_on_meta(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if parameter is not None:
            parameter = nn.Parameter(parameter.to("meta"), requires_grad=False)
        register(module, name, parameter)

    module_class.register_parameter = register_on_meta
    try:
        yield
    finally:
        module_class.register_parameter = register


def _shapes(file: Path) -> Iterator[tuple[str, list[int]]]:
    with safe_open(file, "pt") as tensors:
        for key in tensors.keys():  # noqa: SIM118 - it is no dict
            yield key, tensors.get_slice(key).get_shape()


def _put(module: nn.Module, key: str, values: torch.Tensor, precision: torch.dtype) -> None:
    """Put a tensor of a file into a module, in the number format in which it will be used."""
    path, _, name = key.rpartition(".")
    part = module.get_submodule(path)
    if name in part._buffers:
        part.register_buffer(name, values)  # torch adds numbers of two formats in the finer one
        return
    kept = values.to(precision if isinstance(part, MULTIPLYING) else torch.float32)
    part._parameters[name] = nn.Parameter(kept, requires_grad=False)
