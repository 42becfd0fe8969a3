"""Plans a search before its first forward pass: an upper bound on its passes, bytes and seconds."""

import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from objectives.datasets.dataset import Dataset
from objectives.features.cache.feature_cache import FeatureCache, Source, deepest_block, image_bytes
from objectives.features.cache.quota import LATENTS, PIXELS, CacheUsage
from objectives.features.cache.shards import KEY_BYTES, image_keys
from objectives.sizes import size_in_words
from spaces import CacheError, Space


@final
@dataclass(frozen=True)
class Demand:
    """The forward passes that a search needs at most.

    A search needs every timestep of the space, or one timestep for each tap of each trial if those are fewer.

    training: keys of the images that every setting needs. tested: keys of the images that only finalists need.
    trials, finalists: numbers of settings. pixels: bytes kept for each image besides its features.
    """

    training: np.ndarray
    tested: np.ndarray
    trials: int
    finalists: int
    pixels: int

    @classmethod
    def of(cls, datasets: Sequence[Dataset], image_side: int, trials: int, finalists: int) -> "Demand":
        """Count from datasets: the dataset of the search first, then those with more training images."""
        keys = [image_keys([dataset.images.digest(i) for i in range(len(dataset))]) for dataset in datasets]
        training = np.concatenate([k[~dataset.is_test] for k, dataset in zip(keys, datasets, strict=True)])
        pixels = 0 if datasets[0].images.in_memory else 3 * image_side**2
        return cls(training, keys[0][datasets[0].is_test], trials, finalists, pixels)

    def passes(self, space: Space) -> int:
        """Return the largest number of forward passes, each of one image."""
        training, tested = (self.timesteps(space, settings) for settings in (self.trials, self.finalists))
        at_a_timestep = sum(space.forward_passes.values()) // len(space.timesteps)
        return at_a_timestep * (training * len(self.training) + min(training, tested) * len(self.tested))

    def timesteps(self, space: Space, settings: int) -> int:
        """Return the largest number of timesteps that this number of settings reads."""
        return min(len(space.timesteps), settings * max(space.taps))

    def bytes(self, space: Space) -> int:
        """Return the bytes that the forward passes and their images take in the cache."""
        per_pass = image_bytes(space.architecture, space.grids) + KEY_BYTES
        return self.passes(space) * per_pass + (len(self.training) + len(self.tested)) * self.pixels


@final
@dataclass(frozen=True)
class Plan:
    """An upper bound on what a search takes.

    folders: the folders of all shards that the search may read. passes: forward passes, of which `cached` are in the
    cache.
    bytes: the size of the results of all passes. new_bytes: the size of those that are not in the cache.
    pass_seconds: estimated seconds of a worker for one pass; None if the speed is not known.
    cached_passes: (timestep, whether clean), as in `Space.forward_passes` → number of passes in the cache, averaged
    over the training images.
    """

    space: Space
    demand: Demand
    folders: tuple[Path, ...]
    passes: int
    cached: int
    bytes: int
    new_bytes: int
    pass_seconds: float | None
    cached_passes: Mapping[tuple[int | None, bool], float]

    @property
    def seconds(self) -> float | None:
        """The seconds of one worker for the passes that are not in the cache; None if the speed is not known."""
        return None if self.pass_seconds is None else (self.passes - self.cached) * self.pass_seconds

    def words(self) -> str:
        """Return the passes and bytes as one line for people."""
        if self.cached == self.passes:
            return f"plan: all {self.passes:,} passes are in the cache"
        cached = f", {self.cached:,} of them in the cache" if self.cached else ""
        return f"plan: at most {self.passes:,} passes{cached}; {size_in_words(self.new_bytes)} to be written"


def plan_passes(
    demand: Demand, space: Space, source: Source, usage: CacheUsage, expected_speed: Callable[[], float | None]
) -> Plan:
    """Count the forward passes that are missing in the cache, and estimate their bytes and seconds.

    source: that of the backbone's features. expected_speed: called if no pass of this source was made yet; returns
    the speed of one worker in GMAC per second, or None if it is not known.
    """
    cache = FeatureCache(usage.folder)
    missing: dict[tuple[int | None, bool], tuple[int, int]] = {}
    for (timestep, clean), count in space.forward_passes.items():
        keys = source.passes(timestep, 0 if clean else count)
        for key in keys:
            cache.folder_of(key).refresh()
        lacking = (
            sum(int(cache.missing(key, images, space.grids).any(axis=1).sum()) for key in keys)
            for images in (demand.training, demand.tested)
        )
        missing[timestep, clean] = next(lacking), next(lacking)
    trained, finals = (demand.timesteps(space, settings) for settings in (demand.trials, demand.finalists))
    training, tested = (
        sorted(
            (sum(missing.get((t, kind), (0, 0))[part] for kind in (False, True)) for t in space.timesteps), reverse=True
        )
        for part in (0, 1)
    )
    made = sum(training[:trained]) + sum(tested[: min(trained, finals)])
    passes, total = demand.passes(space), demand.bytes(space)
    speed = gmacs_per_second(cache, source, space) or expected_speed()
    pass_seconds = None if speed is None else space.architecture.block(max(space.blocks)).cumulative_gmacs / speed
    folders = (*(usage.folder / kind for kind in (LATENTS, PIXELS)), *cache.folders())
    new_bytes = math.ceil(total * made / max(passes, 1))
    cached_passes = {
        kind: count - missing[kind][0] / max(len(demand.training), 1) for kind, count in space.forward_passes.items()
    }
    return Plan(space, demand, folders, passes, passes - made, total, new_bytes, pass_seconds, cached_passes)


