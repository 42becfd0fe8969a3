"""Ends work in good order at Ctrl-C, at SIGTERM, and at SIGHUP, which a terminal sends when it closes."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOPS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that ask a process to end."""

_received: list[int] = []


def heeded_stops() -> tuple[signal.Signals, ...]:
    """Return the signals of `STOPS` that this process does not ignore. `nohup` makes it ignore SIGHUP.

    A signal with a handler that is not of Python's is left alone too: such a handler cannot be put back.
    """
    return tuple(number for number in STOPS if signal.getsignal(number) not in (signal.SIG_IGN, None))


def is_asked_to_end() -> bool:
    """Return whether this process has received a signal of `STOPS`."""
    return bool(_received)


def exit_code() -> int:
    """Return the exit code after a request to end: 128 and the number of the first signal, as a shell says it."""
    return 128 + (_received[0] if _received else signal.SIGINT)


def interrupt_at_signals() -> None:
    """Raise KeyboardInterrupt at SIGTERM and SIGHUP too, for as long as the process lives."""
    for number in heeded_stops():
        signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    _received.append(number)
    signal.default_int_handler(number, frame)


@contextmanager
def at_first_signal(act: Callable[[], None]) -> Iterator[None]:
    """Call `act` at the first signal of `STOPS`. The handlers from before get the second one.

    Outside the main thread, which alone gets signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in heeded_stops()}

    def restore() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)

    def on_signal(number: int, _frame: object) -> None:
        _received.append(number)
        restore()
        act()

    for number in handlers:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        restore()
