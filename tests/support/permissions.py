"""A user who may read a folder and not write it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def somebody_else(folder: Path) -> Iterator[None]:
    """Make a folder read-only, and be a user whom permissions hold for."""
    for path in (folder.parent.parent, folder.parent):
        path.chmod(0o755)
    folder.chmod(0o555)
    for path in folder.iterdir():
        path.chmod(0o444)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
