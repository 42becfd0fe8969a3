"""Rows of correctness about the GPU's memory, its copies, and several processes that share it."""

import json
import logging
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from gpu_check.correctness import BLOCK, POOL, TIMESTEP, digits
from gpu_check.machine import Machine
from gpu_check.networks import difference, on_device
from gpu_check.processes import in_processes
from gpu_check.rows import Bar, Measured, NotRun, Row
from objectives.backbones.backbone import Backbone
from objectives.backbones.tapped import TappedBackbone
from objectives.datasets.dataset import Dataset
from objectives.features.cache.quota import CacheUsage
from objectives.features.extraction import Clock, Extractor
from objectives.probing.probe import Probe
from objectives.probing.spec import ProbeSpec
from objectives.results import Evaluation
from spaces import Setting

SETTING = Setting(TIMESTEP, BLOCK, POOL, "linear")


def extracted(
    backbone: Backbone,
    machine: Machine,
    dataset: Dataset,
    indices: np.ndarray,
    condition: AbstractContextManager[None] | None = None,
) -> torch.Tensor:
    """Make features of digits in a new cache and read them, on the CPU.

    condition: holds while the passes are made, but not yet when the extractor chooses its batch.
    """
    extractor = Extractor(backbone, dataset, CacheUsage(machine.new_folder("memory")), {BLOCK: POOL}, seed=0)
    reports = extractor.fill(indices, [TIMESTEP], 1, Clock())
    next(reports)
    with condition or nullcontext():
        for _ in reports:
            pass
    features = extractor.read(indices, SETTING)
    if features is None:
        raise AssertionError("features are missing in the cache after it was filled")
    return features.clone()


@dataclass(frozen=True)
class OutOfMemoryAbove:
    """A backbone that behaves as if a batch of more than `images` images did not fit into memory."""

    backbone: TappedBackbone
    images: int

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backbone, name)

    def taps(
        self, inputs: torch.Tensor, noise: torch.Tensor | None, timestep: int | None, blocks: Collection[int]
    ) -> dict[int, torch.Tensor]:
        if len(inputs) > self.images:
            raise torch.OutOfMemoryError
        return self.backbone.taps(inputs, noise, timestep, blocks)


@contextmanager
def halvings() -> Iterator[list[str]]:
    """Collect the warnings that say that memory was too small."""
    messages: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("objectives.features.batches")
    log.addHandler(handler)
    try:
        yield messages
    finally:
        log.removeHandler(handler)


