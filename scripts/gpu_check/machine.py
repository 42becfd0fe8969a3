"""The device that is checked: its clock, its facts, the sizes of the rows, and the networks that rows share."""

import gc
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from gpu_check import ROOT
from objectives.backbones.tapped import TappedBackbone
from objectives.devices import available_cores

ENDS = 360.0
"""Seconds since the start of the check after which it ends itself, whatever a row is waiting for."""

LIBRARIES = ("torch", "diffusers", "transformers", "huggingface_hub", "numpy", "pillow", "scikit-learn")


@dataclass(frozen=True)
class Sizes:
    """The sizes of all rows.

    inputs: images of a comparison of features. extracted: images of an extraction. digits: images with which heads are
    fitted. seeds: fits of a head whose training is random. processes: probes at the same time.
    adm_256: measure the speed of ADM-256; else of a small ADM network.
    deepest: the block at which its passes end. first: the first block that is kept. batches: of the sweep.
    variants_batch: the batch for variants. timing: seconds that one timing may take.
    backend: of torch.compile. files: JPEG files of the pipeline.
    linear: images, features and classes of the linear head's problem. screened: images that are screened.
    screened_blocks: how many blocks are screened.
    """

    inputs: int = 16
    extracted: int = 1100
    digits: int = 1797
    seeds: int = 5
    processes: int = 4
    adm_256: bool = True
    deepest: int = 24
    first: int = 6
    batches: tuple[int, ...] = (16, 32, 64, 128, 256, 512)
    variants_batch: int = 64
    timing: float = 4.0
    backend: str = "inductor"
    files: int = 4096
    linear: tuple[int, int, int] = (6000, 16_384, 200)
    screened: int = 2000
    screened_blocks: int = 25


FULL = Sizes()
QUICK = Sizes(
    inputs=2,
    extracted=80,
    digits=100,
    seeds=1,
    processes=2,
    adm_256=False,
    deepest=16,
    first=12,
    batches=(2, 4),
    variants_batch=2,
    timing=0.1,
    backend="aot_eager",
    files=12,
    linear=(80, 64, 5),
    screened=40,
    screened_blocks=2,
)
SPEED_FIELDS = ("adm_256", "deepest", "first", "batches", "variants_batch", "timing", "backend", "files")


def sizes_for(device: str, quick: bool) -> Sizes:
    """Return the sizes. On a CPU, rows of speed always have the tiny sizes: their figures say nothing about a GPU."""
    if quick:
        return QUICK
    return FULL if device == "cuda" else replace(FULL, **{name: getattr(QUICK, name) for name in SPEED_FIELDS})


@dataclass
class Machine:
    """The device, and what rows share.

    device: with its index if it is a GPU. folder: for temporary files. start: of the check, by `time.perf_counter`.
    memo: results that several rows read, by name.
    """

    device: torch.device
    sizes: Sizes
    folder: Path
    start: float = field(default_factory=time.perf_counter)
    memo: dict[str, object] = field(default_factory=dict)
    _row_ends: float = float("inf")

    @property
    def is_gpu(self) -> bool:
        return self.device.type == "cuda"

    @cached_property
    def cores(self) -> int:
        return available_cores()

    @cached_property
    def speed_backbone(self) -> TappedBackbone:
        """ADM-256 with random weights in bfloat16, or a small ADM network."""
        from gpu_check.networks import speed_backbone

        return speed_backbone(self.device.type, self.sizes, self.folder)

    @cached_property
    def peak(self) -> float:
        """Operations per second of a large bfloat16 matrix product of random numbers on this device."""
        from tests.benchmarks.extraction import Machine as Timed

        return Timed(self.device.type).matmul_flops(torch.bfloat16)

    def new_folder(self, name: str) -> Path:
        """Return a new empty folder."""
        number = sum(path.name.startswith(name) for path in self.folder.iterdir())
        made = self.folder / f"{name}-{number}"
        made.mkdir()
        return made

    # Time

    def seconds_since_start(self) -> float:
        return time.perf_counter() - self.start

    def seconds_left(self) -> float:
        """Return the seconds that the present row may still take."""
        return self._row_ends - time.perf_counter()

    def begin(self, seconds: float) -> None:
        """Begin a row that may take so many seconds, or what is left of the whole check."""
        self._row_ends = min(time.perf_counter() + seconds, self.start + ENDS - 5)
        if self.is_gpu:
            torch.cuda.reset_peak_memory_stats(self.device)

    def end(self) -> float | None:
        """End a row: free memory. Return the most GPU memory that it held, in GiB."""
        memory = torch.cuda.max_memory_allocated(self.device) / 2**30 if self.is_gpu else None
        self.free_memory()
        return memory

    def free_memory(self) -> None:
        """Give back the GPU memory that torch holds and does not use: extraction takes its batch from what is free."""
        gc.collect()
        if self.is_gpu:
            torch.cuda.empty_cache()

    def wait(self) -> None:
        """Wait until the device has done everything."""
        if self.is_gpu:
            torch.cuda.synchronize(self.device)

    def seconds(self, work: Callable[[], object]) -> float:
        """Measure one call by the clock on the wall, until the device has done everything."""
        self.wait()
        since = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - since

    def device_seconds(self, work: Callable[[], object]) -> float:
        """Measure one call by the events of the GPU; on a CPU as `seconds` does."""
        if not self.is_gpu:
            return self.seconds(work)
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        work()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1000

    def median_seconds(self, work: Callable[[], object]) -> float:
        """Measure the median of 2 to 20 calls after two that warm up, in about `Sizes.timing` seconds."""
        for _ in range(2):
            self.seconds(work)
        times = [self.device_seconds(work)]
        room = min(self.sizes.timing, self.seconds_left() / 2)
        repeats = max(2, min(20, int(room / max(times[0], 1e-6))))
        times += [self.device_seconds(work) for _ in range(repeats - 1)]
        return statistics.median(times)


def facts(machine: Machine, commit: str | None) -> dict[str, object]:
    """Return what repeats the check: device, driver, versions, commit. commit: None reads it from git."""
    result: dict[str, object] = {
        "device": machine.device.type,
        "name": torch.cuda.get_device_name(machine.device) if machine.is_gpu else platform.machine(),
        "commit": commit or _output("git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40"),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": machine.cores,
        "torch_threads": torch.get_num_threads(),
        "versions": {name: _version(name) for name in LIBRARIES},
    }
    if machine.is_gpu:
        capability = torch.cuda.get_device_capability(machine.device)
        result |= {
            "driver": _output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
            "capability": f"{capability[0]}.{capability[1]}",
            "gpu_memory_gib": torch.cuda.mem_get_info(machine.device)[1] / 2**30,
            "gpus_visible": torch.cuda.device_count(),
            "cuda_visible_devices": os.environ.get("CUDA_VISIBLE_DEVICES"),
        }
    return result


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _output(*command: str) -> str:
    """Return the first line that a command prints; "unknown" if it fails."""
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return (ran.stdout.splitlines() or ["unknown"])[0].strip()
