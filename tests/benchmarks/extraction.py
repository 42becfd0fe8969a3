r"""Measures extraction against its bare forward passes, and these against the machine's matrix multiplication.

    python tests/benchmarks/extraction.py                            # the bundled U-Net on one core
    python tests/benchmarks/extraction.py --backbone adm-256 --random --blocks 6-24 --device cuda \
        --precision bfloat16 --sweep

`--random` takes the architecture alone, with random weights: speed does not depend on them. On the same images,
alternating, the fastest of `--repeats` rounds, since whatever else the machine does only adds:
- `bare`: the network's own forward pass over noised inputs, stopped after the deepest of `--blocks`; nothing is kept.
- `taps`: `Backbone.taps` of all `--blocks`, noised, each pooled to `--pool`.
- `extraction`: `Extractor.fill` from JPEG files to the features on disk: decoding, noise, passes, pooling, writing.
- `again`: the same at another timestep, so that the images are decoded already.
- `hooks`: what a user writes: forward hooks on the wanted modules of the whole network, every map kept, then pooled.
- `matmul`: a square matrix multiply in the same precision, its operations a second.
`--sweep` also times bare passes over batch sizes, early and to the network's end.
"""

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from objectives.backbones.catalog import load_backbone
from objectives.backbones.pipeline.schedule import add_noise
from objectives.backbones.reading import Reading
from objectives.backbones.tapped import TappedBackbone, stopping_after, times_of
from objectives.datasets.catalog import Dataset
from objectives.datasets.images import FileImages
from objectives.features.batches import Batches
from objectives.features.cache.quota import CacheUsage
from objectives.features.extraction import Clock, Extractor
from objectives.features.pooling import pool
from tests.support.random_backbone import random_backbone

TIMESTEP = 90


def photographs(folder: Path, count: int, kept: bool = False) -> Dataset:
    """Make JPEG files of 500x375, crops of the two photographs that scikit-learn ships.

    kept: the files are there already.
    """
    from sklearn.datasets import load_sample_images

    photos = [Image.fromarray(array) for array in load_sample_images().images]
    corners = np.random.default_rng(0).integers(0, (140, 52), size=(count, 2)).tolist()
    names = [f"{number:05d}.jpg" for number in range(count)]

    def save(number: int) -> None:
        left, top = corners[number]
        photos[number % 2].crop((left, top, left + 500, top + 375)).save(folder / names[number], quality=90)

    if not kept:
        with ThreadPoolExecutor() as threads:
            list(threads.map(save, range(count)))
    labels = np.arange(count) % 2
    return Dataset("photographs", ("a", "b"), FileImages(folder, tuple(names)), labels, np.zeros(count, bool))


class Machine:
    """A device, and seconds on it."""

    def __init__(self, name: str) -> None:
        self.device = torch.device(name)

    def seconds(self, work: Callable[[], object]) -> float:
        self._wait()
        since = time.perf_counter()
        work()
        self._wait()
        return time.perf_counter() - since

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @property
    def words(self) -> str:
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"

    def matmul_flops(self, dtype: torch.dtype) -> float:
        """Operations a second of a large square product: two for each multiply-accumulate."""
        side = 8192 if self.device.type == "cuda" else 2048
        one, other = (torch.randn(side, side, device=self.device).to(dtype) for _ in range(2))
        self.seconds(lambda: one @ other)
        return 2 * side**3 / min(self.seconds(lambda: one @ other) for _ in range(10))


def bare(
    backbone: TappedBackbone,
    inputs: torch.Tensor,
    noise: torch.Tensor,
    deepest: int,
    batch: int,
    layout: torch.memory_format = torch.channels_last,
) -> None:
    """The forward pass and nothing else."""
    network, alpha = backbone.network, backbone.architecture.alphas_cumprod[TIMESTEP]
    module = {deepest: network.module.get_submodule(backbone.architecture.block(deepest).name)}
    autocast = torch.autocast(backbone.device.type, backbone.precision, enabled=backbone.precision != torch.float32)
    with torch.no_grad(), autocast:
        for start in range(0, len(inputs), batch):
            rows = slice(start, start + batch)
            noisy = add_noise(inputs[rows], noise[rows], alpha).contiguous(memory_format=layout)
            with stopping_after(module, [deepest], {}):
                network.run(noisy, times_of(noisy, TIMESTEP))


