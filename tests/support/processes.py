"""Processes that tests start."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def child_process(command: Sequence[str], **options: Any) -> Iterator["subprocess.Popen[Any]"]:
    """Start a process. At the end, kill it if it still runs, wait for it, and close its pipes."""
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.kill()
