"""Ends work in good order at Ctrl-C and SIGTERM."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def at_first_signal(act: Callable[[], None]) -> Iterator[None]:
    """Call `act` at the first Ctrl-C or SIGTERM. The handlers from before get the second one.

    Outside the main thread, which alone gets signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)

    def on_signal(_number: int, _frame: object) -> None:
        restore()
        act()

    for number in handlers:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        restore()
