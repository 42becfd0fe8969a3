"""Tells a person who follows a job that no worker is alive."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from search.cli.output import print_aside
from spaces import SearchError

WORKER_SECONDS = 5.0
"""Pause between two questions whether a worker is alive."""

JOIN_SECONDS = 1.0
"""Longest wait for the answer to the last one."""


@contextmanager
def telling_of_no_worker(
    job: int, has_worker: Callable[[], bool], state: Callable[[], str], words: Sequence[str] = ()
) -> Iterator[None]:
    """Print on standard error that a job waits for a worker: each time when it begins to, until the block ends.

    has_worker: whether a worker is alive. state: of the job. Both are asked in a thread, every few seconds. A job whose
    worker was killed is still "running"; another worker takes it. words: of a command line, name the home folder and
    the database.
    """
    from search.queue.description import no_worker_line

    stop = threading.Event()

    def waits() -> bool:
        return not has_worker() and state() in ("queued", "running")

    def tell(waited: bool) -> bool:
        try:
            now_waits = waits()
        except SearchError:  # whoever follows the job says so
            return waited
        if now_waits and not waited and not stop.is_set():
            print_aside(no_worker_line(f"job {job}", words))
        return now_waits

    def watch(waited: bool) -> None:
        while not stop.wait(WORKER_SECONDS):
            waited = tell(waited)

    thread = threading.Thread(target=watch, args=(tell(False),), name="workers", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(JOIN_SECONDS)