def memory_runs_out(machine: Machine) -> Measured:
    """Let the device run out of memory in an extraction. The batch must be halved, and the features stay equal."""
    dataset, indices = digits(machine.sizes.extracted)
    backbone = on_device(machine, "bundled", "float32")
    before = memory_reserved(machine)
    expected = extracted(backbone, machine, dataset, indices)
    with halvings() as messages:
        if machine.is_gpu:
            peak = torch.cuda.max_memory_reserved(machine.device)
            limited = memory_limited(machine, before + 0.4 * (peak - before))
            features = extracted(backbone, machine, dataset, indices, limited)
            note = f"{(peak - before) / 2**20:.0f} MiB needed, 40 % given"
        else:
            small = cast(Backbone, OutOfMemoryAbove(backbone, min(48, len(indices) // 3)))
            features = extracted(small, machine, dataset, indices)
            note = "simulated: a CPU's memory is not made to run out"
    if not messages:
        raise AssertionError(f"no batch was halved; {note}")
    error = difference(features, expected)
    return Measured(error, "relative", Bar(1e-3), f"{note}; {len(messages)} halvings, the last: {messages[-1]}")


def memory_reserved(machine: Machine) -> int:
    """Return the bytes of GPU memory that torch holds, after it gave back what it does not use."""
    if not machine.is_gpu:
        return 0
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(machine.device)
    return torch.cuda.memory_reserved(machine.device)


@contextmanager
def memory_limited(machine: Machine, most: float) -> Iterator[None]:
    """Let torch allocate at most so many bytes of GPU memory while the context lasts."""
    torch.cuda.empty_cache()
    total = torch.cuda.mem_get_info(machine.device)[1]
    torch.cuda.set_per_process_memory_fraction(most / total, machine.device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, machine.device)


def small_spec(machine: Machine, cache: Path) -> ProbeSpec:
    """Return a probe of the bundled network on some of the digits, with a cache of its own."""
    dataset, indices = digits(machine.sizes.digits)
    chosen = replace(
        dataset,
        images=dataset.images.keep(indices),
        labels=dataset.labels[indices],
        is_test=np.arange(len(indices)) % 5 == 0,
    )
    return ProbeSpec(chosen, "bundled", "float32", cache, {BLOCK: POOL})


def evaluate(probe: Probe) -> Evaluation:
    *_, last = probe(SETTING)
    assert isinstance(last, Evaluation)
    return last


def evaluate_in_child(barrier: Any, spec: ProbeSpec) -> tuple[str, float, int]:
    """Build a probe; when all are built, evaluate. Return the device, the accuracy in %, and the passes made."""
    probe = Probe.build(spec, threads=1)
    barrier.wait()
    evaluation = evaluate(probe)
    return probe.backbone.device.type, 100 * evaluation.validation.value, evaluation.passes_made


def probes_share(machine: Machine) -> Measured:
    """Evaluate the same setting in several processes at once, each with a cache of its own, and in this one."""
    count = machine.sizes.processes
    alone = (
        100
        * evaluate(
            Probe(small_spec(machine, machine.new_folder("alone")), on_device(machine, "bundled", "float32"))
        ).validation.value
    )
    specs = [(small_spec(machine, machine.new_folder("shared")),) for _ in range(count)]
    results = in_processes(evaluate_in_child, specs, machine.seconds_left())
    devices, accuracies, passes = zip(*results, strict=True)
    if set(devices) != {machine.device.type}:
        raise AssertionError(f"the processes ran on {', '.join(devices)}")
    if len(set(passes)) != 1:
        raise AssertionError(f"the processes made {passes} passes, not equally many")
    spread = max(abs(accuracy - alone) for accuracy in accuracies)
    lowest, highest = min(accuracies), max(accuracies)
    note = f"{count} processes, {passes[0]} passes each: {lowest:.2f} to {highest:.2f} %; alone {alone:.2f} %"
    return Measured(spread, "points", Bar(0.5), note)


def pinned_copies(machine: Machine) -> Measured:
    """Measure the share of the bytes sent to the GPU that came from pinned memory, as the profiler sees the copies."""
    if not machine.is_gpu:
        raise NotRun("nothing is copied to a device")
    from torch.profiler import ProfilerActivity, profile

    dataset, indices = digits(machine.sizes.extracted)
    backbone = on_device(machine, "bundled", "float32")
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        extracted(backbone, machine, dataset, indices)
        machine.wait()
    file = machine.new_folder("trace") / "trace.json"
    profiler.export_chrome_trace(str(file))
    sent = copied_bytes(json.loads(file.read_text(encoding="utf-8")))
    total = sum(count for (way, _), count in sent.items() if way == "HtoD")
    if not total:
        raise NotRun("the profiler shows no copies here")
    share = 100 * sent.get(("HtoD", "Pinned"), 0) / total
    back = ", ".join(f"{count / 2**20:.1f} MiB to {memory}" for (way, memory), count in sent.items() if way == "DtoH")
    return Measured(share, "%", Bar(95, at_least=True), f"{total / 2**20:.1f} MiB sent; back: {back or 'nothing'}")


def copied_bytes(trace: dict[str, Any]) -> dict[tuple[str, str], int]:
    """Sum the bytes of copies between GPU and CPU in a trace, by direction and by the kind of memory on the CPU."""
    sums: dict[tuple[str, str], int] = {}
    for event in trace["traceEvents"]:
        words = str(event.get("name", "")).replace("(", "").replace(")", "").split()
        if len(words) == 5 and words[0] == "Memcpy" and words[1] in ("HtoD", "DtoH"):  # Memcpy HtoD (Pinned -> Device)
            memory = words[2] if words[1] == "HtoD" else words[4]
            key = words[1], memory
            sums[key] = sums.get(key, 0) + int(event.get("args", {}).get("bytes", 0))
    return sums


ROWS = [
    Row("memory-runs-out", "right", 20, memory_runs_out),
    Row("processes-share", "right", 60, probes_share),
    Row("pinned-copies", "right", 15, pinned_copies),
]
