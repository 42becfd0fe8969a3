"""Rows of correctness in one process: features, norms and heads on the device against the CPU."""

import statistics
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

from gpu_check.machine import Machine
from gpu_check.networks import NETWORKS, all_taps, difference, on_cpu, on_device, random_pixels
from gpu_check.rows import Bar, Measured, NotRun, Row
from objectives.backbones.tapped import TappedBackbone
from objectives.datasets.catalog import load_dataset
from objectives.datasets.dataset import Dataset
from objectives.features.cache.quota import CacheUsage
from objectives.features.extraction import Clock, Extractor
from objectives.features.noise import noise_for
from objectives.features.pooling import pool
from objectives.heads.catalog import HEADS, head_named
from objectives.heads.head import Fit, LabelledFeatures
from objectives.heads.linear_models.linear import LinearClassifier
from spaces import Setting
from tests.support.heads import OPTIONS

TOLERANCES = {"float32": 1e-3, "bfloat16": 2e-2, "float16": 2e-2}
"""Precision → the largest difference of a block's maps, relative to the CPU's in float32."""

RANDOM_HEADS = ("mlp", "cnn", "attention")
"""Heads whose training draws random numbers on its device, so that devices agree only on average."""

TIMESTEP, BLOCK, POOL = 20, 16, 4
"""The features of digits on which heads are fitted."""


def features_equal(name: str, precision: str, machine: Machine) -> Measured:
    """Compare every block's maps on the device with the CPU's in float32."""
    key = f"taps of {name}"
    if key not in machine.memo:
        reference = on_cpu(machine, name)
        pixels = random_pixels(machine.sizes.inputs, reference.architecture.image_side)
        machine.memo[key] = pixels, all_taps(reference, pixels)
    pixels, expected = cast(tuple[torch.Tensor, dict[int, torch.Tensor]], machine.memo[key])
    maps = all_taps(on_device(machine, name, precision), pixels)
    errors = {block: difference(values, expected[block]) for block, values in maps.items()}
    worst = max(errors, key=lambda block: errors[block])
    note = f"largest of {len(errors)} blocks, block {worst}; median {statistics.median(errors.values()):.1e}"
    return Measured(errors[worst], "relative", Bar(TOLERANCES[precision]), note)


class NormTypes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the types of the numbers that norms compute with, as they reach the device, behind autocast."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if "norm" in func.overloadpacket.__name__:
            self.counts[str(args[0].dtype).removeprefix("torch.")] += 1
        return func(*args, **(kwargs or {}))


def norm_types(backbone: TappedBackbone, pixels: torch.Tensor) -> Counter[str]:
    """Return the number of norms in a forward pass by the type of number they compute with."""
    seen = NormTypes()
    with seen:
        all_taps(backbone, pixels)
    return seen.counts


def norms_in_float32(precision: str, machine: Machine) -> Measured:
    """Measure the share of norms that compute in float32 though the network runs in another precision."""
    counts: Counter[str] = Counter()
    for name in NETWORKS:
        backbone = on_device(machine, name, precision)
        counts += norm_types(backbone, random_pixels(2, backbone.architecture.image_side))
    seen = ", ".join(f"{count} in {kind}" for kind, count in counts.items())
    if not machine.is_gpu:
        raise NotRun(f"autocast on a CPU does not promise it; seen here: {seen}")
    return Measured(
        100 * counts["float32"] / counts.total(), "%", Bar(100, at_least=True), f"{seen}; {len(NETWORKS)} networks"
    )


def extraction_equals(machine: Machine) -> Measured:
    """Compare features that went through `Extractor.fill` and the cache with passes on the CPU.

    Several chunks and timesteps are made twice. A race between copies and passes would change some of them.
    """
    dataset, indices = digits(machine.sizes.extracted)
    backbone, cpu = on_device(machine, "bundled", "float32"), on_cpu(machine, "bundled")
    timesteps, blocks = [20, 90, 300], [9, BLOCK]
    runs = []
    for _ in range(2):
        usage = CacheUsage(machine.new_folder("extraction"))
        extractor = Extractor(backbone, dataset, usage, dict.fromkeys(blocks, POOL), seed=0)
        for _ in extractor.fill(indices, timesteps, 1, Clock()):
            pass
        read = [extractor.read(indices, Setting(t, block, POOL, "linear")) for t in timesteps for block in blocks]
        runs.append([values.clone() for values in read if values is not None])
    if [len(run) for run in runs] != [6, 6]:
        raise AssertionError("features are missing in the cache after it was filled")
    expected = [
        features for timestep in timesteps for features in direct_features(cpu, dataset, indices, timestep, blocks)
    ]
    error = max(difference(values, reference) for values, reference in zip(runs[0], expected, strict=True))
    repeated = all(torch.equal(*pair) for pair in zip(*runs, strict=True))
    if not repeated:
        raise AssertionError(f"the same extraction gave other features the second time; first error {error:.1e}")
    return Measured(error, "relative", Bar(1e-3), f"{len(indices)} digits, 3 timesteps; a second run is bitwise equal")


def digits(count: int) -> tuple[Dataset, np.ndarray]:
    """Return scikit-learn's digits and the indices of the first `count`."""
    dataset = load_dataset("digits", None)
    return dataset, np.arange(min(count, len(dataset)))


