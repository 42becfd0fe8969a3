"""A worker sends what fails in words, and says whether the machine was at fault. The probes here are of a few lines."""

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from objectives.results import Accuracy, Epoch, Evaluation, Report
from search.scheduling import worker
from search.scheduling.requests import TrialRequest
from search.scheduling.worker import is_machine_fault, reason_of, run_request
from spaces import DatasetError, Setting

REQUEST = TrialRequest(0, Setting(10, 3, 1, "linear"), 1)
BROKEN_GPU = "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be asynchronously reported"


@dataclass(frozen=True)
class Probe:
    """Yields a report and raises an error, or either."""

    report: Report | None = None
    error: Exception | None = None

    def build(self, threads: int) -> "Probe":
        return self

    def __call__(self, setting: Setting) -> Iterator[Report]:
        if self.report is not None:
            yield self.report
        if self.error is not None:
            raise self.error


def messages(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Return what a new worker sends of one trial, but for its start."""
    monkeypatch.setattr(worker, "_probe", None)
    sent: list[dict[str, Any]] = []
    run_request(REQUEST, probe, 1, 0.0, sent.append)
    assert sent[:2] == [{"worker": "started"}, {"worker": "ready"}]
    return sent[2:]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("l2 must be positive\nsecond line"), "ValueError: l2 must be positive"),
        (ZeroDivisionError(), "ZeroDivisionError"),
        (MemoryError(), "out of memory: MemoryError"),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried"),
            "out of memory: OutOfMemoryError: CUDA out of memory. Tried",
        ),
        (RuntimeError(BROKEN_GPU), f"RuntimeError: {BROKEN_GPU.splitlines()[0]}"),
    ],
    ids=str,
)
def test_reasons_are_one_line(error: Exception, reason: str) -> None:
    assert reason_of(error) == reason


def test_the_allocators_of_numpy_and_torch_say_that_memory_is_short() -> None:
    with pytest.raises(MemoryError) as of_numpy:
        np.empty(2**62, np.uint8)
    with pytest.raises(RuntimeError) as of_torch:
        torch.empty(2**62, dtype=torch.uint8)
    for error in (of_numpy.value, of_torch.value):
        assert is_machine_fault(error)
        assert reason_of(error).startswith("out of memory: ")
        assert "\n" not in reason_of(error)


def test_a_trial_without_memory_fails_and_keeps_its_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    (sent,) = messages(Probe(error=MemoryError("no room")), monkeypatch)
    assert sent == {"error": "out of memory: MemoryError: no room", "by_machine": True}


def test_an_error_that_breaks_the_gpu_of_a_process_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else every further trial of this worker would fail, and ten in a row end the run."""
    monkeypatch.setattr(worker, "_probe", Probe(error=RuntimeError(BROKEN_GPU)))
    sent: list[dict[str, Any]] = []
    with pytest.raises(RuntimeError, match="illegal memory access"):
        run_request(REQUEST, Probe(), 1, 0.0, sent.append)
    assert [(message["by_machine"], "illegal memory access" in message["error"]) for message in sent] == [(True, True)]


@pytest.mark.parametrize("score", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("kind", ["epoch", "evaluation"])
def test_a_score_that_is_no_number_fails_the_trial_for_good(
    kind: str, score: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database would not keep it, and no sampler can order it."""
    accuracy = Accuracy(1, 2)
    report = Epoch(1, accuracy, score) if kind == "epoch" else Evaluation(accuracy, {}, 0, 0, metric_score=score)
    (sent,) = messages(Probe(report), monkeypatch)
    assert sent == {
        "error": f"ValueError: its score is {score}, which cannot be compared with others",
        "by_machine": False,
    }


def test_an_image_that_cannot_be_read_any_more_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    error = DatasetError("/data/a.png cannot be read: it has changed since it was first read")
    (sent,) = messages(Probe(error=error), monkeypatch)
    assert sent == {"cause": error}


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EMFILE, "Too many open files"),
        ConnectionResetError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError('Error while serializing: IoError(Os { code: 28, message: "No space left on device" })'),
    ],
    ids=str,
)
def test_faults_of_the_machine(error: Exception) -> None:
    assert is_machine_fault(error)


@pytest.mark.parametrize("error", [ValueError("l2"), RuntimeError("shape mismatch"), ZeroDivisionError()], ids=str)
def test_faults_of_a_setting(error: Exception) -> None:
    assert not is_machine_fault(error)
