"""Rows of speed for whole pieces of work: files to cache, a path of linear heads, a screening; and a search by Ray."""

import argparse
import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

from gpu_check import ROOT
from gpu_check.machine import Machine
from gpu_check.networks import on_device
from gpu_check.rows import Bar, Measured, NotRun, Row
from gpu_check.speed import images_per_second, product_batch
from objectives.backbones.tapped import TappedBackbone
from objectives.datasets.dataset import Dataset
from objectives.datasets.images import ArrayImages
from objectives.features.cache.quota import CacheUsage
from objectives.features.extraction import Clock, Extractor
from objectives.heads.head import LabelledFeatures
from objectives.probing.screening import Screener
from objectives.probing.spec import ProbeSpec
from objectives.results import ScreenedSetting
from spaces import Setting
from tests.benchmarks import linear
from tests.benchmarks.extraction import photographs

TIMESTEPS = (90, 91)
POOL = 4
MIN_CORES = 8
SMALL_LINEAR = (1500, 4096, 50)
"""The linear head's problem where fewer than `MIN_CORES` cores would take too long for the large one."""
STRENGTHS = tuple(10 ** (-2.5 - 4 * place / 9) for place in range(10))


def pipeline_seconds(machine: Machine) -> tuple[int, float, tuple[float, ...]]:
    """Extract JPEG files at two timesteps, the second time with the images decoded already.

    Returns the number of files, the seconds of bare passes over as many images, and the seconds of each timestep.
    """
    if "pipeline" not in machine.memo:
        backbone, sizes = machine.speed_backbone, machine.sizes
        rate = images_per_second(machine, sizes.deepest, product_batch(machine))
        blocks = range(sizes.first, sizes.deepest + 1)
        grids = {block: min(POOL, backbone.architecture.block(block).side) for block in blocks}
        machine.free_memory()
        dataset = photographs(machine.new_folder("files"), sizes.files)
        warm_up = photographs(machine.new_folder("files"), min(sizes.files, 32))
        filled(extractor_of(backbone, warm_up, machine, grids), TIMESTEPS[0])
        machine.free_memory()
        extractor = extractor_of(backbone, dataset, machine, grids)
        fills = [partial(filled, extractor, timestep) for timestep in TIMESTEPS]
        seconds = tuple(machine.seconds(fill) for fill in fills)
        machine.memo["pipeline"] = len(dataset), len(dataset) / rate, seconds
    return cast(tuple[int, float, tuple[float, ...]], machine.memo["pipeline"])


def extractor_of(backbone: TappedBackbone, dataset: Dataset, machine: Machine, grids: dict[int, int]) -> Extractor:
    return Extractor(backbone, dataset, CacheUsage(machine.new_folder("pipeline")), grids, seed=0)


def filled(extractor: Extractor, timestep: int) -> None:
    """Make the features of all images at a timestep."""
    for _ in extractor.fill(np.arange(len(extractor.dataset)), [timestep], 1, Clock()):
        pass


def pipeline(position: int, machine: Machine) -> Measured:
    """Compare the whole pipeline with bare passes. position: of the timestep; images are decoded at the first."""
    files, bare, seconds = pipeline_seconds(machine)
    words = "JPEG files to cache" if position == 0 else "the next timestep, images decoded"
    note = f"{words}: {files / seconds[position]:.1f} images/s, bare {files / bare:.1f}; {files} files"
    note += f", {machine.cores} cores"
    bar = Bar(95, at_least=True) if machine.sizes.adm_256 else None
    return Measured(100 * bare / seconds[position], "% of bare", bar, note)


def linear_path(machine: Machine) -> Measured:
    """Measure how many times faster the device fits a path of ten strengths than this machine's CPU."""
    images, features, classes = machine.sizes.linear
    if machine.cores < MIN_CORES and machine.sizes.linear[0] > SMALL_LINEAR[0]:
        images, features, classes = SMALL_LINEAR
    words = argparse.Namespace(
        images=images, features=features, classes=classes, validation=min(1000, images), distance=0.22
    )
    given = linear.problem(words)
    there = replace(given, train=moved(given.train, machine), validation=moved(given.validation, machine))
    linear.ours(there, STRENGTHS[:1])  # warms up
    losses, seconds = {}, {}
    for name, problem in ((machine.device.type, there), ("the CPU", given)):
        fits: list[Any] = []
        seconds[name] = machine.seconds(partial(fitted, problem, fits))
        [(_, regression, path, _)] = fits
        losses[name] = float(regression.loss(path[-1]))
    ours, cpu = seconds.values()
    if max(losses.values()) > (1 + 1e-3) * min(losses.values()):
        raise AssertionError(f"the losses at the weakest strength differ: {losses}")
    note = f"{ours:.2f} s against {cpu:.2f} s on {machine.cores} cores; {images} x {features} x {classes}"
    if images < machine.sizes.linear[0]:
        note += f", because {machine.cores} cores would take too long for {' x '.join(map(str, machine.sizes.linear))}"
    return Measured(cpu / ours, "times", None, note)


