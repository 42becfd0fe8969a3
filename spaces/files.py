"""Refuses what is no file before it is opened, and what is too large before it is read."""

import errno
import stat
from pathlib import Path


def check_ends(path: Path) -> None:
    """Raise OSError for a pipe, a socket or a device: opening or reading one may never end.

    Files and folders pass, and so does a path that does not exist or cannot be looked at: opening it says why.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(errno.EINVAL, "it is a pipe, a socket or a device, not a file", str(path))


def read_small(path: Path, most_bytes: int) -> bytes:
    """Read a file. Raises OSError as `check_ends` does, for a file of more than `most_bytes`, and if reading fails."""
    check_ends(path)
    with path.open("rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"it has more than {most_bytes:,} bytes", str(path))
    return content
