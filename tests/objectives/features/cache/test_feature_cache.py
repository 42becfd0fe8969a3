import logging
import multiprocessing
import random
import time
from collections.abc import Mapping
from ctypes import c_longlong
from dataclasses import dataclass, field, replace
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import numpy as np
import pytest
import torch

from objectives.backbones.tapped import TappedBackbone
from objectives.datasets.dataset import Dataset
from objectives.features.cache.feature_cache import FeatureCache, Pass, column_for, image_bytes
from objectives.features.cache.quota import CacheUsage
from objectives.features.extraction import SHARD_IMAGES, Clock, Extractor, shard_images
from spaces import Architecture, Block, Setting

GRIDS = {3: 4, 9: 2, 12: 4}
EVERY = np.arange(600)
CONTEXT = multiprocessing.get_context("fork")


@dataclass
class Counting:
    """A backbone that counts the images that pass, whichever process passes them."""

    inner: TappedBackbone
    passed: "Synchronized[int]" = field(default_factory=lambda: CONTEXT.Value("q", 0))

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def taps(self, inputs: torch.Tensor, *rest: object) -> dict[int, torch.Tensor]:
        with self.passed.get_lock():
            self.passed.value += len(inputs)
        return self.inner.taps(inputs, *rest)  # type: ignore[arg-type]


def extractor(
    folder: Path, backbone: TappedBackbone | Counting, dataset: Dataset, grids: Mapping[int, int] = GRIDS
) -> Extractor:
    return Extractor(backbone, dataset, CacheUsage(folder), grids, seed=0)  # type: ignore[arg-type]


def fill(
    folder: Path,
    backbone: TappedBackbone | Counting,
    dataset: Dataset,
    *,
    images: np.ndarray = EVERY,
    timesteps: tuple[int, ...] = (44,),
    draws: int = 1,
    grids: Mapping[int, int] = GRIDS,
) -> int:
    """Passes that it made."""
    torch.set_num_threads(1)
    clock = Clock()
    *_, last = extractor(folder, backbone, dataset, grids).fill(images, timesteps, draws, clock)
    assert last.done == last.total == len(timesteps) * max(draws, 1) * len(images)
    return clock.passes


def read(
    folder: Path, dataset: Dataset, backbone: TappedBackbone, block: int, *, timestep: int = 44, draws: int = 1
) -> torch.Tensor:
    setting = Setting(timestep, block, 2, "linear", draws)
    values = extractor(folder, backbone, dataset).read(EVERY, setting)
    assert values is not None
    return values


def test_the_coarsest_column_that_will_do() -> None:
    columns = frozenset(("block-3-grid-8", "block-3-grid-4", "block-16-grid-6"))
    found = {(block, size): column_for(columns, block, size) for block in (3, 16, 4) for size in (1, 3, 4, 8)}
    assert {asked: name for asked, name in found.items() if name} == {
        (3, 1): "block-3-grid-4",
        (3, 4): "block-3-grid-4",
        (3, 8): "block-3-grid-8",
        (16, 1): "block-16-grid-6",
        (16, 3): "block-16-grid-6",
    }


def test_bytes_of_an_image(tiny: TappedBackbone) -> None:
    blocks = tiny.architecture.blocks
    assert image_bytes(tiny.architecture, {3: 4, 9: 2}) == 2 * (16 * blocks[2].channels + 4 * blocks[8].channels)


@pytest.mark.parametrize(
    ("images", "side", "gmacs", "device", "batch", "expected"),
    [
        (100, 32, 0.3, "cpu", 256, 256),
        (6_000, 32, 0.3, "cpu", 256, 256),
        (50_000, 32, 0.3, "cpu", 256, 1024),
        (1_281_167, 32, 0.3, "cuda", 1024, 2048),
        (6_000, 32, 0.3, "cuda", 1024, 1024),
        (1_281_167, 256, 320.0, "cuda", 64, 256),
        (1_281_167, 512, 320.0, "cuda", 64, 64),
        (1_281_167, 512, 320.0, "cuda", 128, 128),
        (6_000, 256, 320.0, "cpu", 256, 16),
        (6_000, 1024, 99_999.0, "cpu", 1, 1),
    ],
)
def test_a_shard_is_no_more_than_one_would_lose_and_on_a_gpu_a_batch_at_least(
    images: int, side: int, gmacs: float, device: str, batch: int, expected: int
) -> None:
    architecture = Architecture("made-up", side, (Block(1, "b", "layer", 8, 4, gmacs, gmacs),))
    assert shard_images(images, architecture, 1, torch.device(device), batch) == expected


def test_no_pass_is_made_twice(tmp_path: Path, tiny: TappedBackbone, few_digits: Dataset) -> None:
    assert fill(tmp_path, tiny, few_digits) == 600
    assert fill(tmp_path, tiny, few_digits) == 0
    assert fill(tmp_path, tiny, few_digits, draws=2) == 600
    assert fill(tmp_path, tiny, few_digits, grids={9: 1, 12: 2}) == 0


