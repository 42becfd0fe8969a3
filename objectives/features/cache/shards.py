"""Shards: files with the features, pixels or latents of some hundred images each.

    images            uint8 (n, 32)         sha256 of each image's content, in the order of the rows
    block-16-grid-4   float16 (n, c, 4, 4)  and so on, a row for each image

Rows are written as they are made, and the file gets its name after the last row. Each tensor has a digest (XXH3, as
fast as memory), which is compared at every read. The format is safetensors: any tool can read it, no code runs, and a
single tensor is read without the others.
"""

import errno
import json
import logging
import math
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
from xxhash import xxh3_128

from spaces import CacheError
from spaces.files import check_ends

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

IMAGES = "images"
SUFFIX = ".safetensors"
KEY_BYTES = 32
AHEAD = 16
"""Shards that are open at the same time: only many small requests keep a disk busy."""
PIECE = 2**18
"""Bytes that are read and then digested, few enough to be in the CPU's cache still."""
FLOAT16, FLOAT32, UINT8 = np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.uint8)
_NAMES: dict[np.dtype[Any], str] = {FLOAT16: "F16", FLOAT32: "F32", UINT8: "U8"}
_DTYPES = {name: dtype for dtype, name in _NAMES.items()}


def image_keys(digests: Sequence[str]) -> np.ndarray:
    """Turn sha256 digests in hexadecimal into an array of 32-byte keys, which can be sorted and compared."""
    return np.frombuffer(bytes.fromhex("".join(digests)), f"S{KEY_BYTES}")


@dataclass(frozen=True, slots=True)
class Column:
    """Type and shape of a tensor in a shard. shape: shape of one row."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def row_bytes(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape)


def shard_bytes(images: int, columns: Mapping[str, Column]) -> int:
    """Return the size of a shard's file in bytes, without its header of a few kilobytes."""
    return images * (KEY_BYTES + sum(column.row_bytes for column in columns.values()))