def taps(
    backbone: TappedBackbone, inputs: torch.Tensor, noise: torch.Tensor, grids: dict[int, int], batch: int
) -> list[dict[int, torch.Tensor]]:
    def work(rows: slice) -> dict[int, torch.Tensor]:
        maps = backbone.taps(inputs[rows], noise[rows], TIMESTEP, grids)
        return {block: pool(values.float(), grids[block]).cpu() for block, values in maps.items()}

    return list(Batches(batch).run(len(inputs), work))


def hooks(
    backbone: TappedBackbone, inputs: torch.Tensor, noise: torch.Tensor, grids: dict[int, int], batch: int
) -> dict[int, torch.Tensor]:
    """Forward hooks on the whole network, as diffusers' users write them."""
    alpha = backbone.architecture.alphas_cumprod[TIMESTEP]
    kept: dict[int, list[torch.Tensor]] = {block: [] for block in grids}
    handles = [
        backbone.network.module.get_submodule(backbone.architecture.block(block).name).register_forward_hook(
            lambda _module, _inputs, output, block=block: kept[block].append(output.float())
        )
        for block in grids
    ]
    autocast = torch.autocast(backbone.device.type, backbone.precision, enabled=backbone.precision != torch.float32)
    with torch.no_grad(), autocast:
        for start in range(0, len(inputs), batch):
            rows = slice(start, start + batch)
            noisy = add_noise(inputs[rows], noise[rows], alpha)
            backbone.network.run(noisy, times_of(noisy, TIMESTEP))
    for handle in handles:
        handle.remove()
    return {b: torch.cat([pool(values, grids[b]).cpu() for values in parts]) for b, parts in kept.items()}


def measure(arguments: argparse.Namespace, machine: Machine, backbone: TappedBackbone, folder: Path) -> dict[str, Any]:
    architecture = backbone.architecture
    grids = {b: min(arguments.pool, architecture.block(b).side) for b in arguments.blocks}
    deepest = max(grids)
    (folder / "images").mkdir()
    dataset = photographs(folder / "images", arguments.images)
    shape = (arguments.images, *backbone.network.input_shape)
    inputs, noise = (torch.randn(shape).to(machine.device) for _ in range(2))
    batch = arguments.batch or Batches.fitting(architecture, machine.device).size

    def fill(round_: int, timestep: int) -> Callable[[], object]:
        usage = CacheUsage(folder / f"cache-{round_}")
        extractor = Extractor(backbone, dataset, usage, grids, seed=0)
        return lambda: list(extractor.fill(np.arange(len(dataset)), [timestep], 1, Clock()))

    rows: dict[str, list[float]] = {name: [] for name in ("bare", "taps", "extraction", "again", "hooks")}
    for round_ in range(-1, arguments.repeats):  # the first warms up and does not count
        works: dict[str, Callable[[], object]] = {
            "bare": lambda: bare(backbone, inputs, noise, deepest, batch),
            "taps": lambda: taps(backbone, inputs, noise, grids, batch),
            "extraction": fill(round_, TIMESTEP),
            "again": fill(round_, TIMESTEP + 1),
            "hooks": lambda: hooks(backbone, inputs, noise, grids, batch),
        }
        for name, work in works.items():
            seconds = machine.seconds(work)
            if round_ >= 0:
                rows[name].append(seconds)
    gmacs = architecture.block(deepest).cumulative_gmacs
    peak = machine.matmul_flops(backbone.precision)
    fastest = {name: min(seconds) for name, seconds in rows.items()}
    return {
        "machine": machine.words,
        "backbone": architecture.name,
        "precision": arguments.precision,
        "images": arguments.images,
        "batch": batch,
        "blocks": sorted(grids),
        "share_of_the_network": gmacs / architecture.blocks[-1].cumulative_gmacs,
        "matmul_gmacs_per_second": peak / 2e9,
        "rows": {
            name: {
                "seconds": seconds,
                "images_per_second": arguments.images / seconds,
                "over_bare": seconds / fastest["bare"],
                "share_of_matmul": arguments.images * gmacs / seconds / (peak / 2e9),
            }
            for name, seconds in fastest.items()
        },
        "full_over_early": full_over_early(
            arguments, machine, backbone, inputs, noise, deepest, batch, fastest["bare"]
        ),
    }