def test_images_go_by_their_content_whatever_set_they_come_in(
    tmp_path: Path, tiny: TappedBackbone, few_digits: Dataset
) -> None:
    """Few shots first, then a class, then all of them; and a dataset in which they have other places."""
    assert fill(tmp_path, tiny, few_digits, images=EVERY[5:300:7]) == 43
    threes = np.flatnonzero(few_digits.labels == 3)
    first = len(set(threes) - set(range(5, 300, 7)))
    assert fill(tmp_path, tiny, few_digits, images=threes) == first
    assert fill(tmp_path, tiny, few_digits) == 600 - 43 - first
    order = np.random.default_rng(0).permutation(600)
    moved = Dataset("moved", few_digits.classes, few_digits.images.keep(order), few_digits.labels[order], order > 9)
    assert fill(tmp_path, tiny, moved) == 0
    assert torch.equal(read(tmp_path, moved, tiny, 9), read(tmp_path, few_digits, tiny, 9)[order])


def test_only_the_blocks_that_are_missing_are_made(tmp_path: Path, tiny: TappedBackbone, few_digits: Dataset) -> None:
    fill(tmp_path, tiny, few_digits, images=EVERY[:100], grids={3: 4})
    fill(tmp_path, tiny, few_digits)
    kept = {name for path in (tmp_path / "features").rglob("*.safetensors") for name in _columns(path)}
    assert kept == {"block-3-grid-4", "block-9-grid-2", "block-12-grid-4"}
    by_images = {images: _columns_by_size(tmp_path)[images] for images in (100,)}
    assert sorted(map(sorted, by_images[100])) == [["block-12-grid-4", "block-9-grid-2"], ["block-3-grid-4"]]
    assert fill(tmp_path, tiny, few_digits) == 0


def _columns(path: Path) -> frozenset[str]:
    from objectives.features.cache.shards import Shard

    shard = Shard.open(path)
    assert shard is not None
    return shard.columns


def _columns_by_size(folder: Path) -> dict[int, list[frozenset[str]]]:
    from objectives.features.cache.shards import Shard

    found: dict[int, list[frozenset[str]]] = {}
    for path in (folder / "features").rglob("*.safetensors"):
        shard = Shard.open(path)
        assert shard is not None
        found.setdefault(shard.images, []).append(shard.columns)
    return found


def test_an_image_that_is_there_twice_passes_once(tmp_path: Path, tiny: TappedBackbone, few_digits: Dataset) -> None:
    images = np.concatenate([EVERY[:20], EVERY[10:30]])
    assert fill(tmp_path, tiny, few_digits, images=images) == 30


def test_what_is_read_is_what_the_network_gives(tmp_path: Path, tiny: TappedBackbone, few_digits: Dataset) -> None:
    from objectives.features.noise import noise_for

    fill(tmp_path, tiny, few_digits)
    from objectives.datasets.images import square_pixels

    pixels = torch.from_numpy(square_pixels(few_digits.images, EVERY[:5], tiny.architecture.image_side))
    inputs = tiny.encode(pixels)
    noise = noise_for([few_digits.images.digest(i) for i in range(5)], 0, 44, 0, tuple(inputs.shape[1:]))
    maps = tiny.taps(inputs, noise, 44, [9, 12])
    for block, values in maps.items():
        expected = torch.nn.functional.adaptive_avg_pool2d(values, 2)
        torch.testing.assert_close(read(tmp_path, few_digits, tiny, block)[:5], expected, atol=5e-3, rtol=5e-3)


def test_a_clean_pass_is_made_once_for_all_seeds_beside_the_noised_ones(
    tmp_path: Path, tiny: TappedBackbone, few_digits: Dataset
) -> None:
    assert fill(tmp_path, tiny, few_digits, draws=0) == fill(tmp_path, tiny, few_digits) == 600
    other = replace(extractor(tmp_path, tiny, few_digits), seed=1)
    assert not other.lacks(EVERY, [44], 0)
    assert other.lacks(EVERY, [44], 1)
    clean, noised = (read(tmp_path, few_digits, tiny, 9, draws=draws) for draws in (0, 1))
    again = other.read(EVERY, Setting(44, 9, 2, "linear", 0))
    assert again is not None
    assert torch.equal(again, clean)
    assert not torch.equal(clean, noised)


def test_averaged_draws_are_the_mean_of_draws(tmp_path: Path, tiny: TappedBackbone, few_digits: Dataset) -> None:
    fill(tmp_path, tiny, few_digits, draws=2)
    both, one = (read(tmp_path, few_digits, tiny, 9, draws=draws) for draws in (2, 1))
    assert both.shape == one.shape == (600, 16, 2, 2)
    keys = extractor(tmp_path, tiny, few_digits)._inputs.keys
    source = extractor(tmp_path, tiny, few_digits).passes(44, 1)[0].source
    second = torch.empty(600, 16, 2, 2)
    assert FeatureCache(tmp_path).read_into(second, [Pass(source, 44, 1)], keys, 9)
    torch.testing.assert_close(both, (one + second) / 2)


