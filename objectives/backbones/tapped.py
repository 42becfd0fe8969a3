"""Makes a backbone from any torch network: its block table, and forward passes that stop at the deepest block needed.

A `Network` holds the differences between kinds of network.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, final

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from objectives.backbones.files import backbone_digest, latents_digest
from objectives.backbones.folders.weights import is_finite
from objectives.backbones.lean import MULTIPLYING
from objectives.backbones.pipeline.processes import clean_inputs
from objectives.backbones.pipeline.schedule import Schedule, add_noise
from spaces import Architecture, BackboneError, Block
from spaces.blocks import Part
from spaces.errors import first_line


class Network(Protocol):
    """A torch module of one kind of network.

    A network is loaded or hollow. A hollow network is built without weights, on torch's meta device: it has the shapes
    of all its maps, and cannot compute them.

    name: the name that a person gave.
    image_side: side of the images in pixels.
    input_shape: (channels, height, width) of the module's inputs.
    schedule: the noise schedule of training; None for an encoder of clean images.
    folders: the folders with the files on which the features depend.
    autoencoder: the folder of the autoencoder whose latents the network reads; None if it reads pixels.
    changes: words for what differs from the network as its files have it, such as an image side.
    """

    @property
    def name(self) -> str: ...

    @property
    def module(self) -> nn.Module: ...

    @property
    def image_side(self) -> int: ...

    @property
    def input_shape(self) -> tuple[int, int, int]: ...

    @property
    def schedule(self) -> Schedule | None: ...

    @property
    def folders(self) -> tuple[Path, ...]: ...

    @property
    def autoencoder(self) -> Path | None: ...

    @property
    def changes(self) -> tuple[str, ...]: ...

    def blocks(self) -> Sequence[tuple[str, Part]]:
        """Return (name, part) of each block in execution order. name: the submodule whose output is the block's."""
        ...

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Turn pixels uint8 (n, 3, side, side) into inputs float32 (n, *input_shape) on the module's device."""
        ...

    def run(self, inputs: torch.Tensor, times: torch.Tensor | None) -> object:
        """Make the forward passes of a batch. The result is not used.

        times: each input's timestep, int64 (n,), on the device; None for an encoder of clean images.
        """
        ...

    def map_of(self, submodule: str, output: Any) -> torch.Tensor:
        """Turn the output of a tapped submodule into maps (n, channels, side, side)."""
        ...


@final
@dataclass(frozen=True)
class TappedBackbone:
    """A `Backbone` made of a `Network`.

    precision: number format of matrix products and convolutions. Norms keep float32 weights: torch's autocast computes
    them in float32 on a GPU, and on a CPU returns their results in `precision`.
    """

    network: Network
    architecture: Architecture
    digest: str
    latents: str | None
    device: torch.device
    precision: torch.dtype

    @cached_property
    def _modules(self) -> dict[int, nn.Module]:
        return {block.number: self.network.module.get_submodule(block.name) for block in self.architecture.blocks}

    @torch.no_grad()
    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        name, side = self.architecture.name, self.architecture.image_side
        if pixels.shape[1:] != (3, side, side) or pixels.dtype != torch.uint8:
            raise ValueError(
                f"{name} encodes pixels uint8 (n, 3, {side}, {side}), got {pixels.dtype} {tuple(pixels.shape)}"
            )
        with self._autocast():
            return self.network.encode(pixels.to(self.device, non_blocking=True)).float()

    @torch.no_grad()
    def taps(
        self, inputs: torch.Tensor, noise: torch.Tensor | None, timestep: int | None, blocks: Collection[int]
    ) -> dict[int, torch.Tensor]:
        name, shape, noised = self.architecture.name, self.network.input_shape, self.architecture.noised
        if inputs.shape[1:] != shape:
            raise ValueError(f"{name} takes inputs (n, {', '.join(map(str, shape))}), got {tuple(inputs.shape)}")
        if (timestep is not None) != noised or (noise is not None and not noised):
            raise ValueError(f"{name} {'needs a timestep' if noised else 'takes no noise and timestep'}")
        if noise is not None and timestep is not None:
            inputs = add_noise(inputs, noise, self.architecture.alphas_cumprod[timestep])
        elif timestep is not None:
            inputs = clean_inputs(self.network.schedule, inputs, timestep)
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        outputs: dict[int, Any] = {}
        with self._autocast(), stopping_after(self._modules, blocks, outputs):
            self.network.run(inputs, times_of(inputs, timestep))
        return {n: self.network.map_of(self.architecture.block(n).name, output) for n, output in outputs.items()}

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32)


