"""Puts one digest over all bytes of a safetensors file into it, and notices any byte that has changed since.

The metadata has the entry "digest": xxh3-128, as 32 hex digits, of all bytes of the file, with zeros for these digits.
"""

import json
from pathlib import Path

from xxhash import xxh3_128

DIGEST = "digest"
_BLANK = "0" * 32
UNSEALED = {DIGEST: _BLANK}
"""The entry with which a file is written before `seal`."""

_LENGTH_BYTES = 8
_PIECE = 2**20


def seal(path: Path) -> None:
    """Put the digest into a file whose metadata has the entry of `UNSEALED`. Raises OSError if that fails."""
    position, digest = _digest(path, _BLANK)
    with path.open("r+b") as file:
        file.seek(position)
        file.write(digest.encode())


def is_whole(path: Path, digest: str) -> bool:
    """Return whether all bytes of a file are those that were sealed. digest: the entry in its metadata."""
    try:
        return _digest(path, digest)[1] == digest
    except ValueError:
        return False


def _digest(path: Path, written: str) -> tuple[int, str]:
    """Return the position of the digest in a file, and what it must be. written: what stands there.

    Raises ValueError unless the header has this entry once, in the spelling of safetensors.
    """
    with path.open("rb") as file:
        length = file.read(_LENGTH_BYTES)
        header = file.read(min(int.from_bytes(length, "little"), path.stat().st_size))
        entry, blank = (f'"{DIGEST}":{json.dumps(digits)}'.encode() for digits in (written, _BLANK))
        if len(entry) != len(blank) or header.count(entry) != 1:
            raise ValueError(f"the header must have the entry {DIGEST} once, with {len(_BLANK)} digits")
        total = xxh3_128(length + header.replace(entry, blank))
        while piece := file.read(_PIECE):
            total.update(piece)
    return _LENGTH_BYTES + header.index(entry) + len(entry) - 1 - len(_BLANK), total.hexdigest()
