"""The common part of all diffusion transformers that read latents: folders, latents, texts, taps."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from math import isqrt
from pathlib import Path
from typing import Any, Self, final

import torch

from objectives.backbones.files import network_folder, read_module
from objectives.backbones.folders.companions import AUTOENCODERS, check_companions
from objectives.backbones.folders.configuration import check_image_side, read_configuration, square_side
from objectives.backbones.kinds.latent_network import LatentNetwork
from objectives.backbones.lean import read_lean_module
from objectives.backbones.pipeline.autoencoders import Autoencoder
from objectives.backbones.pipeline.processes import FLOW, network_inputs
from objectives.backbones.pipeline.schedule import DDPM, read_schedule
from objectives.backbones.pipeline.texts import Text, TextRecipe
from objectives.backbones.reading import Reading
from spaces import BackboneError
from spaces.blocks import Inside, Part


@final
@dataclass(frozen=True)
class TransformerKind:
    """The differences between kinds of diffusion transformers.

    model: class in diffusers. stacks: the names of its lists of layers, in execution order. flow: whether such networks
    were trained by flow matching. channels: configuration → channels of the latents. patch: configuration → latents of
    a side per token of a side.
    call: makes the forward passes of a batch, given the module, latents, times and a text. times are sigmas in (0, 1]
    for a flow, else timesteps.
    text: how the pipeline encodes a text; None for a network that reads none.
    native_side: latents of a side of a kind whose configuration has no `sample_size`: the default of its pipeline.
    largest_grid: configuration → the most tokens of a side; None if there is no limit.
    prepare: changes a module after it is built, or raises BackboneError; returns words for the change, which enter the
    digest of the network, or "" where nothing changes its features.
    inside: stack → activation inside each of its layers → the submodule of the layer that returns it, in the order in
    which a layer calls them.
    """

    model: Any
    stacks: tuple[str, ...]
    call: Callable[[Any, torch.Tensor, torch.Tensor, Text], object]
    flow: bool = True
    channels: Callable[[Any], int] = lambda config: int(config["in_channels"])
    patch: Callable[[Any], int] = lambda config: int(config["patch_size"])
    text: TextRecipe | None = None
    native_side: int = 128
    largest_grid: Callable[[Any], int | None] = lambda config: None
    prepare: Callable[[str, Any], str] = lambda name, module: ""
    inside: Mapping[str, Mapping[Inside, str]] = field(default_factory=dict)


@final
@dataclass(frozen=True)
class TransformerNetwork(LatentNetwork):
    """A diffusion transformer that reads the latents of an autoencoder, and, in most kinds, a text.

    The tokens of a layer form one map, in which each token has the position of its patch. Tokens of the text are left
    out.
    """

    kind: TransformerKind
    taps_inside: tuple[Inside, ...]

    @classmethod
    def read(cls, kind: TransformerKind, name: str, folder: Path, reading: Reading) -> Self:
        """Read a network from the folder of a diffusers pipeline.

        Raises BackboneError if files are missing or damaged, for an image side that the network cannot take, and for a
        text where none can be encoded.
        """
        network, hollow = network_folder(folder), reading.hollow
        indexed = check_companions(name, folder, network, kind.model.__name__)
        config = read_configuration(network / "config.json")
        vae = Autoencoder.read(name, folder / "vae", hollow, AUTOENCODERS.get(kind.model.__name__, ("AutoencoderKL",)))
        default = inspect.signature(kind.model.__init__).parameters.get("sample_size")
        native = config.get("sample_size", kind.native_side if default is None else default.default)
        side = square_side(native)
        if side is None:
            raise BackboneError(f"backbone {name} must take square latents, got `sample_size` {native}")
        check_image_side(name, side * vae.reduction)
        entries = {"sample_size": side} if "sample_size" in config else {}
        if hollow:
            module = read_module(name, kind.model, network, hollow, **entries)
        else:
            module = read_lean_module(name, kind.model, network, reading.precision, **entries)
        if kind.channels(module.config) != vae.channels:
            raise BackboneError(
                f"backbone {name} must take latents of {vae.channels} channels, as its autoencoder makes, got "
                f"{kind.channels(module.config)}; take the transformer and the autoencoder of one pipeline"
            )
        changes = [kind.prepare(name, module)]
        reading.check_inside(name, list(dict.fromkeys(chain(*kind.inside.values()))), changes)
        grid = kind.largest_grid(module.config)
        side = reading.side_of_latents(name, side, vae.reduction, kind.patch(module.config), grid, changes)
        schedule = read_schedule(folder, (FLOW,) if kind.flow else (DDPM,))
        folders = (network, *_read_text(name, folder, kind, module, reading, indexed, changes))
        said = tuple(change for change in changes if change)
        return cls(name, module, vae, schedule, folders, side, said, kind, reading.inside)

    def blocks(self) -> list[tuple[str, Part]]:
        blocks: list[tuple[str, Part]] = []
        for stack in self.kind.stacks:
            inside = {part: name for part, name in self.kind.inside.get(stack, {}).items() if part in self.taps_inside}
            for number in range(len(self.module.get_submodule(stack))):
                blocks += [(f"{stack}.{number}.{name}", part) for part, name in inside.items()]
                blocks.append((f"{stack}.{number}", "layer"))
        return blocks

    def run(self, inputs: torch.Tensor, times: torch.Tensor | None) -> object:
        assert times is not None  # a diffusion network has a schedule
        text = {
            name.removeprefix("text_"): values.expand(len(inputs), *values.shape[1:])
            for name, values in self.module.named_buffers(recurse=False)
            if name.startswith("text_")
        }
        inputs, times = network_inputs(self.schedule, inputs, times)
        return self.kind.call(self.module, inputs, times, text)

    def map_of(self, submodule: str, output: Any) -> torch.Tensor:
        """Turn the output of a layer into maps (n, width, side, side).

        output: tokens (n, tokens, width), of which the last side² are the image's, row by row; or maps; or, of a layer,
        (tokens of the text, tokens of the image); or, of an adaptive norm, (tokens, gates and more).
        """
        is_layer = submodule.rpartition(".")[0] in self.kind.stacks
        tokens: torch.Tensor = output[1 if is_layer else 0] if isinstance(output, tuple) else output
        if tokens.ndim == 4:
            return tokens
        grid = self.side // self.kind.patch(self.module.config)
        return tokens[:, -grid * grid :].reshape(len(tokens), grid, grid, -1).permute(0, 3, 1, 2)


def packed(latents: torch.Tensor) -> torch.Tensor:
    """Turn latents (n, channels, side, side) into tokens (n, side² / 4, 4 channels) of 2 x 2 latents, row by row."""
    count, channels, side, _ = latents.shape
    pairs = latents.reshape(count, channels, side // 2, 2, side // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return pairs.reshape(count, side * side // 4, channels * 4)


def positions(tokens: int, axes: int, device: torch.device) -> torch.Tensor:
    """Return the rows and columns of a square of tokens, float32 (tokens, axes): on axes 1 and 2, zeros on others."""
    side = isqrt(tokens)
    result = torch.zeros(side, side, axes, device=device)
    result[..., 1] = torch.arange(side, device=device)[:, None]
    result[..., 2] = torch.arange(side, device=device)
    return result.reshape(tokens, axes)


def _read_text(
    name: str,
    folder: Path,
    kind: TransformerKind,
    module: Any,
    reading: Reading,
    indexed: dict[str, str],
    changes: list[str],
) -> tuple[Path, ...]:
    """Put the text into the module's buffers, which move with it. Return the folders on which it depends."""
    recipe = kind.text
    if recipe is None:
        reading.check_no_prompt(name, "reads no text")
        return ()
    is_there = recipe.is_in(folder) or any(part in recipe.encoders for part in indexed)
    text = recipe.none(module.config)
    if is_there:
        recipe.check(name, folder)
        if not reading.hollow:
            text = reading.kept_text(recipe, name, folder, module)
        changes += [f"text {reading.prompt!r}"] if reading.prompt else []
    else:
        reading.check_no_prompt(name, f"has no text encoder in {folder}")
    for key, values in text.items():
        module.register_buffer(f"text_{key}", values.to(module.device), persistent=False)
    return recipe.folders(folder) if is_there else ()