def times_of(inputs: torch.Tensor, timestep: int | None) -> torch.Tensor | None:
    """Return `times` of `Network.run`. From a number, a network would make them by a copy that waits for the GPU."""
    return None if timestep is None else torch.full((len(inputs),), timestep, device=inputs.device)


def tapped(network: Network, architecture: Architecture, device: str, precision: str) -> TappedBackbone:
    """Freeze a loaded network, move it to a device, and return it as a backbone. precision: one of `PRECISIONS`.

    Raises BackboneError if weights are too large for the precision.
    """
    kind: torch.dtype = getattr(torch, precision)
    module = network.module.eval().requires_grad_(False)
    for part in module.modules():
        if isinstance(part, MULTIPLYING):  # else autocast copies the weights at every pass
            part.to(kind)
            if not all(is_finite(weights) for weights in part.parameters()):
                raise BackboneError(f"weights of backbone {network.name} are too large for {precision}; use bfloat16")
    module.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # its fourth overload is unannotated
    latents = latents_digest(network.autoencoder, precision) if network.autoencoder else None
    digest = digest_of(network, precision)
    return TappedBackbone(network, architecture, digest, latents, torch.device(device), kind)


def digest_of(network: Network, precision: str) -> str:
    """Return the digest of a backbone, sha256 hex. A hollow network has the same digest as the loaded one."""
    return backbone_digest(folders_of(network), precision, network.schedule, network.changes)


def folders_of(network: Network) -> tuple[Path, ...]:
    """Return the folders with the weights and configurations on which a network's features depend."""
    return (*network.folders, network.autoencoder) if network.autoencoder else network.folders


def architecture_of(hollow: Network) -> Architecture:
    """Measure the block table by a forward pass on the meta device, which needs neither arithmetic nor weights.

    Raises BackboneError if the shapes in the network's configuration do not fit together.
    """
    names = hollow.blocks()
    counter = FlopCounterMode(display=False)
    measured: list[tuple[int, int, float]] = []

    def measure(submodule: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            shape = hollow.map_of(submodule, output).shape
            measured.append((shape[1], shape[2], counter.get_total_flops() / 2e9))

        return hook

    for name, _ in names:
        hollow.module.get_submodule(name).register_forward_hook(measure(name))
    schedule, side = hollow.schedule, hollow.image_side
    try:
        with torch.no_grad():
            inputs = hollow.encode(torch.empty(1, 3, side, side, dtype=torch.uint8, device="meta"))
            if inputs.shape[1:] != hollow.input_shape:
                raise ValueError(f"its inputs are {tuple(inputs.shape[1:])}, and it reads {hollow.input_shape}")
            with counter:
                hollow.run(inputs, times_of(inputs, None if schedule is None else 0))
        pairs = list(zip(names, measured, strict=True))
    except Exception as error:  # torch and each library have their own for shapes that do not fit
        raise BackboneError(
            f"backbone {hollow.name} cannot read images of {side}x{side} pixels: {first_line(error)}; correct its "
            "config.json"
        ) from None
    table, before = [], 0.0
    for number, ((name, part), (width, side, cumulative)) in enumerate(pairs, 1):
        table.append(Block(number, name, part, width, side, cumulative - before, cumulative))
        before = cumulative
    if schedule is None:
        return Architecture(hollow.name, hollow.image_side, tuple(table))
    return Architecture(hollow.name, hollow.image_side, tuple(table), schedule.alphas_cumprod, schedule.prediction)


class _DeepestReached(Exception):  # noqa: N818 - a signal, not an error
    pass


@contextmanager
def stopping_after(modules: dict[int, nn.Module], blocks: Collection[int], outputs: dict[int, Any]) -> Iterator[None]:
    """Let forward passes in the context store the outputs of `blocks` in `outputs` and stop after the deepest."""
    deepest = max(blocks)

    def keep(number: int) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            outputs[number] = output
            if number == deepest:
                raise _DeepestReached

        return hook

    handles = [modules[number].register_forward_hook(keep(number)) for number in blocks]
    try:
        yield
    except _DeepestReached:
        pass
    finally:
        for handle in handles:
            handle.remove()
