"""Encoders of clean images of any kind that transformers has: their blocks are found by structure."""

import inspect
import re
from collections import Counter
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import Any, Self, final

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedModel

from objectives.backbones.files import load_pretrained, loading, network_folder
from objectives.backbones.folders.companions import check_no_adapter
from objectives.backbones.folders.configuration import check_image_side, read_configuration, square_side
from objectives.backbones.kinds.encoders import OF_IMAGENET, Normalisation, image_size, normalisation, processor_of
from objectives.backbones.reading import Reading
from spaces import BackboneError
from spaces.blocks import Part
from spaces.errors import first_line

LAYER = re.compile(r"(Layer|Block|Bottleneck)$")
"""The names of classes whose modules, as items of a list, are the layers of a network in transformers."""

UNORDERED = ("hiera",)
"""`model_type` of networks whose tokens are not in the order of rows."""

MOST_OTHER_TOKENS = 64
"""The most tokens before those of the patches, such as class and register tokens."""

REDUCTION = 32
"""Pixels of a side per position of the last map, where the configuration has no patch size."""


@final
@dataclass(frozen=True)
class StructuredEncoder:
    """An encoder that reads clean RGB pixels in [0, 1], normalised by channel, and has layers that return square maps.

    The blocks are the layers, in lists of layers, whose outputs are maps, or as many tokens as a square has positions,
    after a few others. layers: the names of their modules, in the order in which the network calls them.
    """

    name: str
    module: PreTrainedModel
    layers: tuple[str, ...]
    image_side: int
    normalisation: Normalisation
    folders: tuple[Path, ...]
    changes: tuple[str, ...] = ()
    schedule: None = None
    autoencoder: None = None

    @classmethod
    def read(cls, name: str, folder: Path, reading: Reading) -> Self:
        """Read a network from a transformers folder.

        Raises BackboneError if files are missing or damaged, if no blocks can be found, or if it does not read square
        RGB images.
        """
        reading.check_no_prompt(name, "reads no text")
        source = network_folder(folder)
        check_no_adapter(name, source)
        kind = read_configuration(source / "config.json").get("model_type")
        if kind in UNORDERED:
            raise BackboneError(f"backbone {name} is a {kind}, whose tokens are not in rows; give another encoder")
        processor = processor_of(source)
        with loading(name, source):
            config = AutoConfig.from_pretrained(source)
            size = image_size(processor, config)
        native = square_side(list(size.values()) * (2 // len(size)))
        patch = square_side(getattr(config, "patch_size", REDUCTION) or REDUCTION)
        if native is None or patch is None or getattr(config, "num_channels", 3) != 3:
            raise BackboneError(f"backbone {name} must take square RGB images in square patches; its images are {size}")
        check_image_side(name, native)
        changes: list[str] = []
        reading.check_inside(name, (), changes)
        side = reading.side_of_latents(name, native, 1, patch, None, changes)
        with loading(name, source), torch.device("meta"):
            hollow = _model_of(config)(config, **_options(config)).eval()
        layers = tuple(_layers(name, kind, hollow, side, native))
        module = hollow
        if not reading.hollow:
            module = load_pretrained(name, type(hollow), source, config=config, **_options(config))
        pixels = normalisation(name, processor, OF_IMAGENET)
        return cls(name, module, layers, side, pixels, (source,), tuple(changes))

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return 3, self.image_side, self.image_side

    def blocks(self) -> list[tuple[str, Part]]:
        return [(layer, "layer") for layer in self.layers]

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        mean, std = (torch.tensor(values, device=pixels.device).view(3, 1, 1) for values in self.normalisation)
        return (pixels.float() / 255 - mean) / std

    def run(self, inputs: torch.Tensor, times: torch.Tensor | None) -> object:
        return _forward(self.module, inputs)

    def map_of(self, submodule: str, output: Any) -> torch.Tensor:
        maps = _map(output, _grid(self.module.config, self.image_side))
        assert maps is not None  # as `read` found
        return maps


def _options(config: Any) -> dict[str, Any]:
    """Leave out a pooling head, which published classifiers lack, where the class can do without it."""
    can = "add_pooling_layer" in inspect.signature(_model_of(config)).parameters
    return {"add_pooling_layer": False} if can else {}


def _model_of(config: Any) -> Any:
    """Return the class of the model without a head that belongs to a configuration."""
    kinds: Any = AutoModel._model_mapping[type(config)]
    return kinds[0] if isinstance(kinds, tuple) else kinds


def _forward(model: PreTrainedModel, images: torch.Tensor) -> object:
    """Run a model; it interpolates its position embeddings to the side of the images, if it can."""
    can = "interpolate_pos_encoding" in inspect.signature(model.forward).parameters
    return model(pixel_values=images, **({"interpolate_pos_encoding": True} if can else {}))


def _layers(name: str, kind: Any, hollow: PreTrainedModel, side: int, native: int) -> list[str]:
    """Return the names of the layers whose outputs are maps. Raises BackboneError if there are fewer than two.

    side, native: of the images that are asked for, and of training.
    """
    candidates = {
        f"{path}.{key}": item
        for path, part in hollow.named_modules()
        if isinstance(part, nn.ModuleList | nn.Sequential)
        for key, item in part.named_children()
        if LAYER.search(type(item).__name__)
    }
    outer = [path for path in candidates if not any(path.startswith(f"{other}.") for other in candidates)]
    grid, called = _grid(hollow.config, side), []
    handles = [
        candidates[path].register_forward_hook(
            lambda _module, _inputs, output, path=path: called.append(path) if _map(output, grid) is not None else None
        )
        for path in outer
    ]
    try:
        with torch.no_grad():
            _forward(hollow, torch.empty(1, 3, side, side, device="meta"))
    except Exception as error:  # torch and transformers have their own
        if side != native:
            raise BackboneError(
                f"backbone {name} is a {kind}, and cannot read images of `image_side` {side}; its own side is "
                f"{native}, and multiples of it will do"
            ) from None
        raise BackboneError(
            f"backbone {name} is a {kind}, and cannot read images of {side}x{side} pixels: {first_line(error)}; give "
            "an encoder that reads images alone"
        ) from None
    finally:
        for handle in handles:
            handle.remove()
    found = [path for path, times in Counter(called).items() if times == 1]
    if len(found) < 2:
        raise BackboneError(
            f"backbone {name} is a {kind}, in which no blocks were found: no layers of one list return square maps; "
            "give a vision transformer or a convolutional network of transformers"
        )
    return found


def _grid(config: Any, side: int) -> int | None:
    """Return the patches of a side; None where the configuration does not say it or the number varies by layer."""
    patch = square_side(getattr(config, "patch_size", None))
    return None if patch is None else side // patch


def _map(output: Any, grid: int | None) -> torch.Tensor | None:
    """Turn the output of a layer into maps (n, channels, side, side); return None for what is no map.

    output: maps, channels first or last; or tokens (n, tokens, width), of which the last are the patches row by row; or
    a tuple that begins with them. grid: patches of a side, if known.
    """
    values = output[0] if isinstance(output, tuple) else output
    if not isinstance(values, torch.Tensor):
        return None
    if values.ndim == 4:
        if values.shape[2] == values.shape[3]:
            return values
        return values.permute(0, 3, 1, 2) if values.shape[1] == values.shape[2] else None
    if values.ndim != 3:
        return None
    tokens = values.shape[1]
    side = isqrt(tokens)
    if grid is not None and 0 <= tokens - grid * grid <= MOST_OTHER_TOKENS:
        side = grid
    elif side * side != tokens:
        return None
    return values[:, -side * side :].reshape(len(values), side, side, -1).permute(0, 3, 1, 2)
