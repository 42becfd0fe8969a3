"""A shard: what was computed of some hundred images, in one file.

    images            uint8 (n, 32)         sha256 of each image's content, in the order of the rows
    block-16-grid-4   float16 (n, c, 4, 4)  and so on, a row for each image

Rows are written as they are made, and the file appears under its name at once and whole after the last of them. Each
tensor has a digest (XXH3, as fast as memory), checked by each process that reads it. The format is safetensors: any
tool can read it, no code runs, and a single tensor is read without the others.
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

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

IMAGES = "images"
SUFFIX = ".safetensors"
KEY_BYTES = 32
AHEAD = 16
"""Shards open at a time: small pieces keep a disk busy only many at once."""
PIECE = 2**18
"""Bytes that are read before they are digested: they are in the CPU's cache still."""
FLOAT16, FLOAT32, UINT8 = np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.uint8)
_NAMES: dict[np.dtype[Any], str] = {FLOAT16: "F16", FLOAT32: "F32", UINT8: "U8"}
_DTYPES = {name: dtype for dtype, name in _NAMES.items()}


def image_keys(digests: Sequence[str]) -> np.ndarray:
    """sha256 digests in hexadecimal as an array of 32 bytes each, which can be sorted and compared."""
    return np.frombuffer(bytes.fromhex("".join(digests)), f"S{KEY_BYTES}")


@dataclass(frozen=True, slots=True)
class Column:
    """One tensor of a shard without its number of rows. shape: that of a single row."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def row_bytes(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape)


def shard_bytes(images: int, columns: Mapping[str, Column]) -> int:
    """The size of a shard's file, but for its header of a few kilobytes."""
    return images * (KEY_BYTES + sum(column.row_bytes for column in columns.values()))


@final
class ShardWriter:
    """Takes a shard's rows in order. Until `commit` there is only a `.part` file, of the shard's full size.

    images: keys as of `image_keys`. What exceeds float16 in a float16 column is kept in float32, then the whole column.
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
        at = header + self.images.nbytes
        self._starts = {}
        for name, column in columns.items():
            self._starts[name] = at
            at += column.row_bytes * len(self.images)
        self._at = dict(self._starts)
        self.part.unlink(missing_ok=True)
        self._file = os.open(self.part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        os.truncate(self._file, at)  # so that whoever counts bytes sees what this will take
        self._put_bytes(header, self.images.tobytes())

    def append(self, rows: "Mapping[str, torch.Tensor]") -> None:
        """The next rows of every column, float tensors of any device, or uint8. Raises CacheError on a full disk."""
        stored = {name: _on_cpu(values, self.columns[name].dtype) for name, values in rows.items()}
        too_large = [name for name, values in stored.items() if values.dtype == FLOAT16 and not _finite(values)]
        with explaining_full_disk(self.part.parent):
            if too_large:
                self._widen(too_large)
                stored |= {name: _on_cpu(rows[name], FLOAT32) for name in too_large}
            for name, values in stored.items():
                self._put(name, values)

    def _widen(self, names: Sequence[str]) -> None:
        """Begin the file again with float32 columns, and take the rows that are there already over into it."""
        columns, starts, ends, file = self.columns, self._starts, self._at, self._file
        self._open({name: replace(c, dtype=FLOAT32) if name in names else c for name, c in columns.items()})
        for name, column in columns.items():
            there = os.pread(file, ends[name] - starts[name], starts[name])
            if there:
                values = np.frombuffer(there, column.dtype).reshape(-1, *column.shape)
                self._put(name, values.astype(self.columns[name].dtype))
        os.close(file)

    def _put(self, name: str, values: np.ndarray) -> None:
        content = values.data.cast("B")
        self._digests[name].update(content)
        self._put_bytes(self._at[name], content)
        self._at[name] += len(content)

    def _put_bytes(self, at: int, content: bytes | memoryview) -> None:
        view = memoryview(content)
        while view:
            written = os.pwrite(self._file, view, at)
            at, view = at + written, view[written:]

    def _header_of(self, seconds: float) -> bytes:
        """safetensors' own: eight bytes of length, then JSON, padded. Equally long whatever the values are."""
        metadata = {
            IMAGES: xxh3_128(self.images.tobytes()).hexdigest(),
            **{name: digest.hexdigest() for name, digest in self._digests.items()},
            "seconds": f"{seconds:012.3f}",
        }
        entries: dict[str, object] = {"__metadata__": metadata}
        at = 0
        for name, column in {IMAGES: Column(UINT8, (KEY_BYTES,)), **self.columns}.items():
            end = at + column.row_bytes * len(self.images)
            shape = [len(self.images), *column.shape]
            entries[name] = {"dtype": _NAMES[column.dtype], "shape": shape, "data_offsets": [at, end]}
            at = end
        text = json.dumps(entries).encode()
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text

    def commit(self, path: Path, seconds: float) -> None:
        """Give the shard its name. seconds: what it took to make. Raises ValueError where rows are lacking."""
        sizes = {name: column.row_bytes * len(self.images) for name, column in self.columns.items()}
        lacking = sorted(name for name, size in sizes.items() if self._at[name] != self._starts[name] + size)
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
        """Leaves nothing of a shard that was not committed."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            self.part.unlink(missing_ok=True)


def _on_cpu(values: "torch.Tensor", dtype: np.dtype[Any]) -> np.ndarray:
    """The values of a tensor of any device, converted where they are: a GPU then sends half as many bytes."""
    import torch

    kind: torch.dtype = getattr(torch, dtype.name)
    stored: np.ndarray = values.to("cpu", kind).contiguous().numpy()
    return stored


def _finite(halves: np.ndarray) -> bool:
    """By their bits, of which infinity and NaN have the largest, positive and negative: thrice as fast as by value."""
    bits = halves.view(np.int16)
    return bool(bits.max() < 0x7C00) and bool(bits.view(np.uint16).max() < 0xFC00)


@dataclass(frozen=True, slots=True)
class _Stored:
    """Where a tensor lies in its shard's file, and the digest of its bytes."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    at: int
    bytes: int
    digest: str


