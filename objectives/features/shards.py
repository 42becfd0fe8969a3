"""A shard: what was computed of some hundred images, in one file.

    images            uint8 (n, 32)         sha256 of each image's content, in the order of the rows
    block-16-grid-4   float16 (n, c, 4, 4)  and so on, a row for each image

Rows are written as they are made, and the file appears under its name at once and whole after the last of them. Each
tensor has a digest (XXH3, as fast as memory), checked by each process that reads it. The format is safetensors: any
tool can read it, no code runs, and a tensor is mapped instead of loaded.
"""

import errno
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from xxhash import xxh3_128

from spaces import CacheError

log = logging.getLogger(__name__)

IMAGES = "images"
SUFFIX = ".safetensors"
KEY_BYTES = 32
FLOAT16_MAX = torch.finfo(torch.float16).max
_NAMES = {torch.float16: "F16", torch.float32: "F32", torch.uint8: "U8"}


def image_keys(digests: Sequence[str]) -> np.ndarray:
    """sha256 digests in hexadecimal as an array of 32 bytes each, which can be sorted and compared."""
    return np.frombuffer(bytes.fromhex("".join(digests)), f"S{KEY_BYTES}")


@dataclass(frozen=True, slots=True)
class Column:
    """One tensor of a shard without its number of rows: shape is of a single row."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def row_bytes(self) -> int:
        return self.dtype.itemsize * int(np.prod(self.shape, dtype=np.int64))


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

    def append(self, rows: Mapping[str, torch.Tensor]) -> None:
        """The next rows of every column, float tensors of any device, or uint8. Raises CacheError on a full disk."""
        too_large = [
            name for name, values in rows.items() if self.columns[name].dtype == torch.float16 and not _fits(values)
        ]
        with explaining_full_disk(self.part.parent):
            if too_large:
                self._widen(too_large)
            for name, values in rows.items():
                self._put(name, values.to("cpu", self.columns[name].dtype))

    def _widen(self, names: Sequence[str]) -> None:
        """Begin the file again with float32 columns, and take the rows that are there already over into it."""
        columns, starts, ends, file = self.columns, self._starts, self._at, self._file
        self._open({name: replace(c, dtype=torch.float32) if name in names else c for name, c in columns.items()})
        for name, column in columns.items():
            there = os.pread(file, ends[name] - starts[name], starts[name])
            if there:
                values = torch.frombuffer(bytearray(there), dtype=column.dtype).reshape(-1, *column.shape)
                self._put(name, values.to(self.columns[name].dtype))
        os.close(file)

    def _put(self, name: str, values: torch.Tensor) -> None:
        content = values.contiguous().numpy().data.cast("B")
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
        for name, column in {IMAGES: Column(torch.uint8, (KEY_BYTES,)), **self.columns}.items():
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


def _fits(values: torch.Tensor) -> bool:
    low, high = torch.aminmax(values)
    return bool(low >= -FLOAT16_MAX) and bool(high <= FLOAT16_MAX)  # false for NaN as well


@final
@dataclass(frozen=True, eq=False)
class Shard:
    """A shard on disk. columns: what it holds beside the images. seconds: what it took to make."""

    path: Path
    images: int
    columns: frozenset[str]
    seconds: float

    @classmethod
    def open(cls, path: Path) -> "Shard | None":
        """None where the file is gone; where it is damaged it is removed first, and this is said."""
        with _removing_damaged(path) as outcome, safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            names = frozenset(file.keys()) - {IMAGES}
            count = file.get_slice(IMAGES).get_shape()[0]
            if not names <= metadata.keys():
                raise KeyError(IMAGES)
            outcome.append(cls(path, count, names, float(metadata["seconds"])))
        return outcome[0] if outcome else None

    def read(self, name: str, *, checked: bool = True) -> torch.Tensor | None:
        """A column, or IMAGES, mapped from the file: (n, …), not to be written to.

        checked: compare with the digest. None where the file is gone, or damaged (then it is removed, with a warning).
        """
        with _removing_damaged(self.path) as outcome, safe_open(self.path, framework="pt") as file:
            values: torch.Tensor = file.get_tensor(name)
            if checked and file.metadata()[name] != xxh3_128(values.numpy().data.cast("B")).hexdigest():
                raise KeyError(name)
            outcome.append(values)
        return outcome[0] if outcome else None

    def keys(self) -> np.ndarray | None:
        """The images, as `image_keys` gives them; None as `read` does."""
        values = self.read(IMAGES)
        return None if values is None else values.numpy().view(f"S{KEY_BYTES}").reshape(-1)

    def sound(self) -> bool:
        """Every digest holds; where one does not the file is removed, with a warning."""
        return all(self.read(name) is not None for name in (IMAGES, *self.columns))


@contextmanager
def _removing_damaged(path: Path) -> Iterator[list[Any]]:
    outcome: list[Any] = []
    try:
        yield outcome
    except FileNotFoundError:
        outcome.clear()
    except (SafetensorError, KeyError, TypeError, ValueError):
        outcome.clear()
        log.warning("%s is damaged; it is removed and made again", path)
        path.unlink(missing_ok=True)


@contextmanager
def explaining_full_disk(folder: Path) -> Iterator[None]:
    """Within, what the file system refuses is a CacheError that says what would do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise CacheError(f"the disk of {folder} is full; free some space there or choose another --home") from error
        raise CacheError(f"cannot write to {folder}: {error}") from error
