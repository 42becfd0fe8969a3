"""Keeps a run alive: writes its heartbeat from a thread while the run works."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from search.database.connection.outages import OutageError
from spaces import StorageError

HEARTBEAT_SECONDS = 10.0

END_SECONDS = 3.0


@contextmanager
def heartbeat(write: Callable[[], None], seconds: float = HEARTBEAT_SECONDS) -> Iterator[None]:
    """Call `write` in a thread of its own, with a pause of `seconds` between calls, until the block ends.

    A StorageError of `write` is logged as a warning, unless the database does not answer: the run says so when it needs
    the database. The next call may succeed. The block ends without a last call that takes longer than `END_SECONDS`.
    """
    stop = threading.Event()

    def keep_writing() -> None:
        while not stop.wait(seconds):
            try:
                write()
            except OutageError:
                pass
            except StorageError as error:
                logging.getLogger(__name__).warning("no heartbeat: %s", error)

    thread = threading.Thread(target=keep_writing, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(END_SECONDS)
