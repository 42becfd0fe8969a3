r"""Measures the cost of the feature cache over plain files, how processes share it, and the time to find all there.

    python tests/benchmarks/cache.py
    python tests/benchmarks/cache.py --images 4000 --channels 640 --grid 4        # few large rows instead

A stand-in for the network has its maps ready at once, the same few random values again and again, so that the cache
itself is what is timed. In the same run, on the same disk, alternating, the fastest of `--repeats` rounds:
- `fill`: float32 maps of all blocks, chunk by chunk of 256 images, to float16 on disk. `cache` is `Extractor.fill`,
  with claims, look-ups, digests and the reading of kept pixels; `shards` is `ShardWriter` alone; `memmap` is one numpy
  memmap for each block; `safetensors` is one `save_file` for each chunk. Nobody waits for the disk (`fsync`).
- `read`: one block of all images as one float32 tensor: `FeatureCache.read` against the memmap, and against each
  chunk's `safe_open`. `warm` is from the page cache; before `cold` the files were written out and dropped from it
  (`posix_fadvise`), as far as this machine's system sees it.
- `look`: a fill that finds everything there, in a process that knows the folder, and in one that does not.
- `processes`: several fill one cache with a network that takes `--milliseconds` for each image, all wanting the images
  in one order, as trials do, and each in another, so that no chunk of one is a chunk of another. `over ideal` is to the
  seconds of all passes, shared out evenly. `waiting` is the share of their time in which they found nothing to do.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from objectives.datasets.dataset import Dataset
from objectives.features.cache import shard_folder
from objectives.features.cache.image_index import ImageIndex
from objectives.features.cache.quota import CacheUsage
from objectives.features.cache.shards import FLOAT16, Column, ShardWriter, image_keys
from objectives.features.extraction import SHARD_IMAGES, Clock, Extractor
from spaces import Architecture, Block, Setting

SIDE = 8
CONTEXT = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Named:
    """Images that are nothing but a number and one small picture; hashed once."""

    digests: tuple[str, ...]
    picture: Image.Image = field(default_factory=lambda: Image.new("RGB", (SIDE, SIDE)))

    def __len__(self) -> int:
        return len(self.digests)

    def name(self, i: int) -> str:
        return f"image {i}"

    def digest(self, i: int) -> str:
        return self.digests[i]

    def read(self, i: int) -> Image.Image:
        return self.picture

    def keep(self, indices: Iterable[int]) -> Self:
        return type(self)(tuple(self.digests[i] for i in indices), self.picture)

    @property
    def in_memory(self) -> bool:
        return False


@dataclass
class Ready:
    """A backbone whose maps are there already. values: block → float32 (SHARD_IMAGES, c, grid, grid)."""

    values: dict[int, torch.Tensor]
    milliseconds: float = 0.0
    passed: "Synchronized[int]" = field(default_factory=lambda: CONTEXT.Value("q", 0))
    digest: str = "0" * 64
    latents: str | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @cached_property
    def architecture(self) -> Architecture:
        channels, grid = self.values[1].shape[1:3]
        blocks = [Block(b, f"block-{b}", "encoder", channels, grid, 1e-3, b * 1e-3) for b in self.values]
        return Architecture("ready", SIDE, tuple(blocks))

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels

    def taps(
        self, inputs: torch.Tensor, noise: torch.Tensor | None, timestep: int | None, blocks: Collection[int]
    ) -> dict[int, torch.Tensor]:
        with self.passed.get_lock():
            self.passed.value += len(inputs)
        if self.milliseconds:
            time.sleep(len(inputs) * self.milliseconds / 1e3)
        return {block: self.values[block][: len(inputs)] for block in blocks}


def ready(arguments: argparse.Namespace) -> Ready:
    """Eight images' values over and over, so that batches of any size make the same chunks."""
    shape, generator = (8, arguments.channels, arguments.grid, arguments.grid), torch.Generator().manual_seed(0)
    repeats = (SHARD_IMAGES // 8, 1, 1, 1)
    blocks = range(1, arguments.blocks + 1)
    return Ready({block: torch.randn(shape, generator=generator).repeat(repeats) for block in blocks})


def numbered(count: int) -> Dataset:
    digests = tuple(hashlib.sha256(str(i).encode()).hexdigest() for i in range(count))
    return Dataset("numbered", ("a", "b"), Named(digests), np.arange(count) % 2, np.zeros(count, bool))


class Store:
    """The work of this benchmark by one peer, in a folder that it has for itself."""

    def __init__(self, folder: Path, network: Ready, dataset: Dataset) -> None:
        self.folder, self.network, self.dataset = folder, network, dataset
        self.shape = tuple(network.values[1].shape[1:])

    def fill(self) -> None:
        raise NotImplementedError

    def read(self, block: int) -> torch.Tensor:
        """float32 (n, c, grid, grid)."""
        raise NotImplementedError

    def chunks(self) -> Iterator[tuple[slice, dict[int, torch.Tensor]]]:
        """Rows of a chunk, and its maps as the network gives them."""
        for start in range(0, len(self.dataset), SHARD_IMAGES):
            rows = slice(start, min(start + SHARD_IMAGES, len(self.dataset)))
            yield rows, {b: values[: rows.stop - start] for b, values in self.network.values.items()}

    def empty(self) -> torch.Tensor:
        return torch.empty(len(self.dataset), *self.shape)


class Cache(Store):
    def __init__(self, folder: Path, network: Ready, dataset: Dataset) -> None:
        super().__init__(folder, network, dataset)
        self.every = np.arange(len(dataset))
        self.extractor = self.new_extractor()
        for start in range(0, len(dataset), SHARD_IMAGES):  # decode, and read the images' digests
            with ExitStack() as held:
                self.extractor._inputs.read(self.every[start : start + SHARD_IMAGES], held)

    def new_extractor(self) -> Extractor:
        grid = self.shape[-1]
        usage, grids = CacheUsage(self.folder), dict.fromkeys(self.network.values, grid)
        return Extractor(self.network, self.dataset, usage, grids, seed=0)

    def fill(self) -> None:
        self.clock = Clock()
        *_, last = self.extractor.fill(self.every, [None], 1, self.clock)
        assert last.done == last.total == len(self.dataset)

    def read(self, block: int) -> torch.Tensor:
        values = self.extractor.read(self.every, Setting(None, block, self.shape[-1], "linear"))
        assert values is not None
        return values


class Shards(Store):
    """Writes what the cache writes, without look-ups and claims."""

    def fill(self) -> None:
        keys = image_keys(self.dataset.images.digests)  # type: ignore[attr-defined]
        columns = {str(block): Column(FLOAT16, self.shape) for block in self.network.values}
        for rows, maps in self.chunks():
            with ShardWriter(self.folder / "a.part", keys[rows], columns) as writer:
                writer.append({str(block): values for block, values in maps.items()})
                writer.commit(self.folder / f"{rows.start}.safetensors", 1.0)


class Memmap(Store):
    def _open(self, block: int, mode: Any) -> np.memmap[Any, Any]:
        return np.memmap(self.folder / f"{block}.bin", np.float16, mode, shape=(len(self.dataset), *self.shape))

    def fill(self) -> None:
        files = {block: self._open(block, "w+") for block in self.network.values}
        for rows, maps in self.chunks():
            for block, values in maps.items():
                files[block][rows] = values.half().numpy()  # four times as fast as numpy's own conversion

    def read(self, block: int) -> torch.Tensor:
        return torch.from_numpy(self._open(block, "c")).float()


class Safetensors(Store):
    def fill(self) -> None:
        for rows, maps in self.chunks():
            save_file({str(b): values.half() for b, values in maps.items()}, self.folder / f"{rows.start}.safetensors")

    def read(self, block: int) -> torch.Tensor:
        result = self.empty()
        for rows, _ in self.chunks():
            with safe_open(self.folder / f"{rows.start}.safetensors", framework="pt") as file:
                result[rows] = file.get_tensor(str(block))
        return result


PEERS: dict[str, type[Store]] = {"cache": Cache, "shards": Shards, "memmap": Memmap, "safetensors": Safetensors}


def seconds(work: Callable[[], object]) -> float:
    since = time.perf_counter()
    work()
    return time.perf_counter() - since


def drop(folder: Path) -> None:
    """Out of the page cache; what is not on disk yet would stay."""
    for path in filter(Path.is_file, folder.rglob("*")):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def rates(arguments: argparse.Namespace, network: Ready, dataset: Dataset, folder: Path) -> dict[str, Any]:
    """Fastest seconds by work and peer. Every round fills, reads warm and reads cold, one peer after the other."""
    found: dict[str, dict[str, float]] = {"fill": {}, "read warm": {}, "read cold": {}}

    def note(work: str, peer: str, taken: float) -> None:
        found[work][peer] = min(taken, found[work].get(peer, taken))

    for round_ in range(arguments.repeats):
        folder.mkdir()
        stores: dict[str, Store] = {}
        for name, peer in PEERS.items():
            place = folder / f"{name}-{round_}"
            place.mkdir()
            stores[name] = peer(place, network, dataset)
            os.sync()  # so that no one's writing is held up by what was written before
            note("fill", name, seconds(stores[name].fill))
        del stores["shards"]
        blocks = np.random.default_rng(round_).permutation(sorted(network.values))[:3].tolist()
        for block in blocks:
            values = [store.read(block) for store in stores.values()]
            assert all(torch.equal(values[0], other) for other in values)
            del values
            for name, store in stores.items():
                note("read warm", name, seconds(lambda: store.read(block)))  # noqa: B023 - called at once
        for block in blocks:
            for name, store in stores.items():
                drop(store.folder)
                note("read cold", name, seconds(lambda: store.read(block)))  # noqa: B023 - called at once
        cache = stores["cache"]
        assert isinstance(cache, Cache)
        if round_ == arguments.repeats - 1:
            looks = look(cache, arguments.repeats)
        shutil.rmtree(folder)
    return {"seconds": found, "look": looks}


def look(cache: Cache, repeats: int) -> dict[str, float]:
    """Seconds of a fill that makes nothing."""

    def nothing(extractor: Extractor) -> None:
        clock = Clock()
        *_, last = extractor.fill(cache.every, [None], 1, clock)
        assert last.done == last.total
        assert clock.passes == 0

    def first() -> float:
        shard_folder.IMAGE_INDEX = ImageIndex()
        extractor = cache.new_extractor()
        extractor._inputs.keys  # noqa: B018 - the images' digests are the dataset's matter
        return seconds(lambda: nothing(extractor))

    return {
        "known": min(seconds(lambda: nothing(cache.extractor)) for _ in range(repeats)),
        "first": min(first() for _ in range(repeats)),
    }


def together(
    arguments: argparse.Namespace, dataset: Dataset, folder: Path, count: int, *, shuffled: bool
) -> dict[str, float]:
    """`count` processes on one cache."""
    network = ready(arguments)
    network.milliseconds = arguments.milliseconds
    folder.mkdir()
    cache = Cache(folder, network, dataset)
    waited = CONTEXT.Value("d", 0.0)

    def work(seed: int) -> None:
        if shuffled:
            cache.every = np.random.default_rng(seed).permutation(len(dataset))
        cache.fill()
        with waited.get_lock():
            waited.value += cache.clock.seconds.get("wait", 0.0)

    processes = [CONTEXT.Process(target=work, args=(seed,)) for seed in range(count)]
    since = time.perf_counter()
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    taken = time.perf_counter() - since
    assert all(process.exitcode == 0 for process in processes)
    shutil.rmtree(folder)
    ideal = len(dataset) * arguments.milliseconds / 1e3 / count
    return {
        "processes": count,
        "shuffled": shuffled,
        "seconds": taken,
        "over_ideal": taken / ideal,
        "passes": network.passed.value,
        "needed": len(dataset),
        "waiting_share": waited.value / (taken * count),
    }


def show(result: dict[str, Any], megabytes: dict[str, float]) -> None:
    print(f"{result['images']:,} images x {result['blocks']} blocks of {result['map']}, {result['machine']}")
    for work, peers in result["seconds"].items():
        best = min(taken for peer, taken in peers.items() if peer in ("memmap", "safetensors"))
        for peer, taken in peers.items():
            rate, ratio = megabytes[work] / taken, best / taken
            print(f"{work:10} {peer:12}{taken:9.3f} s{rate:10.0f} MB/s{ratio:8.2f} of the better")
    for name, taken in result["look"].items():
        print(f"look, {name:17}{taken:9.4f} s")
    for row in result["processes"]:
        passes, waiting = f"{row['passes']:,} passes of {row['needed']:,} needed", 100 * row["waiting_share"]
        order = "each its order" if row["shuffled"] else "one order"
        print(
            f"{row['processes']} processes, {order:14} {row['seconds']:8.2f} s  {row['over_ideal']:.2f} over ideal, ",
            end="",
        )
        print(f"{passes}, {waiting:.1f} % waiting")


def main() -> None:
    parser = argparse.ArgumentParser(description="Benchmark the feature cache against plain files.")
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--blocks", type=int, default=24)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--grid", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 2, 4, 8])
    parser.add_argument("--shared-images", type=int, default=20_000, help="images of the processes' common cache")
    parser.add_argument("--milliseconds", type=float, default=1.0, help="of the processes' network, an image")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="on the disk to measure [default: the system's temporary folder]")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    network, row_bytes = ready(arguments), 2 * arguments.channels * arguments.grid**2
    result: dict[str, Any] = {
        "machine": f"{platform.machine()} CPU, {os.cpu_count()} cores, {arguments.threads} threads",
        "images": arguments.images,
        "blocks": arguments.blocks,
        "map": f"{arguments.channels}x{arguments.grid}x{arguments.grid}",
    }
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        result |= rates(arguments, network, numbered(arguments.images), Path(folder) / "rates")
        shared = numbered(arguments.shared_images)
        result["processes"] = [
            together(arguments, shared, Path(folder) / "shared", count, shuffled=shuffled)
            for shuffled in (False, True)
            for count in arguments.processes
        ]
    read = arguments.images * row_bytes / 1e6
    show(result, {"fill": read * arguments.blocks, "read warm": read, "read cold": read})
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