@final
@dataclass(frozen=True, eq=False)
class Shard:
    """A shard on disk. columns: what it holds beside the images. seconds: what it took to make."""

    path: Path
    images: int
    columns: frozenset[str]
    seconds: float
    _tensors: Mapping[str, _Stored]

    @classmethod
    def open(cls, path: Path) -> "Shard | None":
        """None where the file is gone; where it is damaged it is removed first, and this is said."""
        with _removing_damaged(path) as outcome, path.open("rb", buffering=0) as file:
            metadata, tensors = _header_in(file.fileno())
            columns = frozenset(tensors.keys() - {IMAGES})
            outcome.append(cls(path, tensors[IMAGES].shape[0], columns, float(metadata["seconds"]), tensors))
        return outcome[0] if outcome else None

    def read(self, name: str) -> np.ndarray | None:
        """A column, or IMAGES, (n, …). None as `read_each` says."""
        (values,) = read_each([(self, name)])
        return values

    def stored(self, name: str, file: int) -> np.ndarray:
        """A tensor of the shard's open file, compared with its digest. Raises KeyError where they differ."""
        where = self._tensors[name]
        content = np.empty(where.bytes, np.uint8)
        view, digest, at = content.data, xxh3_128(), where.at
        while view and (count := os.preadv(file, [view[:PIECE]], at)):
            digest.update(view[:count])
            view, at = view[count:], at + count
        if view or where.digest != digest.hexdigest():
            raise KeyError(name)
        return content.view(where.dtype).reshape(where.shape)

    def announce(self, name: str, file: int) -> None:
        """Have the system fetch a tensor of the open file from the disk meanwhile."""
        if hasattr(os, "posix_fadvise"):  # macOS has none
            where = self._tensors[name]
            os.posix_fadvise(file, where.at, where.bytes, os.POSIX_FADV_WILLNEED)

    def keys(self) -> np.ndarray | None:
        """The images, as `image_keys` gives them; None as `read` does."""
        values = self.read(IMAGES)
        return None if values is None else values.view(f"S{KEY_BYTES}").reshape(-1)

    def sound(self) -> bool:
        """Every digest holds; where one does not the file is removed, with a warning."""
        return all(self.read(name) is not None for name in (IMAGES, *self.columns))


def read_each(wanted: Iterable[tuple[Shard, str]]) -> Iterator[np.ndarray | None]:
    """A column, or IMAGES, of each shard, in order; the disk is at work on the next `AHEAD` meanwhile.

    None where the file is gone, or is damaged by what its digest says (then it is removed, with a warning).
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
    """A file descriptor, or -1 where the file is gone."""
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
    """What a shard's open file says of itself. Raises KeyError, TypeError or ValueError where that makes no sense."""
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
    if size != 8 + length + ends[-1]:
        raise ValueError("there is more or less than the header says")
    return metadata, tensors


@contextmanager
def _removing_damaged(path: Path) -> Iterator[list[Any]]:
    outcome: list[Any] = []
    try:
        yield outcome
    except FileNotFoundError:
        outcome.clear()
    except (AttributeError, KeyError, TypeError, ValueError):  # whatever its bytes are taken for
        outcome.clear()
        log.warning("%s is damaged; it is removed and made again", path)
        path.unlink(missing_ok=True)


@contextmanager
def explaining_full_disk(folder: Path) -> Iterator[None]:
    """Turn what the file system refuses in the context into a CacheError that says what would do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise CacheError(
                f"the disk of {folder} is full; free some space there, or choose a `home` on another disk"
            ) from error
        raise CacheError(f"cannot write to {folder}: {error}") from error
