r"""The images per second that the pipeline around the network can make, by part, per CPU core.

    python tests/benchmarks/pipeline.py [--images 512] [--timesteps 1] [--cores 1 2] [--out FILE.json]

The network costs nothing: it returns prepared maps of the shapes of ADM-256, block 24. So no GPU can be fed faster. The
images are JPEG files of 500 x 375 pixels, read as squares of 256.

Each row runs in a process of its own that may use `--cores` cores (by its affinity), the fastest of `--repeats` runs:
- `decode`: JPEG file → square pixels.
- `noise`: noise for an image of 3 x 256 x 256.
- `pool`: maps 512 x 32 x 32 → 4 x 4. A GPU does this itself.
- `write`: pooled features and pixels → shards on disk, with digests.
- `parts`: the sum of the four, as if nothing overlapped and nothing waited.
- `pipeline`: `Extractor.fill`, from JPEG files to the shards of features and pixels on disk.
- `again`: the same at another timestep, so that the pixels are in the cache.
`per core` divides by the CPU seconds that the process took, `CPU` is their share of the cores' time. A row with little
CPU waits for something.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from objectives.datasets.dataset import Dataset
from objectives.datasets.images import square_pixels
from objectives.features.cache.quota import CacheUsage
from objectives.features.cache.shards import FLOAT16, UINT8, Column, ShardWriter, image_keys
from objectives.features.extraction import Clock, Extractor
from objectives.features.noise import noise_for
from objectives.features.pooling import pool
from spaces import Architecture, Block
from tests.benchmarks.extraction import photographs

SIDE, CHANNELS, MAP_SIDE, POOL = 256, 512, 32, 4
BLOCK = Block(1, "block", "decoder", CHANNELS, MAP_SIDE, 1.0, 1.0)


@dataclass(frozen=True)
class FreeBackbone:
    """A backbone without any arithmetic: its maps are the same prepared ones for all images."""

    maps: torch.Tensor
    architecture: Architecture
    device: torch.device
    digest: str = "f" * 64
    latents: None = None

    @classmethod
    def build(cls) -> "FreeBackbone":
        alphas = tuple(np.linspace(0.999, 0.001, 1000).tolist())
        architecture = Architecture("free", SIDE, (BLOCK,), alphas, "epsilon")
        return cls(torch.randn(256, CHANNELS, MAP_SIDE, MAP_SIDE), architecture, torch.device("cpu"))

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels

    def taps(
        self, inputs: torch.Tensor, noise: torch.Tensor | None, timestep: int | None, blocks: Collection[int]
    ) -> dict[int, torch.Tensor]:
        return {1: self.maps[: len(inputs)]}


def works(dataset: Dataset, folder: Path, timesteps: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield each part of the pipeline, and the work that measures it."""
    indices = np.arange(len(dataset))
    digests = [dataset.images.digest(i) for i in range(len(dataset))]
    backbone, usage = FreeBackbone.build(), CacheUsage(folder / "cache")
    first, others = [90], [90 + 10 * number for number in range(1, timesteps + 1)]

    def chunks() -> Iterator[np.ndarray]:
        return iter(np.array_split(indices, max(1, len(indices) // 256)))

    def write() -> None:
        pixels = torch.zeros(256, 3, SIDE, SIDE, dtype=torch.uint8)
        rows = torch.randn(256, CHANNELS, POOL, POOL)
        for chunk in chunks():
            keys = image_keys([digests[i] for i in chunk])
            for name, values in (("features", rows), ("pixels", pixels)):
                column = Column(FLOAT16 if name == "features" else UINT8, tuple(values.shape[1:]))
                with ShardWriter(folder / f"{name}.part", keys, {name: column}) as writer:
                    writer.append({name: values[: len(chunk)]})
                    writer.commit(folder / f"{name}.safetensors", 1.0)

    def fill(steps: list[int]) -> None:
        list(Extractor(backbone, dataset, usage, {1: POOL}, seed=0).fill(indices, list(steps), 1, Clock()))

    yield "decode", lambda: [square_pixels(dataset.images, chunk, SIDE) for chunk in chunks()]
    yield "noise", lambda: [noise_for([digests[i] for i in chunk], 0, 90, 0, (3, SIDE, SIDE)) for chunk in chunks()]
    yield "pool", lambda: [pool(backbone.maps[: len(chunk)], POOL) for chunk in chunks()]
    yield "write", write
    yield "pipeline", lambda: fill(first)
    yield "again", lambda: fill(others)


def measure(images: Path, count: int, timesteps: int) -> dict[str, dict[str, float]]:
    """Run every part once, on the cores of this process. Return its seconds and its CPU seconds."""
    dataset = photographs(images, count, kept=True)
    rows = {}
    with tempfile.TemporaryDirectory(dir=images.parent) as folder:
        for name, work in works(dataset, Path(folder), timesteps):
            since, used = time.perf_counter(), time.process_time()
            work()
            rows[name] = {"seconds": time.perf_counter() - since, "cpu": time.process_time() - used}
            if name == "again":
                rows[name] = {key: value / timesteps for key, value in rows[name].items()}
    parts = [rows[name] for name in ("decode", "noise", "pool", "write")]
    rows["parts"] = {key: sum(part[key] for part in parts) for key in ("seconds", "cpu")}
    return rows


def best_of(runs: list[dict[str, dict[str, float]]], images: int, cores: int) -> dict[str, dict[str, float]]:
    """Return the fastest run of each row, as rates."""
    fastest = {name: min((run[name] for run in runs), key=lambda row: row["seconds"]) for name in runs[0]}
    return {
        name: {
            "images_per_second": images / row["seconds"],
            "images_per_cpu_second": images / row["cpu"],
            "cpu_share": row["cpu"] / row["seconds"] / cores,
        }
        for name, row in fastest.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Benchmark the pipeline around the network.")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--timesteps", type=int, default=2, help="of `again`")
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        torch.set_num_threads(len(os.sched_getaffinity(0)))
        print(json.dumps(measure(arguments.child, arguments.images, arguments.timesteps)))
        return
    allowed, result = sorted(os.sched_getaffinity(0)), {}
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images"
        images.mkdir()
        photographs(images, arguments.images)
        for cores in arguments.cores:
            runs: list[Any] = []
            for _ in range(arguments.repeats):
                command = [sys.executable, __file__, "--child", str(images), "--images", str(arguments.images),
                           "--timesteps", str(arguments.timesteps)]  # fmt: skip
                ran = subprocess.run(
                    command, check=True, capture_output=True, text=True,
                    preexec_fn=lambda: os.sched_setaffinity(0, allowed[:cores]),  # noqa: B023 - called at once
                )  # fmt: skip
                runs.append(json.loads(ran.stdout))
            result[cores] = best_of(runs, arguments.images, cores)
    print(f"{arguments.images} images, {platform.machine()}, load {os.getloadavg()[0]:.1f}")
    for cores, rows in result.items():
        print(f"\n{cores} core{'s' if cores > 1 else ' '}     images/s  per core   CPU")
        for name, row in rows.items():
            rate, per_core = row["images_per_second"], row["images_per_cpu_second"]
            print(f"{name:10}{rate:11.0f}{per_core:10.0f}{100 * row['cpu_share']:5.0f}%")
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
