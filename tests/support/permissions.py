"""A user who may read a folder and not write it."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest


@contextmanager
def somebody_else(folder: Path) -> Iterator[None]:
    """Make a folder read-only, and be a user whom permissions hold for."""
    for path in folder.parents:
        if path.is_relative_to(tempfile.gettempdir()) and path != Path(tempfile.gettempdir()):
            path.chmod(0o755)
    folder.chmod(0o555)
    for path in folder.iterdir():
        path.chmod(0o444)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
        if not os.access(optuna.__file__, os.R_OK, effective_ids=True):
            os.seteuid(0)
            pytest.skip("another user cannot read this Python's libraries")
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
