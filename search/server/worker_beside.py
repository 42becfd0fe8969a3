"""A worker beside the server, as a process of its own. It is started again where it dies."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import search
from search.server.settings import Settings

AGAIN_SECONDS, LONGEST_AGAIN_SECONDS = 5.0, 300.0
"""Shortest and longest pause before a worker that died is started again. It doubles while workers die early."""

EARLY_SECONDS = 60.0
"""A worker that lived longer than this did not die early."""

ORDERLY_SECONDS = 20.0
"""Longest wait for the worker to give its job back at the end."""


@contextmanager
def worker_beside(settings: Settings) -> Iterator[None]:
    """Keep a worker running while the block works. It uses the cores and GPUs that no other worker has."""
    stop = threading.Event()
    thread = threading.Thread(target=_keep, args=(settings, stop), name="worker beside the server")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _keep(settings: Settings, stop: threading.Event) -> None:
    again = AGAIN_SECONDS
    while not stop.is_set():
        began, process = time.monotonic(), _start(settings)
        while process.poll() is None and not stop.wait(0.2):
            pass
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(ORDERLY_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        else:
            again = AGAIN_SECONDS if time.monotonic() - began > EARLY_SECONDS else again
            stop.wait(again)
            again = min(2 * again, LONGEST_AGAIN_SECONDS)


def _start(settings: Settings) -> "subprocess.Popen[bytes]":
    """Start the worker. The database, whose URL may hold a password, is in its environment and not in its command."""
    folder = str(Path(search.__file__).parents[1])
    path = os.pathsep.join([folder, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "SEARCH_HOME": str(settings.home.folder)}
    for name in ("SEARCH_STORAGE", "SEARCH_TOKEN"):
        environment.pop(name, None)
    if isinstance(settings.database, str):
        environment["SEARCH_STORAGE"] = settings.database
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "search", "worker"],
        env=environment,
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C at the terminal is for the server, which ends the worker in good order
    )
