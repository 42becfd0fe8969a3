"""Rows of speed: forward passes of ADM-256 against the matrix product of the same run."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import cast

import torch

from gpu_check.machine import Machine, Sizes
from gpu_check.networks import TIMESTEP, difference
from gpu_check.rows import Bar, Measured, NotRun, Row
from objectives.backbones.tapped import TappedBackbone
from objectives.features.batches import Batches
from tests.benchmarks.extraction import bare


def matrix_product(machine: Machine) -> Measured:
    """Measure the peak with which passes are compared."""
    return Measured(machine.peak / 1e12, "TFLOP/s", None, "bfloat16, random numbers, the best of ten")


def random_batch(backbone: TappedBackbone, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return random inputs and noise on the device."""
    generator = torch.Generator(backbone.device).manual_seed(0)
    shape = (batch, *backbone.network.input_shape)
    inputs, noise = (torch.randn(shape, generator=generator, device=backbone.device) for _ in range(2))
    return inputs, noise


def images_per_second(machine: Machine, deepest: int, batch: int) -> float:
    """Measure bare forward passes to a block. Raises NotRun if they do not fit into memory."""
    backbone = machine.speed_backbone
    try:
        inputs, noise = random_batch(backbone, batch)
        return batch / machine.median_seconds(lambda: bare(backbone, inputs, noise, deepest, batch))
    except torch.OutOfMemoryError:
        raise NotRun(f"a batch of {batch} does not fit into memory") from None


def share_of_peak(machine: Machine, rate: float, deepest: int) -> float:
    """Return the share of the matrix product's speed, in %, that a rate in images per second reaches."""
    gmacs = machine.speed_backbone.architecture.block(deepest).cumulative_gmacs
    return 100 * rate * gmacs * 2e9 / machine.peak


def network_words(machine: Machine) -> str:
    return machine.speed_backbone.architecture.name if machine.sizes.adm_256 else "a small ADM network"


def product_batch(machine: Machine) -> int:
    """Return the batch that extraction chooses."""
    return Batches.fitting(machine.speed_backbone.architecture, machine.device).size


def passes(to_the_end: bool, machine: Machine) -> Measured:
    """Measure passes at the batch that extraction chooses. To the deepest block there is a bar on a real GPU."""
    deepest = len(machine.speed_backbone.architecture.blocks) if to_the_end else machine.sizes.deepest
    batch = product_batch(machine)
    rate = images_per_second(machine, deepest, batch)
    share = share_of_peak(machine, rate, deepest)
    bar = Bar(45, at_least=True) if machine.sizes.adm_256 and not to_the_end else None
    return Measured(
        share, "% of peak", bar, f"{network_words(machine)} to block {deepest}: {rate:.1f} images/s, batch {batch}"
    )


def swept(batch: int, machine: Machine) -> Measured:
    """Measure one batch of the sweep, to the deepest block."""
    deepest = machine.sizes.deepest
    rate = images_per_second(machine, deepest, batch)
    note = f"to block {deepest}: {share_of_peak(machine, rate, deepest):.1f} % of peak"
    return Measured(rate, "images/s", None, note)


def large_batch_equal(machine: Machine) -> Measured:
    """Compare the last images of a batch as large as extraction chooses with the same images in a batch of two.

    Maps of more than 2**31 numbers make wrong indices in kernels that count with 32 bits.
    """
    backbone, batch = machine.speed_backbone, product_batch(machine)
    blocks = sorted({1, machine.sizes.deepest, len(backbone.architecture.blocks)})
    inputs, noise = random_batch(backbone, batch)
    largest = max(block.channels * block.side**2 for block in backbone.architecture.blocks) * batch
    with torch.no_grad():
        large = {b: v[-2:].clone() for b, v in backbone.taps(inputs, noise, TIMESTEP, blocks).items()}
        small = backbone.taps(inputs[-2:], noise[-2:], TIMESTEP, blocks)
    errors = {block: difference(large[block].float().cpu(), small[block].float().cpu()) for block in blocks}
    worst = max(errors, key=lambda block: errors[block])
    note = f"batch {batch}, block {worst}; the largest map has {largest / 2**31:.2f} x 2^31 numbers"
    return Measured(errors[worst], "relative", Bar(2e-2), note)


@contextmanager
def contiguous_layout(backbone: TappedBackbone) -> Iterator[None]:
    """Give the weights the layout of torch's default while the context lasts."""
    module = backbone.network.module
    module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # its fourth overload is unannotated
    try:
        yield
    finally:
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


@contextmanager
def cudnn_benchmark(_: TappedBackbone) -> Iterator[None]:
    """Let cuDNN try its algorithms and take the fastest."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def eager_rate(machine: Machine) -> float:
    """Return images per second at the variants' batch, as the product runs its passes."""
    if "eager" not in machine.memo:
        machine.memo["eager"] = images_per_second(machine, machine.sizes.deepest, machine.sizes.variants_batch)
    return cast(float, machine.memo["eager"])


def without_channels_last(machine: Machine) -> Measured:
    """Measure how many times faster the layout `channels_last` is, which the product uses."""
    rate, batch, deepest = eager_rate(machine), machine.sizes.variants_batch, machine.sizes.deepest
    backbone = machine.speed_backbone
    inputs, noise = random_batch(backbone, batch)
    with contiguous_layout(backbone):
        seconds = machine.median_seconds(lambda: bare(backbone, inputs, noise, deepest, batch, torch.contiguous_format))
    note = f"{rate:.1f} images/s with it, {batch / seconds:.1f} without, batch {batch}"
    return Measured(rate * seconds / batch, "times", None, note)


def with_cudnn_benchmark(machine: Machine) -> Measured:
    """Measure how many times faster passes are if cuDNN tries its algorithms first."""
    if not machine.is_gpu:
        raise NotRun("cuDNN needs a GPU")
    rate, batch = eager_rate(machine), machine.sizes.variants_batch
    with cudnn_benchmark(machine.speed_backbone):
        faster = images_per_second(machine, machine.sizes.deepest, batch)
    return Measured(
        faster / rate, "times", None, f"{faster:.1f} images/s, batch {batch}; {rate:.1f} as the product runs"
    )


def rows(sizes: Sizes) -> list[Row]:
    """Return the rows; the sweep's names are its batches."""
    return [
        Row("matrix-product", "speed", 10, matrix_product),
        Row("passes-to-block", "speed", 30, partial(passes, False)),
        Row("passes-to-end", "speed", 20, partial(passes, True)),
        Row("large-batch-equal", "speed", 20, large_batch_equal),
        *(Row(f"batch-{batch}", "speed", 15, partial(swept, batch)) for batch in sizes.batches),
        Row("channels-last", "speed", 15, without_channels_last),
        Row("cudnn-benchmark", "speed", 20, with_cudnn_benchmark),
    ]
