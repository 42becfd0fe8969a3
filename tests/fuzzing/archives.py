"""Fuzzes the unpacking of archives: tar files of odd members, with damaged headers and bytes, compressed or not.

    python -m tests.fuzzing.archives --seconds 300 --seed 0
    python -m tests.fuzzing.archives --only 1234 --seed 0    # one input again, with its traceback

An archive must be refused in one line, or unpacked. In both cases nothing but folders and plain files may appear, all
below the folder, and no more bytes than the limit. Anything else is a fault.
"""

import gzip
import random
import stat
import tarfile
import zlib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Literal

from objectives.archives import unpack
from tests.fuzzing.loop import Outcomes, count_outcomes, run_command

MOST_BYTES = 2**18
LONGEST = 500
"""Most characters of a refusal."""

NAMES = [
    *(
        "a",
        "b",
        "d",
        "d/a",
        "d/b",
        "d/e/a",
        "./a",
        "d//a",
        "a/",
        "..",
        "../secret",
        "d/../../secret",
        "/tmp/x",
        "/",
        "",
        ".",
    ),
    *("n" * 99, "n" * 300, "d/" * 40 + "a", "é", "\udce9", "two\nlines", "a\\b", "...", ".hidden", "secret"),
]
KINDS = [tarfile.REGTYPE] * 6 + [
    *(tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE),
    *(tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE, tarfile.GNUTYPE_LONGNAME),
    *(tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, b"Z"),
]
PAX = [
    {},
    {"path": "../secret"},
    {"size": "99999999999999"},
    {"size": "-1"},
    {"linkpath": "/"},
    {"GNU.sparse.map": "0,1,2,x"},
    {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9999999999"},
    {"GNU.sparse.size": "8", "GNU.sparse.numblocks": "-1"},
    {"hdrcharset": "BINARY", "path": "\udcff"},
    {"mtime": "x" * 100},
]


def archive(chance: random.Random) -> bytes:
    """Make an archive of a few odd members."""
    parts = []
    for _ in range(chance.choice([1, 2, 3, 8])):
        info = tarfile.TarInfo(chance.choice(NAMES))
        info.type, info.linkname = chance.choice(KINDS), chance.choice(NAMES)
        info.mode, info.mtime = chance.choice([0, 0o644, 0o7777]), chance.choice([0, 2**31, 2**33])
        info.pax_headers = dict(chance.choice(PAX))
        content = chance.choice([b"", b"x", bytes(512), chance.randbytes(700), bytes(2**19)])
        info.size = len(content)
        form: Literal[0, 1, 2] = chance.choice([0, 1, 2])  # USTAR, GNU, PAX
        try:
            header = info.tobuf(form, "utf-8", "surrogateescape")
        except ValueError:  # the form has no such name
            continue
        parts.append(header + content + bytes(-len(content) % tarfile.BLOCKSIZE))
    return b"".join(parts) + bytes(chance.choice([0, 512, 1024, 10_240]))


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Change numbers in headers, with a right checksum, or any bytes."""
    changed = bytearray(content)
    for _ in range(chance.choice([0, 1, 1, 3]) if content else 0):
        act = chance.random()
        block = tarfile.BLOCKSIZE * chance.randrange(max(len(changed) // tarfile.BLOCKSIZE, 1))
        if act < 0.5 and len(changed) >= block + tarfile.BLOCKSIZE:
            size = chance.choice(
                [b"77777777777\0", b"\xff" * 12, b"\x80" + b"\x7f" * 11, b"\x80" + bytes(11), b"x" * 12]
            )
            changed[block + 124 : block + 136] = size
            changed[block + 148 : block + 156] = b" " * 8
            checksum = sum(changed[block : block + tarfile.BLOCKSIZE])
            changed[block + 148 : block + 156] = b"%06o\0 " % checksum
        elif act < 0.8:
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        else:
            del changed[chance.randrange(len(changed)) :]
            if not changed:
                break
    return bytes(changed)


def read(root: Path) -> str:
    """Unpack the archive below a root, and look at all that is there then. Return "read", "refused", or a fault."""
    outcome = "read"
    try:
        unpack(root / "archive", root / "out", MOST_BYTES, lambda done: None)
    except (ValueError, OSError, EOFError, zlib.error) as error:
        outcome = "refused"
        if len(str(error)) > LONGEST:
            return f"a refusal of {len(str(error))} characters"
    if {path.name for path in root.iterdir()} != {"archive", "out", "secret"} or (
        root / "secret"
    ).read_text() != "kept":
        return "something changed outside the folder"
    total = 0
    for path in (root / "out").rglob("*"):
        status = path.lstat()
        total += status.st_size if stat.S_ISREG(status.st_mode) else 0
        if not (stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)) or status.st_mode & 0o7000:
            return "a member that is neither a folder nor a plain file"
        if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
            return "a hard link"
    return outcome if total <= MOST_BYTES else "more bytes than the limit"


def fuzz(seed: int, numbers: Iterable[int], seconds: float) -> Outcomes:
    """Unpack odd archives until `seconds` have passed."""

    def make(root: Path, chance: random.Random) -> tuple[str, Callable[[], str]]:
        (root / "out").mkdir(parents=True)
        (root / "secret").write_text("kept")
        content = damaged(archive(chance), chance)
        if chance.random() < 0.4:
            content = gzip.compress(content, 1, mtime=0)
            if chance.random() < 0.5:
                content = damaged(content, chance)
        (root / "archive").write_bytes(content)
        return f"{len(content)} bytes", partial(read, root)

    return count_outcomes(make, seed, numbers, seconds)


if __name__ == "__main__":
    run_command(__doc__, fuzz)
