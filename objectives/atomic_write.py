"""Writes files so that no reader sees one that is half written."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path`, whose file replaces `path` when the context ends, and is removed after an error.

    Each call has its own path, so threads and processes may write the same file at the same time.
    """
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
