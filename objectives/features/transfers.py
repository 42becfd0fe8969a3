"""Copies between CPU and GPU that do not wait for the forward passes, nor the passes for them."""

from collections.abc import Callable
from typing import Protocol, TypeVar, final

import torch

T = TypeVar("T")


class Transfers(Protocol):
    """The ways to a device and back."""

    def sent(self, values: torch.Tensor) -> torch.Tensor:
        """Return the values on the device, once they are there. Runs in any thread, beside forward passes."""
        ...

    def receiving(self, work: Callable[[T], None]) -> Callable[[T], None]:
        """Return `work`, which copies results of the passes begun so far to the CPU, and waits for no later pass.

        Call `receiving` in the thread of the passes, and its result in any thread.
        """
        ...


@final
class NoTransfers:
    """The device is the CPU: there is nothing to copy."""

    def sent(self, values: torch.Tensor) -> torch.Tensor:
        return values

    def receiving(self, work: Callable[[T], None]) -> Callable[[T], None]:
        return work


@final
class StreamTransfers:
    """One CUDA stream in each direction, beside the stream of the forward passes.

    The memory of what was sent belongs to its stream, and may be used again as soon as its tensor is gone. So its
    reader keeps the tensor until the passes have ended.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._there, self._back = (torch.cuda.Stream(device) for _ in range(2))  # type: ignore[no-untyped-call]

    def sent(self, values: torch.Tensor) -> torch.Tensor:
        """Copy values to the GPU. If the GPU has no memory for them, return them in pinned memory on the CPU."""
        pinned = values.pin_memory()
        try:
            with torch.cuda.stream(self._there):
                copied = pinned.to(self._device, non_blocking=True)
        except torch.OutOfMemoryError:
            return pinned
        self._there.synchronize()
        return copied

    def receiving(self, work: Callable[[T], None]) -> Callable[[T], None]:
        passes = torch.cuda.current_stream(self._device).record_event()

        def received(results: T) -> None:
            self._back.wait_event(passes)
            with torch.cuda.stream(self._back):
                work(results)

        return received


def transfers_of(device: torch.device) -> Transfers:
    return StreamTransfers(device) if device.type == "cuda" else NoTransfers()