@final
class ShardWriter:
    """Writes the rows of a shard in order. Until `commit`, there is only a `.part` file, of the shard's full size.

    images: keys from `image_keys`. If a value exceeds the range of float16, the whole column becomes float32.
    """

    def __init__(self, part: Path, images: np.ndarray, columns: Mapping[str, Column]) -> None:
        self.part = part
        self.images = images
        with explaining_full_disk(part.parent):
            self._open(columns)

    def _open(self, columns: Mapping[str, Column]) -> None:
        self.columns = dict(columns)
        self._digests = {name: xxh3_128() for name in columns}
        header = len(self._header_of(0))
        offset = header + self.images.nbytes
        self._starts = {}
        for name, column in columns.items():
            self._starts[name] = offset
            offset += column.row_bytes * len(self.images)
        self._offsets = dict(self._starts)
        self.part.unlink(missing_ok=True)
        self._file = os.open(self.part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        os.truncate(self._file, offset)  # so that a count of the cache's bytes includes the final size
        self._put_bytes(header, self.images.tobytes())

    def append(self, rows: "Mapping[str, torch.Tensor]") -> None:
        """Write the next rows of every column, tensors on any device. Raises CacheError on a full disk."""
        stored = {name: _on_cpu(values, self.columns[name].dtype) for name, values in rows.items()}
        too_large = [name for name, values in stored.items() if values.dtype == FLOAT16 and not _finite(values)]
        with explaining_full_disk(self.part.parent):
            if too_large:
                self._widen(too_large)
                stored |= {name: _on_cpu(rows[name], FLOAT32) for name in too_large}
            for name, values in stored.items():
                self._put(name, values)

    def _widen(self, names: Sequence[str]) -> None:
        """Begin the file again with float32 columns, and copy the rows that are written already."""
        columns, starts, ends, file = self.columns, self._starts, self._offsets, self._file
        self._open({name: replace(c, dtype=FLOAT32) if name in names else c for name, c in columns.items()})
        for name, column in columns.items():
            content = os.pread(file, ends[name] - starts[name], starts[name])
            if content:
                values = np.frombuffer(content, column.dtype).reshape(-1, *column.shape)
                self._put(name, values.astype(self.columns[name].dtype))
        os.close(file)

    def _put(self, name: str, values: np.ndarray) -> None:
        content = values.data.cast("B")
        self._digests[name].update(content)
        self._put_bytes(self._offsets[name], content)
        self._offsets[name] += len(content)

    def _put_bytes(self, offset: int, content: bytes | memoryview) -> None:
        view = memoryview(content)
        while view:
            written = os.pwrite(self._file, view, offset)
            offset, view = offset + written, view[written:]

    def _header_of(self, seconds: float) -> bytes:
        """Return the header as safetensors defines it: eight bytes of length, then padded JSON of constant length."""
        metadata = {
            IMAGES: xxh3_128(self.images.tobytes()).hexdigest(),
            **{name: digest.hexdigest() for name, digest in self._digests.items()},
            "seconds": f"{seconds:012.3f}",
        }
        entries: dict[str, object] = {"__metadata__": metadata}
        offset = 0
        for name, column in {IMAGES: Column(UINT8, (KEY_BYTES,)), **self.columns}.items():
            end = offset + column.row_bytes * len(self.images)
            shape = [len(self.images), *column.shape]
            entries[name] = {"dtype": _NAMES[column.dtype], "shape": shape, "data_offsets": [offset, end]}
            offset = end
        text = json.dumps(entries).encode()
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text

    def commit(self, path: Path, seconds: float) -> None:
        """Give the shard its name. seconds: the time it took to make. Raises ValueError if rows are missing."""
        sizes = {name: column.row_bytes * len(self.images) for name, column in self.columns.items()}
        lacking = sorted(name for name, size in sizes.items() if self._offsets[name] != self._starts[name] + size)
        if lacking:
            raise ValueError(f"a shard of {len(self.images)} images lacks rows of {', '.join(lacking)}")
        with explaining_full_disk(self.part.parent):
            self._put_bytes(0, self._header_of(seconds))
            os.close(self._file)
            self._file = -1
            self.part.replace(path)

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(self, *_: object) -> None:
        """Remove a shard that was not committed."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            self.part.unlink(missing_ok=True)


def _on_cpu(values: "torch.Tensor", dtype: np.dtype[Any]) -> np.ndarray:
    """Convert a tensor on its own device and copy it to the CPU; so a GPU sends half as many bytes.

    If the GPU has no memory for that, the CPU converts it.
    """
    import torch

    kind: torch.dtype = getattr(torch, dtype.name)
    try:
        values = values.to(kind).contiguous()  # `to("cpu", kind)` would convert on the CPU
    except torch.OutOfMemoryError:
        values = values.cpu().to(kind).contiguous()
    stored: np.ndarray = values.cpu().numpy()
    return stored


def _finite(halves: np.ndarray) -> bool:
    """Return whether all numbers are finite, from their bits, which is three times as fast as from their values.

    Among positive and among negative numbers, infinity and NaN have the largest bits.
    """
    bits = halves.view(np.int16)
    return bool(bits.max() < 0x7C00) and bool(bits.view(np.uint16).max() < 0xFC00)


@dataclass(frozen=True, slots=True)
class _Stored:
    """The position of a tensor in its shard's file, and the digest of its bytes."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int
    bytes: int
    digest: str


@final
@dataclass(frozen=True, eq=False)
class Shard:
    """A shard on disk.

    images: number of rows. columns: names of the columns. seconds: the time it took to make.
    """

    path: Path
    images: int
    columns: frozenset[str]
    seconds: float
    _tensors: Mapping[str, _Stored]

    @classmethod
    def open(cls, path: Path) -> "Shard | None":
        """Open a shard. Returns None if the file is gone or damaged; a damaged file is removed, with a warning."""
        with _removing_damaged(path) as outcome:
            check_ends(path)
            with path.open("rb", buffering=0) as file:
                metadata, tensors = _header_in(file.fileno())
            columns = frozenset(tensors.keys() - {IMAGES})
            outcome.append(cls(path, tensors[IMAGES].shape[0], columns, float(metadata["seconds"]), tensors))
        return outcome[0] if outcome else None

    def read(self, name: str) -> np.ndarray | None:
        """Return a column, or IMAGES, (n, …); None as `read_each` yields it."""
        (values,) = read_each([(self, name)])
        return values

    def stored(self, name: str, file: int) -> np.ndarray:
        """Read a tensor of the shard's open file. Raises KeyError if its digest differs."""
        where = self._tensors[name]
        content = np.empty(where.bytes, np.uint8)
        view, digest, offset = content.data, xxh3_128(), where.offset
        while view and (count := os.preadv(file, [view[:PIECE]], offset)):
            digest.update(view[:count])
            view, offset = view[count:], offset + count
        if view or where.digest != digest.hexdigest():
            raise KeyError(name)
        return content.view(where.dtype).reshape(where.shape)

    def announce(self, name: str, file: int) -> None:
        """Ask the operating system to begin reading a tensor of the open file from the disk."""
        if hasattr(os, "posix_fadvise"):  # macOS has none
            where = self._tensors[name]
            os.posix_fadvise(file, where.offset, where.bytes, os.POSIX_FADV_WILLNEED)

    def keys(self) -> np.ndarray | None:
        """Return the keys of the images, as `image_keys` makes them; None as `read` returns it."""
        values = self.read(IMAGES)
        return None if values is None else values.view(f"S{KEY_BYTES}").reshape(-1)

    def sound(self) -> bool:
        """Return whether every digest is right. If one is wrong, the file is removed, with a warning."""
        return all(self.read(name) is not None for name in (IMAGES, *self.columns))


def read_each(wanted: Iterable[tuple[Shard, str]]) -> Iterator[np.ndarray | None]:
    """Yield a column, or IMAGES, of each shard, in order, while the disk reads the next `AHEAD` ones.

    Yields None if the file is gone, or if its digest shows damage; a damaged file is removed, with a warning.
    """
    opened: deque[tuple[Shard, str, int]] = deque()
    try:
        for shard, name in wanted:
            file = _opened(shard.path)
            if file >= 0:
                shard.announce(name, file)
            opened.append((shard, name, file))
            if len(opened) > AHEAD:
                yield _next(opened)
        while opened:
            yield _next(opened)
    finally:
        for _, _, file in opened:
            if file >= 0:
                os.close(file)


def _opened(path: Path) -> int:
    """Return a file descriptor; -1 if the file is gone."""
    try:
        return os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return -1


def _next(opened: deque[tuple[Shard, str, int]]) -> np.ndarray | None:
    shard, name, file = opened.popleft()
    if file < 0:
        return None
    try:
        with _removing_damaged(shard.path) as outcome:
            outcome.append(shard.stored(name, file))
        return outcome[0] if outcome else None
    finally:
        os.close(file)


def _header_in(file: int) -> tuple[Mapping[str, str], dict[str, _Stored]]:
    """Read the header of a shard's open file. Raises one of `_DAMAGE` if the header is damaged."""
    size = os.fstat(file).st_size
    start = os.pread(file, 2**14, 0)
    length = int.from_bytes(start[:8], "little")
    if length > size - 8:
        raise ValueError("the header is cut off")
    text = start[8 : 8 + length]
    entries = json.loads(text + os.pread(file, length - len(text), 8 + len(text)))
    metadata, tensors, ends = entries.pop("__metadata__"), {}, [0]
    for name, entry in entries.items():
        (begin, end), shape = entry["data_offsets"], tuple(entry["shape"])
        column = Column(_DTYPES[entry["dtype"]], shape[1:])
        if begin != ends[-1] or end - begin != shape[0] * column.row_bytes:
            raise ValueError(f"{name} is not where it should be")
        tensors[name] = _Stored(column.dtype, shape, 8 + length + begin, end - begin, metadata[name])
        ends.append(end)
    if tensors[IMAGES].shape[1:] != (KEY_BYTES,) or len({stored.shape[0] for stored in tensors.values()}) > 1:
        raise ValueError("its tensors have different numbers of rows")
    if size != 8 + length + ends[-1]:
        raise ValueError("there is more or less than the header says")
    return metadata, tensors


_DAMAGE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""The errors that damaged bytes raise: they can mean anything."""


@contextmanager
def _removing_damaged(path: Path) -> Iterator[list[Any]]:
    """Remove the file if the context finds it damaged. Yields a list for the result, which is then empty.

    Raises CacheError if the file cannot be read, or if a folder, a pipe or a device has its name.
    """
    outcome: list[Any] = []
    try:
        yield outcome
    except FileNotFoundError:
        outcome.clear()
    except OSError as error:
        raise CacheError(f"cannot read {path}: {error.strerror or error}; remove it, and it is made again") from error
    except _DAMAGE:
        outcome.clear()
        log.warning("%s is damaged; it is removed and made again", path)
        path.unlink(missing_ok=True)


@contextmanager
def explaining_full_disk(folder: Path) -> Iterator[None]:
    """Turn an OSError in the context into a CacheError that says what would help."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise CacheError(
                f"the disk of {folder} is full; free some space there, or choose a `home` on another disk"
            ) from error
        raise CacheError(f"cannot write to {folder}: {error}") from error
