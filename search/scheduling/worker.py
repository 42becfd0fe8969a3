"""Runs requests in a worker, which builds its probe once. It does not know Ray."""

import logging
import math
import traceback
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from objectives.devices import use_gpu_share
from objectives.results import Epoch, Evaluation, Rung
from search.scheduling.requests import BaselineRequest, FinalRequest, Request, ScreeningRequest, TrialRequest
from spaces import SearchError
from spaces.errors import first_line

Report = Callable[[dict[str, Any]], None]
"""Sends one message to the coordinator."""


MEMORY_WORDS = ("out of memory", "allocate memory", "ALLOC_FAILED")
"""Parts of the messages of errors for want of memory, of the machine or of its GPU."""

BROKEN_WORDS = ("CUDA error", "cuDNN error")
"""Parts of the messages of errors after which a process can use its GPU no more, unless they are for want of memory."""

MACHINE_WORDS = (*MEMORY_WORDS, *BROKEN_WORDS, "No space left on device")
"""Parts of the messages of errors that a machine causes, and that have no type of their own."""


class ProbeFactory(Protocol):
    """Makes a probe in each worker, as `objectives.probing.builder.ProbeBuilder` does. It must be picklable."""

    def build(self, threads: int) -> Any:
        """Return a callable `probe(setting)` that yields reports.

        It has a method `reevaluate(setting, seed)`, which yields reports and at last a Reevaluation, a method
        `finalise(setting, seed)`, which yields reports and at last a Final, a method `screen(settings, images)`,
        which yields reports and at last a ScreenedPart, and a method `baseline(setting)`, which yields a Baseline, or
        nothing.
        """
        ...


_probe: Any = None


def run_request(request: Request, spec: ProbeFactory, threads: int, gpus: float, report: Report) -> None:
    """Send each report of a request. A failure is sent too: raising would cost the process and its network.

    An error after which the process can use its GPU no more is raised after it was sent, so that the process ends.
    threads: CPU threads of this worker. gpus: its GPUs; workers that share one also share its memory.
    """
    global _probe  # noqa: PLW0603
    try:
        if _probe is None:  # workers are reused, so network and features stay loaded between trials
            report({"worker": "started"})
            _probe = _build(spec, threads, gpus)
            report({"worker": "ready"})
        for message in _reports(_probe, request):
            if isinstance(message, (Epoch, Evaluation)) and not math.isfinite(message.score):
                raise ValueError(f"its score is {message.score}, which cannot be compared with others")
            images = {"images": message.images} if isinstance(message, Rung) else {}
            report({"report": message, **images})
    except SearchError as error:
        report({"cause": error})
    except Exception as error:  # any other error is the result of this trial
        logging.getLogger(__name__).warning("trial failed:\n%s", traceback.format_exc())
        report({"error": reason_of(error), "by_machine": is_machine_fault(error)})
        if has_broken_process(error):
            raise


def _reports(probe: Any, request: Request) -> Iterator[Any]:
    """Yield the reports of a probe that answer a request."""
    match request:
        case ScreeningRequest(settings, images):
            yield from probe.screen(settings, images)
        case FinalRequest(setting, seed, test=True):
            yield from probe.finalise(setting, seed)
        case FinalRequest(setting, seed):
            yield from probe.reevaluate(setting, seed)
        case BaselineRequest(baseline_setting):
            yield from probe.baseline(baseline_setting)
        case TrialRequest():
            yield from probe(request.setting)


def _build(spec: ProbeFactory, threads: int, gpus: float) -> Any:
    """Build the probe. What fails here is no fault of a setting, so every error becomes a SearchError."""
    try:
        if 0 < gpus < 1:
            use_gpu_share(gpus)
        return spec.build(threads)
    except SearchError:
        raise
    except Exception as error:
        logging.getLogger(__name__).warning("worker cannot start:\n%s", traceback.format_exc())
        raise SearchError(f"a worker cannot start: {type(error).__name__}: {first_line(error)}") from error


def reason_of(error: BaseException) -> str:
    """Return in one line why a request failed."""
    reason = f"{type(error).__name__}: {first_line(error)}" if str(error) else type(error).__name__
    return f"out of memory: {reason}" if is_out_of_memory(error) else reason


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that the machine or its GPU has too little memory."""
    return isinstance(error, MemoryError) or any(word in str(error) for word in MEMORY_WORDS)


def is_machine_fault(error: BaseException) -> bool:
    """Return whether a trial failed because of the machine, and may succeed at another time.

    Such are all errors of the operating system (a full disk, a lost network share, too many open files), too little
    memory, and errors of a GPU.
    """
    return isinstance(error, OSError) or is_out_of_memory(error) or any(word in str(error) for word in MACHINE_WORDS)


def has_broken_process(error: BaseException) -> bool:
    """Return whether the process that raised an error can use its GPU no more, as after an illegal memory access."""
    return any(word in str(error) for word in BROKEN_WORDS) and not is_out_of_memory(error)