def full_over_early(
    arguments: argparse.Namespace, machine: Machine, backbone: TappedBackbone, inputs: torch.Tensor,
    noise: torch.Tensor, deepest: int, batch: int, early: float,
) -> dict[str, float]:  # fmt: skip
    """The cost of stopping early as a share of a pass to the last block, against its share of the GMACs."""
    last = len(backbone.architecture.blocks)
    whole = min(machine.seconds(lambda: bare(backbone, inputs, noise, last, batch)) for _ in range(arguments.repeats))
    gmacs = backbone.architecture.block(deepest).cumulative_gmacs / backbone.architecture.blocks[-1].cumulative_gmacs
    return {"seconds_to_the_end": whole, "share_of_seconds": early / whole, "share_of_gmacs": gmacs,
            "ratio": early / whole / gmacs}  # fmt: skip


def sweep(arguments: argparse.Namespace, machine: Machine, backbone: TappedBackbone) -> list[dict[str, float]]:
    """Images a second and share of the matrix multiply by batch size, to the deepest block and to the end."""
    peak = machine.matmul_flops(backbone.precision)
    found = []
    for deepest in sorted({max(arguments.blocks), len(backbone.architecture.blocks)}):
        gmacs = backbone.architecture.block(deepest).cumulative_gmacs
        for batch in (2**k for k in range(9)):
            try:
                inputs, noise = (torch.randn(batch, *backbone.network.input_shape).to(machine.device) for _ in range(2))
                work = lambda: bare(backbone, inputs, noise, deepest, batch)  # noqa: B023, E731 - called at once
                machine.seconds(work)
                seconds = min(machine.seconds(work) for _ in range(arguments.repeats))
            except torch.OutOfMemoryError:
                break
            rate = batch / seconds
            found.append({"block": deepest, "batch": batch, "images_per_second": rate,
                          "share_of_matmul": rate * gmacs * 2e9 / peak})  # fmt: skip
            if machine.device.type == "cpu" and seconds > 20:
                break
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Benchmark extraction against the bare forward pass.")
    parser.add_argument("--backbone", default="bundled")
    parser.add_argument("--random", action="store_true", help="random weights in the named backbone's architecture")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--blocks", default="4-21", help="first-last, all of which are kept")
    parser.add_argument("--pool", type=int, default=4)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--batch", type=int, help="[default: what extraction chooses]")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    first, last = map(int, arguments.blocks.split("-"))
    arguments.blocks = range(first, last + 1)
    torch.set_num_threads(arguments.threads)
    machine = Machine(arguments.device)
    name, device, precision = arguments.backbone, arguments.device, arguments.precision
    backbone = (
        random_backbone(name, device, precision)
        if arguments.random
        else load_backbone(name, Reading(precision=precision), device)
    )
    assert isinstance(backbone, TappedBackbone)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(arguments, machine, backbone, Path(folder))
    print(f"{result['backbone']} to block {last}, {arguments.precision}, batch {result['batch']}, {result['machine']}; "
          f"matrix multiply {result['matmul_gmacs_per_second']:,.0f} GMAC/s")  # fmt: skip
    print(f"{'':12}{'seconds':>9}{'images/s':>10}{'over bare':>11}{'of matmul':>11}")
    for name, row in result["rows"].items():
        print(f"{name:12}{row['seconds']:9.2f}{row['images_per_second']:10.1f}{row['over_bare']:11.3f}"
              f"{100 * row['share_of_matmul']:10.1f}%")  # fmt: skip
    early = result["full_over_early"]
    print(f"stopping at block {last}: {100 * early['share_of_seconds']:.1f} % of the seconds to the end for "
          f"{100 * early['share_of_gmacs']:.1f} % of the GMACs, ratio {early['ratio']:.3f}")  # fmt: skip
    if arguments.sweep:
        result["sweep"] = sweep(arguments, machine, backbone)
        for row in result["sweep"]:
            print(f"block {row['block']:3d}  batch {row['batch']:4d}  {row['images_per_second']:9.1f} images/s  "
                  f"{100 * row['share_of_matmul']:5.1f} % of matmul")  # fmt: skip
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
