"""Makes a backbone of any torch network: its block table, and forward passes that stop at the deepest block needed.

What differs between kinds of network is a `Network`; all else is here.
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
from objectives.backbones.schedule import Schedule, add_noise
from spaces import Architecture, Block
from spaces.blocks import Part

MULTIPLYING = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)


class Network(Protocol):
    """One kind of network around a torch module.

    A network is loaded or hollow. A hollow network is built without weights, on torch's meta device: it has the shapes
    of all its maps, and cannot compute them.

    name: the name that a person gave. input_shape: (channels, height, width) of the inputs of the module.
    schedule: the noise schedule of its training; None for an encoder of clean images.
    folders: those with the files that its features depend on.
    autoencoder: the folder of the autoencoder whose latents it reads; None where it reads pixels.
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

    def blocks(self) -> Sequence[tuple[str, Part]]:
        """(submodule whose output is the whole block's, part) in execution order."""
        ...

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 (n, 3, image_side, image_side) → float32 (n, *input_shape) on the module's device."""
        ...

    def run(self, inputs: torch.Tensor, timestep: int | None) -> object:
        """One forward pass; what it returns is not used."""
        ...

    def map_of(self, submodule: str, output: Any) -> torch.Tensor:
        """A tapped submodule's output as a map (n, channels, side, side)."""
        ...


@final
@dataclass(frozen=True)
class TappedBackbone:
    """A `Backbone` made of a `Network`.

    precision: of the products and convolutions. Norms keep float32 weights; torch's autocast runs them in float32 on
    a GPU, and on a CPU gives their results in the precision.
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
        if (noise is not None) != noised or (timestep is not None) != noised:
            raise ValueError(f"{name} {'needs' if noised else 'takes no'} noise and timestep")
        if noise is not None and timestep is not None:
            inputs = add_noise(inputs, noise, self.architecture.alphas_cumprod[timestep])
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        outputs: dict[int, Any] = {}
        with self._autocast(), stopping_after(self._modules, blocks, outputs):
            self.network.run(inputs, timestep)
        return {n: self.network.map_of(self.architecture.block(n).name, output) for n, output in outputs.items()}

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32)


def tapped(network: Network, architecture: Architecture, device: str, precision: str) -> TappedBackbone:
    """Put a loaded network on its device, frozen, as a backbone."""
    kind: torch.dtype = getattr(torch, precision)
    module = network.module.eval().requires_grad_(False)
    for part in module.modules():
        if isinstance(part, MULTIPLYING):  # autocast would make the same copy of the weights again at every pass
            part.to(kind)
    module.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # its fourth overload is unannotated
    latents = latents_digest(network.autoencoder, precision) if network.autoencoder else None
    digest = digest_of(network, precision)
    return TappedBackbone(network, architecture, digest, latents, torch.device(device), kind)


def digest_of(network: Network, precision: str) -> str:
    """Return the digest of a backbone, sha256 hex. A hollow network has the same digest as a loaded one."""
    return backbone_digest(folders_of(network), precision, network.schedule)


def folders_of(network: Network) -> tuple[Path, ...]:
    """The folders whose weights and configurations a network's features depend on."""
    return (*network.folders, network.autoencoder) if network.autoencoder else network.folders


def architecture_of(hollow: Network) -> Architecture:
    """Measure the block table by one forward pass on the meta device, which needs no arithmetic and no weights."""
    names = hollow.blocks()
    counter = FlopCounterMode(display=False)
    seen: list[tuple[int, int, float]] = []

    def note(submodule: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            shape = hollow.map_of(submodule, output).shape
            seen.append((shape[1], shape[2], counter.get_total_flops() / 2e9))

        return hook

    for name, _ in names:
        hollow.module.get_submodule(name).register_forward_hook(note(name))
    schedule = hollow.schedule
    with counter, torch.no_grad():
        hollow.run(torch.empty(1, *hollow.input_shape, device="meta"), None if schedule is None else 0)
    table, before = [], 0.0
    for number, ((name, part), (width, side, reached)) in enumerate(zip(names, seen, strict=True), 1):
        table.append(Block(number, name, part, width, side, reached - before, reached))
        before = reached
    if schedule is None:
        return Architecture(hollow.name, hollow.image_side, tuple(table))
    return Architecture(hollow.name, hollow.image_side, tuple(table), schedule.alphas_cumprod, schedule.prediction)


class _DeepestReached(Exception):  # noqa: N818 - a signal, not an error
    pass


@contextmanager
def stopping_after(modules: dict[int, nn.Module], blocks: Collection[int], outputs: dict[int, Any]) -> Iterator[None]:
    """Let forward passes in the context put the outputs of `blocks` into `outputs`, and stop after the deepest."""
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
