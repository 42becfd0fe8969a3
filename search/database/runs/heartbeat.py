"""Keeps a run alive: writes its heartbeat from a thread while the run works."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from spaces import StorageError

HEARTBEAT_SECONDS = 10.0


@contextmanager
def heartbeat(write: Callable[[], None], seconds: float = HEARTBEAT_SECONDS) -> Iterator[None]:
    """Call `write` in a thread of its own, with a pause of `seconds` between calls, until the block ends.

    A StorageError of `write` is logged as a warning. The next call may succeed.
    """
    stop = threading.Event()

    def keep_writing() -> None:
        while not stop.wait(seconds):
            try:
                write()
            except StorageError as error:
                logging.getLogger(__name__).warning("no heartbeat: %s", error)

    thread = threading.Thread(target=keep_writing, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