def test_a_damaged_shard_costs_only_its_own_passes(
    tmp_path: Path, tiny: TappedBackbone, few_digits: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    fill(tmp_path, tiny, few_digits)
    before = read(tmp_path, few_digits, tiny, 9)
    victim = sorted((tmp_path / "features").rglob("*.safetensors"))[0]
    victim.write_bytes(victim.read_bytes()[:-1])
    with caplog.at_level(logging.WARNING):
        assert extractor(tmp_path, tiny, few_digits).read(EVERY, Setting(44, 9, 2, "linear")) is None
    assert f"{victim} is damaged" in caplog.text
    assert 0 < fill(tmp_path, tiny, few_digits) <= SHARD_IMAGES
    torch.testing.assert_close(read(tmp_path, few_digits, tiny, 9), before)


def _fill(folder: Path, backbone: Counting, dataset: Dataset, timesteps: tuple[int, ...], images: np.ndarray) -> None:
    fill(folder, backbone, dataset, timesteps=timesteps, images=images)


@pytest.mark.parametrize("count", [2, 4, 8])
def test_processes_fill_one_cache_together(
    tmp_path: Path, tiny: TappedBackbone, few_digits: Dataset, count: int
) -> None:
    """Each wants other images in another order, which overlap: still each image passes once at each timestep."""
    counting, timesteps = Counting(tiny), (5, 44)
    processes = []
    for seed in range(count):
        images = np.random.default_rng(seed).permutation(600)[:500]
        processes.append(CONTEXT.Process(target=_fill, args=(tmp_path, counting, few_digits, timesteps, images)))
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * count
    wanted = set[int]().union(*(np.random.default_rng(seed).permutation(600)[:500] for seed in range(count)))
    assert counting.passed.value == len(timesteps) * len(wanted)


@dataclass
class Told:
    """The progress that another process reports."""

    done: c_longlong = field(default_factory=lambda: CONTEXT.RawValue("q", 0))


def _fill_telling(folder: Path, backbone: Counting, dataset: Dataset, told: Told) -> None:
    torch.set_num_threads(1)
    for report in extractor(folder, backbone, dataset).fill(EVERY, (5, 44), 1, Clock()):
        told.done.value = report.done


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny: TappedBackbone, few_digits: Dataset) -> tuple[Path, float]:
    """A cache that was filled without interruption, and the seconds it took."""
    folder, started = tmp_path_factory.mktemp("whole"), time.monotonic()
    fill(folder, tiny, few_digits, timesteps=(5, 44))
    return folder, time.monotonic() - started


@pytest.mark.parametrize("seed", range(8))
def test_a_kill_at_any_moment_loses_at_most_one_shard_and_spoils_nothing(
    tmp_path: Path, tiny: TappedBackbone, few_digits: Dataset, whole: tuple[Path, float], seed: int
) -> None:
    folder, seconds = whole
    counting, told = Counting(tiny), Told()
    process = CONTEXT.Process(target=_fill_telling, args=(tmp_path, counting, few_digits, told))
    process.start()
    time.sleep(random.Random(seed).uniform(0.0, seconds))
    process.kill()
    process.join()
    before = counting.passed.get_obj().value  # without the lock, which the process may have died with
    resumed = fill(tmp_path, tiny, few_digits, timesteps=(5, 44))
    assert resumed <= 1200 - told.done.value  # what was reported is there
    assert 1200 <= before + resumed <= 1200 + SHARD_IMAGES
    # A kill between the last shard and the end of its claim leaves the claim, which nobody waits for. One between the
    # end of a claim and that of its lease leaves the lease, which means nothing without a claim.
    left = {".claim", ".lease"} if resumed == 0 else {".lease"}
    assert {path.suffix for path in (tmp_path / "features").rglob("*-*/*")} <= {".safetensors", *left}
    for timestep in (5, 44):
        for block in GRIDS:
            values, expected = (read(f, few_digits, tiny, block, timestep=timestep) for f in (tmp_path, folder))
            torch.testing.assert_close(values, expected, atol=2e-3, rtol=2e-3)


def test_many_timesteps_are_made_in_one_go(tmp_path: Path, tiny: TappedBackbone, few_digits: Dataset) -> None:
    assert fill(tmp_path / "together", tiny, few_digits, timesteps=(5, 44, 300), draws=2) == 6 * 600
    for timestep in (5, 44, 300):
        assert fill(tmp_path / "apart", tiny, few_digits, timesteps=(timestep,), draws=2) == 2 * 600
        one, other = (
            read(tmp_path / place, few_digits, tiny, 9, timestep=timestep, draws=2) for place in ("together", "apart")
        )
        assert torch.equal(one, other)


def test_a_fill_given_up_half_way_leaves_no_claim(tmp_path: Path, tiny: TappedBackbone, few_digits: Dataset) -> None:
    reports = extractor(tmp_path, tiny, few_digits).fill(EVERY, [44], 1, Clock())
    assert [next(reports).done, next(reports).done] == [0, 256]
    reports.close()  # type: ignore[attr-defined]
    clock = Clock()
    *_, last = extractor(tmp_path, tiny, few_digits).fill(EVERY, [44], 1, clock)
    assert last.done == len(few_digits)
    assert "wait" not in clock.seconds