def gmacs_per_second(cache: FeatureCache, source: Source, space: Space) -> float | None:
    """Return the speed of one worker in GMAC per second, from cached passes of this source; None if there are none."""
    gmacs = seconds = 0.0
    folders = {f"features/{digest[:16]}" for digest in (source.noised, source.clean)}
    for shard in CacheUsage(cache.folder).shards(sorted(folders)):
        deepest = deepest_block(shard.columns)
        gmacs += shard.images * space.architecture.block(deepest).cumulative_gmacs
        seconds += shard.seconds
    return gmacs / seconds if seconds > 0 else None


def expected_gmacs_per_second() -> float:
    """Measure a matrix product, and return the expected speed of one worker on one core in GMAC per second.

    The expected speed is 0.8 times that of the product (docs/benchmarks.md).
    """
    import torch

    left, right = torch.ones(1024, 1024), torch.ones(1024, 1024)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times = []
        for _ in range(4):
            since = time.perf_counter()
            torch.mm(left, right)
            times.append(time.perf_counter() - since)
    finally:
        torch.set_num_threads(threads)
    return 0.8 * 1024**3 / 1e9 / min(times)


def check_room(plan: Plan, usage: CacheUsage) -> None:
    """Raises CacheError if the limit or the disk has no room for the plan. The message says which plans would fit."""
    if usage.limit is not None and plan.bytes > usage.limit:
        raise CacheError(
            f"the search may need {size_in_words(plan.bytes)} of cached features, but `cache_size` allows "
            f"{size_in_words(usage.limit)}; {_options(plan, usage.limit)}"
        )
    free = shutil.disk_usage(_existing(usage.folder)).free
    if plan.new_bytes > free:
        room = plan.bytes - plan.new_bytes + free
        raise CacheError(
            f"the search may write {size_in_words(plan.new_bytes)} of features, but the disk of {usage.folder} "
            f"has {size_in_words(free)} free; {_options(plan, room, enlarge='a `home` on a larger disk')}"
        )


def _options(plan: Plan, room: int, enlarge: str | None = None) -> str:
    fitting = [words for words, space in _smaller(plan.space) if plan.demand.bytes(space) <= room]
    first_of_each = {words.split()[0]: words for words in reversed(fitting)}
    choices = [enlarge or f"`cache_size` {_rounded_up(plan.bytes)}", *reversed(first_of_each.values())]
    return f"it would fit with {', or '.join(choices)}"


def _smaller(space: Space) -> Iterator[tuple[str, Space]]:
    """Yield (option in words, space narrowed in one dimension), from the largest space of each dimension."""
    total = len(space.timesteps)
    for count in range(total - 1, 0, -1):
        yield _narrowed(space, "timesteps", [space.timesteps[i * total // count] for i in range(count)])
    pools = sorted(space.pools)
    for count in range(len(pools) - 1, 0, -1):
        yield _narrowed(space, "pools", pools[:count])
    for step in range(2, len(space.blocks) + 1):
        yield _narrowed(space, "blocks", space.blocks[::step])
    for draws in sorted(space.draws, reverse=True)[1:]:
        yield _narrowed(space, "draws", [d for d in space.draws if d <= draws])


def _narrowed(space: Space, dimension: str, values: Sequence[Any]) -> tuple[str, Space]:
    narrowing: Mapping[str, Sequence[Any]] = {dimension: values}
    return f"`{dimension}` {','.join(map(str, values))}", space.narrow(**narrowing)


def _rounded_up(size: int) -> str:
    """Round a size up and write it in the form of `cache_size`: 1.2e9 bytes → 2GB."""
    unit, name = next(
        (unit, name) for unit, name in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (1, "B")) if size >= unit
    )
    return f"{math.ceil(size / unit)}{name}"


def _existing(folder: Path) -> Path:
    return next(parent for parent in (folder, *folder.parents) if parent.exists())
