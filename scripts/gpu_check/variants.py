"""Rows of speed for torch.compile and CUDA graphs, which the product does not use.

Both need a network that ends at the deepest block by itself: a forward hook cannot stop a compiled one. So the rows
measure a truncated network, and compare its maps with those of the product's passes.
"""

import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from gpu_check.machine import Machine, Sizes
from gpu_check.networks import TIMESTEP, difference, speed_backbone
from gpu_check.processes import ProcessFailedError, in_processes
from gpu_check.rows import Measured, NotRun, Row, one_line
from gpu_check.speed import eager_rate, random_batch
from objectives.backbones.pipeline.schedule import add_noise
from objectives.backbones.tapped import TappedBackbone

TOLERANCE = 2e-2
COMPILE_SECONDS = 110.0

Compiled = dict[str, float | str]


class Truncated(nn.Module):
    """A UNet2DModel that ends at a block of its decoder and returns the block's map. It shares the weights.

    The parts after the block are removed from the given module, which is of no other use afterwards.
    """

    def __init__(self, module: nn.Module, block: str) -> None:
        super().__init__()
        parts = block.split(".")
        if parts[0] != "up_blocks":
            raise ValueError(f"a network can be truncated at a block of its decoder, not at {block}")
        level, kind, number = int(parts[1]), parts[2], int(parts[3])
        network: Any = module
        network.up_blocks = network.up_blocks[: level + 1]
        last = network.up_blocks[level]
        if kind != "upsamplers":
            last.upsamplers = None
            last.resnets = last.resnets[: number + 1]
            if getattr(last, "attentions", None):
                last.attentions = last.attentions[: number + 1]
        network.conv_norm_out = network.conv_act = network.conv_out = nn.Identity()
        self.network = network

    def forward(self, noisy: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        values: torch.Tensor = self.network(noisy, timesteps, return_dict=False)[0]
        return values


class Variant:
    """A truncated network with one batch of inputs on its device, and the map that the product's passes make of it."""

    def __init__(self, backbone: TappedBackbone, deepest: int, batch: int) -> None:
        inputs, noise = random_batch(backbone, batch)
        noisy = add_noise(inputs, noise, backbone.architecture.alphas_cumprod[TIMESTEP])
        self.noisy = noisy.contiguous(memory_format=torch.channels_last)
        self.timesteps = torch.full((batch,), TIMESTEP, device=backbone.device)
        self.expected = backbone.taps(inputs, noise, TIMESTEP, [deepest])[deepest].float().cpu()
        self.device, self.precision = backbone.device, backbone.precision
        self.module = Truncated(backbone.network.module, backbone.architecture.block(deepest).name)

    def run(self, network: Callable[..., torch.Tensor]) -> torch.Tensor:
        """Run a network made of `module`, as the product runs its passes."""
        mixed = self.precision != torch.float32
        autocast = torch.autocast(self.device.type, self.precision, enabled=mixed, cache_enabled=False)
        with torch.no_grad(), autocast:
            return network(self.noisy, self.timesteps)

    def check(self, values: torch.Tensor) -> None:
        """Raise AssertionError if a map differs from the expected one."""
        error = difference(values.float().cpu(), self.expected)
        if not error <= TOLERANCE:
            raise AssertionError(f"the map differs from the product's by {error:.1e}, relative")

    def captured(self, network: Callable[..., torch.Tensor]) -> tuple[torch.cuda.CUDAGraph, torch.Tensor]:
        """Record a run in a CUDA graph. Return the graph and the map that each replay writes."""
        stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):  # warms up, as a recording requires
            for _ in range(3):
                self.run(network)
        torch.cuda.current_stream(self.device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            values = self.run(network)
        values.zero_()
        graph.replay()
        return graph, values


def truncated(machine: Machine) -> Variant:
    """Truncate a network of its own for the variants."""
    backbone = speed_backbone(machine.device.type, machine.sizes, machine.folder)
    return Variant(backbone, machine.sizes.deepest, machine.sizes.variants_batch)


def faster(machine: Machine, rate: float, words: str = "") -> Measured:
    """Compare a rate with that of the product's passes at the same batch."""
    usual, batch = eager_rate(machine), machine.sizes.variants_batch
    note = f"{rate:.1f} images/s, batch {batch}; {usual:.1f} as the product runs{words}"
    return Measured(rate / usual, "times", None, note)


def with_graph(machine: Machine) -> Measured:
    """Measure how many times faster passes are if a CUDA graph replays them."""
    if not machine.is_gpu:
        raise NotRun("CUDA graphs need a GPU")
    eager_rate(machine)  # measured before a second network is in memory
    variant = truncated(machine)
    try:
        graph, values = variant.captured(variant.module)
    except RuntimeError as error:
        raise NotRun(f"a CUDA graph cannot be recorded here: {one_line(error)}") from None
    variant.check(values)
    return faster(machine, machine.sizes.variants_batch / machine.median_seconds(graph.replay))


def compile_in_child(_barrier: Any, device: str, sizes: Sizes, folder: str, seconds: float) -> Compiled:
    """Compile the truncated network and measure it; then replay it by a CUDA graph.

    Returns images per second as "compiled" and "graph", where "graph" may be the reason why there is none; and
    "seconds" until the first result.
    """
    warnings.simplefilter("ignore")  # the compiler's remarks on diffusers' code
    machine = Machine(torch.device(device), sizes, Path(folder))
    machine.begin(seconds)
    variant = truncated(machine)
    compiled = torch.compile(variant.module, dynamic=False, fullgraph=True, backend=sizes.backend)
    since = time.perf_counter()
    variant.check(variant.run(compiled))
    result: Compiled = {"seconds": time.perf_counter() - since}
    result["compiled"] = sizes.variants_batch / machine.median_seconds(lambda: variant.run(compiled))
    if not machine.is_gpu:
        return result | {"graph": "CUDA graphs need a GPU"}
    try:
        graph, values = variant.captured(compiled)
    except RuntimeError as error:
        return result | {"graph": f"a CUDA graph cannot be recorded here: {one_line(error)}"}
    variant.check(values)
    return result | {"graph": sizes.variants_batch / machine.median_seconds(graph.replay)}


def compiled_rates(machine: Machine) -> Compiled:
    """Compile in a process that is ended when the time is over. Raises NotRun with the reason if it does not work."""
    if "compiled" not in machine.memo:
        eager_rate(machine)
        with tempfile.TemporaryDirectory(dir=machine.folder) as folder:
            room = machine.seconds_left()
            try:
                [rates] = in_processes(compile_in_child, [(machine.device.type, machine.sizes, folder, room)], room)
            except ProcessFailedError as reason:
                if "AssertionError" in str(reason):
                    raise
                rates = f"torch.compile does not work here: {reason}"
        machine.memo["compiled"] = rates
    result = machine.memo["compiled"]
    if isinstance(result, str):
        raise NotRun(result)
    return cast(Compiled, result)


def with_compile(machine: Machine) -> Measured:
    """Measure how many times faster passes are if torch.compile has compiled them."""
    rates = compiled_rates(machine)
    words = f"; backend {machine.sizes.backend}, compiled in {float(rates['seconds']):.0f} s"
    return faster(machine, float(rates["compiled"]), words)


def with_compile_and_graph(machine: Machine) -> Measured:
    """Measure how many times faster compiled passes are if a CUDA graph replays them."""
    rate = compiled_rates(machine)["graph"]
    if isinstance(rate, str):
        raise NotRun(rate)
    return faster(machine, rate)


ROWS = [
    Row("cuda-graph", "speed", 25, with_graph),
    Row("torch-compile", "speed", COMPILE_SECONDS, with_compile),
    Row("torch-compile-and-cuda-graph", "speed", 15, with_compile_and_graph),
]
