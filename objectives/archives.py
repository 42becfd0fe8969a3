"""Unpacks tar archives member by member: nothing but folders and plain files, and nothing outside a folder.

Python's own filter for archives has had holes (CVE-2025-4517 among them). Here no link is ever made, so that the real
path of a file is the one that its name says, and the name is checked part by part. The bytes are read once, from front
to back, and counted: neither a header nor a compressed run of zeros can ask for more than the caller allows.
"""

import gzip
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, BinaryIO, cast, final

from spaces.errors import LONGEST, first_line, shown

CHUNK = 2**16
"""The most bytes that are read at once, and so the longest header, such as a long name."""

MOST_MEMBERS = 1_000_000
DEEPEST = 32
"""The most folders within each other."""

LONGEST_NAME = 1000
"""The most characters of a member's name, with its folders."""

LONGEST_PART = 255
"""The most bytes of a file's name, without its folders."""

_GZIP = b"\x1f\x8b"


def unpack(archive: Path, folder: Path, most_bytes: int, reports: Callable[[int], None]) -> None:
    """Unpack a `.tar` or `.tar.gz` file into a folder that exists and that nobody else writes to.

    Files and folders get the usual permissions, whatever the archive says. most_bytes: of the archive when it is
    decompressed. reports: called with the bytes of `archive` read so far, before each member.
    Raises ValueError in words for an archive that is damaged or longer than `most_bytes`, for a link, a device, a pipe
    or a sparse file, for a name that leaves the folder or that occurs twice, and for too many members. What was
    unpacked before the error stays. Raises OSError if a file cannot be read or written.
    """
    with archive.open("rb") as file:
        compressed = file.read(len(_GZIP)) == _GZIP
        file.seek(0)
        content = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if compressed else file
        stream, root = _Stream(content, most_bytes), _Root(folder)
        members = _opened(stream)
        count = 0
        while (member := _next(members, stream)) is not None:
            reports(file.tell())
            count += 1
            if count > MOST_MEMBERS:
                raise ValueError(f"it has more than {MOST_MEMBERS:,} members")
            if member.isdir():
                root.make_folders(_parts(member.name))
            else:
                _check_plain(member)
                stream.seek(member.offset_data)
                root.write(_parts(member.name), stream, member.size)
        while stream.read(CHUNK):  # so that gzip compares its checksum
            pass


@final
class _Stream:
    """The decompressed bytes of an archive, which are read once, from front to back, and up to a limit."""

    def __init__(self, content: BinaryIO, most_bytes: int) -> None:
        self._content, self._most_bytes, self._position = content, most_bytes, 0
        self.last = b""

    def tell(self) -> int:
        return self._position

    def read(self, size: int = CHUNK) -> bytes:
        if not 0 <= size <= CHUNK:
            raise ValueError(f"one of its headers says that it has {size:,} bytes, and at most {CHUNK:,} are read")
        self.last = self._content.read(size)
        self._position += len(self.last)
        if self._position > self._most_bytes:
            raise ValueError(
                f"it unpacks to more than {self._most_bytes:,} bytes, which is far more than its size says"
            )
        return self.last

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        """Read on to a position. Raises ValueError for one before the present position, or beyond the limit."""
        if whence != os.SEEK_SET or not self._position <= position <= self._most_bytes:
            raise ValueError("one of its headers names a place outside the archive")
        while self._position < position:
            if not self.read(min(CHUNK, position - self._position)):
                raise ValueError("it is cut off")
        return self._position


@final
class _Root:
    """The folder into which an archive is unpacked. Every path in it is made here, and none is a link."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve(strict=True)
        self._made: set[tuple[str, ...]] = {()}

    def make_folders(self, parts: tuple[str, ...]) -> None:
        """Make a folder and those above it. Raises ValueError where a file has one of their names."""
        for depth in range(1, len(parts) + 1):
            if parts[:depth] in self._made:
                continue
            path = self._folder.joinpath(*parts[:depth])
            try:
                path.mkdir()
            except FileExistsError:
                if path.is_symlink() or not path.is_dir():
                    raise ValueError(
                        f"it has a file and a folder of the name {shown('/'.join(parts[:depth]))}"
                    ) from None
            self._made.add(parts[:depth])

    def write(self, parts: tuple[str, ...], stream: _Stream, size: int) -> None:
        """Write the next `size` bytes of the archive to a new file."""
        name = shown("/".join(parts))
        if not parts:
            raise ValueError("it has a file without a name")
        self.make_folders(parts[:-1])
        try:
            with self._folder.joinpath(*parts).open("xb") as file:  # "x" follows no link
                while size:
                    content = stream.read(min(CHUNK, size))
                    if not content:
                        raise ValueError(f"it is cut off in {name}")
                    file.write(content)
                    size -= len(content)
        except FileExistsError:
            raise ValueError(f"it has {name} twice") from None


def _opened(stream: _Stream) -> tarfile.TarFile:
    try:
        return tarfile.TarFile(fileobj=cast(IO[bytes], stream))
    except OSError:
        raise
    except Exception as error:  # damaged headers make tarfile raise nearly anything
        raise ValueError(f"it is no tar archive: {first_line(error):.{LONGEST}}") from error


def _next(members: tarfile.TarFile, stream: _Stream) -> tarfile.TarInfo | None:
    """Return the next member, or None at the end. Raises ValueError for a damaged header, as tarfile does not."""
    try:
        member = members.next()
    except (OSError, ValueError, EOFError):
        raise
    except Exception as error:
        raise ValueError(f"one of its headers is damaged: {first_line(error):.{LONGEST}}") from error
    members.members.clear()  # type: ignore[attr-defined]  # tarfile would keep them all
    if member is None and stream.last.strip(b"\0"):
        raise ValueError(f"the header at byte {members.offset:,} is damaged")
    return member


def _check_plain(member: tarfile.TarInfo) -> None:
    """Raise ValueError for all but a plain file."""
    kinds = {
        tarfile.SYMTYPE: "a symbolic link",
        tarfile.LNKTYPE: "a hard link",
        tarfile.CHRTYPE: "a device",
        tarfile.BLKTYPE: "a device",
        tarfile.FIFOTYPE: "a pipe",
    }
    kind = kinds.get(member.type)
    if kind is None and (member.issparse() or member.type not in tarfile.REGULAR_TYPES):
        kind = "a sparse file or a member of unknown kind"
    if kind is not None:
        raise ValueError(f"{shown(member.name)} is {kind}, and only folders and plain files are unpacked")
    if member.size < 0:
        raise ValueError(f"{shown(member.name)} has a size below 0")


def _parts(name: str) -> tuple[str, ...]:
    """Return the folders and the file in a member's name. Raises ValueError for a name that leaves the folder."""
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise ValueError(f"the name {shown(name)} leaves the folder into which it is unpacked")
    if len(parts) > DEEPEST or len(name) > LONGEST_NAME:
        raise ValueError(f"the name {shown(name)} has more than {DEEPEST} folders or {LONGEST_NAME:,} characters")
    if any(len(os.fsencode(part)) > LONGEST_PART for part in parts):
        raise ValueError(f"the name {shown(name)} has a part of more than {LONGEST_PART} bytes, which no file can have")
    return parts