def direct_features(
    backbone: TappedBackbone, dataset: Dataset, indices: np.ndarray, timestep: int, blocks: list[int]
) -> list[torch.Tensor]:
    """Make blocks' features by plain passes, without the extractor: float32 (n, c, 4, 4) on the CPU, for each block."""
    from objectives.datasets.images import square_pixels

    pixels = torch.from_numpy(square_pixels(dataset.images, indices, backbone.architecture.image_side))
    parts: list[list[torch.Tensor]] = [[] for _ in blocks]
    for rows in torch.split(torch.arange(len(indices)), 128):
        inputs = backbone.encode(pixels[rows])
        digests = [dataset.images.digest(int(indices[row])) for row in rows]
        noise = noise_for(digests, 0, timestep, 0, tuple(inputs.shape[1:])).to(backbone.device)
        maps = backbone.taps(inputs, noise, timestep, blocks)
        for part, block in zip(parts, blocks, strict=True):
            part.append(pool(maps[block].float(), POOL).cpu())
    return [torch.cat(part) for part in parts]


def digit_features(machine: Machine) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the features of digits, float32 (n, c, 4, 4), and their labels, both on the CPU and shuffled."""
    if "digits" not in machine.memo:
        dataset, indices = digits(machine.sizes.digits)
        backbone = on_device(machine, "bundled", "float32")
        [features] = direct_features(backbone, dataset, indices, TIMESTEP, [BLOCK])
        order = torch.randperm(len(indices), generator=torch.Generator().manual_seed(0))
        machine.memo["digits"] = features[order], torch.from_numpy(dataset.labels[indices])[order]
    return cast(tuple[torch.Tensor, torch.Tensor], machine.memo["digits"])


def parts_on(machine: Machine, device: str) -> tuple[LabelledFeatures, LabelledFeatures]:
    """Return two thirds of the digits for training and a third for validation, on a device."""
    features, labels = (values.to(device) for values in digit_features(machine))
    count = 2 * len(labels) // 3
    return LabelledFeatures(features[:count], labels[:count]), LabelledFeatures(features[count:], labels[count:])


def fit(name: str, parts: tuple[LabelledFeatures, LabelledFeatures], seed: int) -> Fit:
    """Fit a head with the options of the tests."""
    *_, last = head_named(name).fit(*parts, 10, OPTIONS[name], seed)
    assert isinstance(last, Fit)
    return last


@contextmanager
def few_threads(machine: Machine) -> Iterator[None]:
    """Use at most four CPU threads: more only wait for each other in such small fits."""
    before = torch.get_num_threads()
    torch.set_num_threads(min(4, machine.cores))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def head_equals(name: str, machine: Machine) -> Measured:
    """Compare a head's validation accuracy with that of the same fit on the CPU, by the mean of several seeds."""
    here, there = parts_on(machine, "cpu"), parts_on(machine, machine.device.type)
    cpu: list[float] = []
    ours: list[float] = []
    room = machine.seconds_left()
    with few_threads(machine):
        for seed in range(machine.sizes.seeds if name in RANDOM_HEADS else 1):
            cpu.append(100 * fit(name, here, seed).validation.value)
            ours.append(100 * fit(name, there, seed).validation.value)
            if machine.seconds_left() < (room - machine.seconds_left()) / len(cpu):
                break  # there is no time for another seed
    note = f"{statistics.mean(ours):.2f} % against {statistics.mean(cpu):.2f} %, {len(here[1])} images"
    if len(cpu) > 1:
        error = (statistics.variance(ours) / len(ours) + statistics.variance(cpu) / len(cpu)) ** 0.5
        note += f", mean of {len(cpu)} seeds, standard error {error:.2f}"
    return Measured(abs(statistics.mean(ours) - statistics.mean(cpu)), "points", Bar(0.5), note)


def linear_loss(machine: Machine) -> Measured:
    """Compare the linear head's objective on the training images, at the strength that the CPU's fit chose."""
    losses, strength = {}, None
    for device in ("cpu", machine.device.type):
        train, validation = parts_on(machine, device)
        strength = strength or fit("linear", (train, validation), 0).details["l2"]
        classifier = head_named("linear").refit(train, 10, {}, {"l2": strength}, 0)
        losses[device] = objective(LinearClassifier.of(classifier.state()), train, strength)
    error = abs(losses[machine.device.type] / losses["cpu"] - 1)
    return Measured(error, "relative", Bar(1e-4), f"loss {losses['cpu']:.6f} on the CPU, L2 {strength:.3g}")


def objective(classifier: LinearClassifier, train: LabelledFeatures, l2: float) -> float:
    """Compute mean cross-entropy + l2/2 ‖W‖² in float64."""
    standardise, weight = classifier.standardise, classifier.weight.double()
    features = (train.features.flatten(1).double() - standardise.mean.double()) / standardise.scale.double()
    logits = features @ weight.T + classifier.bias.double()
    return float(cross_entropy(logits, train.labels) + l2 / 2 * weight.square().sum())


ROWS = [
    *(
        Row(f"features-{name}-{precision}", "right", 12, partial(features_equal, name, precision))
        for name in NETWORKS
        for precision in TOLERANCES
    ),
    *(
        Row(f"norms-{precision}", "right", 10, partial(norms_in_float32, precision))
        for precision in ("bfloat16", "float16")
    ),
    Row("features-through-cache", "right", 25, extraction_equals),
    *(Row(f"head-{name}", "right", 30, partial(head_equals, name)) for name in HEADS),
    Row("head-linear-loss", "right", 15, linear_loss),
]
