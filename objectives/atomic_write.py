"""Writes files so that no reader sees one that is half written."""

import hashlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LONGEST_SECONDS = 3600.0
"""No file takes longer to write. What is older was left by a process that was killed."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path whose file replaces `path` when the context ends, and is removed after an error.

    The file is in a folder of its own beside `path`: libraries put further files beside what they write. So threads
    and processes may write the same file at the same time. Folders of killed processes are removed by the next one.
    """
    _sweep(path)
    folder = path.with_name(f"{_short_name(path)}.{uuid.uuid4().hex}.part")
    folder.mkdir()
    try:
        part = folder / "content.part"
        yield part
        part.replace(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(path: Path) -> None:
    """Remove what killed processes left of this file."""
    former = re.escape(path.name)  # in earlier versions
    name = re.compile(rf"({former}|{re.escape(_short_name(path))})\.[0-9a-f]{{32}}\.part")
    with suppress(OSError):  # such as a folder that is not there, or belongs to somebody else
        for left in path.parent.iterdir():
            if name.fullmatch(left.name) and time.time() - left.stat().st_mtime > LONGEST_SECONDS:
                if left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    left.unlink()


def _short_name(path: Path) -> str:
    """Return the beginning of the folder's name: that of the file may be as long as the system allows."""
    return f".{hashlib.blake2b(os.fsencode(path.name), digest_size=8).hexdigest()}"