def fitted(problem: linear.Problem, fits: list[Any]) -> None:
    """Fit the path of strengths and add the result to `fits`."""
    fits.append(linear.ours(problem, STRENGTHS))


def moved(features: LabelledFeatures, machine: Machine) -> LabelledFeatures:
    return LabelledFeatures(features.features.to(machine.device), features.labels.to(machine.device))


def screening(machine: Machine) -> Measured:
    """Screen blocks and pools of one timestep on random images of ten classes, forward passes included."""
    backbone, sizes = on_device(machine, "bundled", "float32"), machine.sizes
    generator = np.random.default_rng(0)
    labels = np.arange(sizes.screened) % 10
    pixels = generator.integers(0, 200, (sizes.screened, 32, 32, 3)) + 5 * labels[:, None, None, None]
    images = ArrayImages(pixels.astype(np.uint8))
    dataset = Dataset("random", tuple("0123456789"), images, labels, np.zeros(len(labels), bool))
    blocks = backbone.architecture.blocks[: sizes.screened_blocks]
    grids = {block.number: min(POOL, block.side) for block in blocks}
    spec = ProbeSpec(dataset, "bundled", "float32", machine.new_folder("screening"), grids)
    settings = [
        Setting(90, block, pool, "linear") for block, grid in grids.items() for pool in (1, 2, 4) if pool <= grid
    ]
    screener = Screener(spec, backbone)
    found: list[ScreenedSetting] = []

    def screen() -> None:
        found.extend(item for item in screener.screen(settings, sizes.screened) if isinstance(item, ScreenedSetting))

    seconds = machine.seconds(screen)
    scoring = sum(item.seconds for item in found)
    note = f"{sizes.screened} images, {len(found)} settings; {scoring:.2f} s of it are scores"
    return Measured(seconds, "s", None, note)


def search_by_ray(machine: Machine) -> Measured:
    """Run a small search whose workers share the GPU, and read its answer."""
    if importlib.util.find_spec("ray") is None:
        raise NotRun("Ray is not installed")
    workers = ["--workers", "4", "--gpus-per-trial", "0.25"] if machine.is_gpu else ["--workers", "2"]
    home = machine.new_folder("home")
    options = [
        "--dataset",
        "digits",
        "--backbone",
        "bundled",
        "--home",
        str(home),
        "--trials",
        "8",
        "--heads",
        "linear",
    ]
    options += ["--timesteps", "20,90", "--no-warm-start", "--finalists", "1", "--final-seeds", "1"]
    _search(["run", *options, *workers], home, machine.seconds_left())
    answer = json.loads(_search(["best", "--home", str(home), "--json"], home, 30))
    accuracy = 100 * float(answer["validation_accuracy"])
    return Measured(accuracy, "% right", Bar(85, at_least=True), f"search run {' '.join(workers)}, 8 trials on digits")


def _search(words: list[str], folder: Path, seconds: float) -> str:
    """Run `search` in a process of its own and return what it prints.

    Raises AssertionError with its last line if it fails, or if it had to be ended after `seconds`.
    """
    command = [sys.executable, "-m", "search", *words]
    with (
        (folder / "stdout").open("w", encoding="utf-8") as out,
        (folder / "stderr").open("w", encoding="utf-8") as errors,
    ):
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=errors)
        try:
            code: int | str = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.terminate()  # so that it ends its workers
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
            code = f"no result after {seconds:.0f} s"
    if code:
        last = ((folder / "stderr").read_text(encoding="utf-8").splitlines() or ["no message"])[-1]
        raise AssertionError(f"search {words[0]} ended with {code}: {last}")
    return (folder / "stdout").read_text(encoding="utf-8")


RAY_ROW = Row("search-by-ray", "right", 100, search_by_ray)

ROWS = [
    Row("pipeline", "speed", 45, partial(pipeline, 0)),
    Row("pipeline-again", "speed", 25, partial(pipeline, 1)),
    Row("linear-path", "speed", 45, linear_path),
    Row("screening", "speed", 20, screening),
]
