"""A folder of shards that several processes, on one machine or several, read and fill together.

    <images>-<columns>.safetensors    a shard, named by two digests: the same work of two processes has one name
    <claim>.claim, .lease, .part      the images that a process works on, its heartbeat, and its unfinished shard
    claims.lease                      held for the milliseconds in which claims are compared

A claim is a lease that expires. If its holder dies on the same machine, the claim ends at once. If a holder on another
machine dies, or a holder is stopped, the claim ends after `LEASE_SECONDS` without a heartbeat. A stopped holder that
resumes writes identical data, so no reader ever sees a wrong feature.
"""

import contextlib
import os
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, final

import numpy as np
from filelock import AcquireReturnProxy, SoftFileLease, Timeout
from xxhash import xxh3_128

from objectives.features.cache.image_index import ImageIndex
from objectives.features.cache.shards import KEY_BYTES, SUFFIX, Shard, explaining_full_disk, read_each

if TYPE_CHECKING:
    import torch

LEASE_SECONDS = 30.0

IMAGE_INDEX = ImageIndex()
"""The sets of images of all folders that this process reads: the folders of all timesteps have the same sets."""


EMPTY_SECONDS = 2.0
"""A holder writes its name into a lease at once. The holder of a lease that is empty for longer is dead."""


class Lease(SoftFileLease):
    """A lease that also ends if its holder died before it wrote its name.

    filelock keeps such an empty file for ever, because the holders of its releases before 3.22 wrote no name.
    """

    _empty_since: float | None = None

    def acquire(self, *args: Any, **kwargs: Any) -> AcquireReturnProxy[Self]:
        """Acquire the lease as filelock does. While another process holds it, look whether its file stays empty."""
        return super().acquire(*args, cancel_check=self._end_if_empty, **kwargs)

    def _end_if_empty(self) -> bool:
        """Mark a file that stays empty as damaged: filelock ends a damaged lease. Return False: the wait goes on.

        A slow holder writes its name over the mark; the mark may also follow the name. filelock accepts both.
        """
        path = Path(self.lock_file)
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size == 0:
                self._empty_since = self._empty_since or time.monotonic()
                if time.monotonic() - self._empty_since > EMPTY_SECONDS:
                    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
                    os.write(descriptor, b"\n")
                    os.close(descriptor)
                return False
        self._empty_since = None
        return False


def lease(path: Path, seconds: float) -> Lease:
    """Return a lease that expires after `seconds` without a heartbeat."""
    return Lease(path, lease_duration=seconds, thread_local=False, poll_interval=0.005, mode=0o644)


@final
@dataclass(eq=False)
class Claim:
    """A claim of images: no other process works on them until the claim is withdrawn.

    images: keys. part: the path of the unfinished shard of these images.
    """

    images: np.ndarray
    path: Path
    _lease: Lease

    @property
    def part(self) -> Path:
        return self.path.with_suffix(".part")

    def rows_in(self, images: np.ndarray) -> np.ndarray:
        """Return the first position of each claimed image in `images`, keys that include all claimed ones."""
        order = np.argsort(images, kind="stable")
        rows: np.ndarray = order[np.searchsorted(images, self.images, sorter=order)]
        return rows

    def withdraw(self) -> None:
        """End the claim, and remove an unfinished shard."""
        self.part.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)
        self._lease.release()


@final
@dataclass(eq=False)
class ShardFolder:
    """A folder of shards. Several threads of a process may use it, if only one of them claims; any may end a claim."""

    folder: Path
    lease_seconds: float = LEASE_SECONDS
    _shards: dict[str, tuple[int, Shard]] = field(default_factory=dict, repr=False)
    _others: dict[str, Lease] = field(default_factory=dict, repr=False)
    _own: dict[str, Claim] = field(default_factory=dict, repr=False)
    _noted: set[str] = field(default_factory=set, repr=False)

    def refresh(self) -> None:
        """List the shards of the folder again."""
        try:
            names = {name for name in os.listdir(self.folder) if name.endswith(SUFFIX)}  # noqa: PTH208 - a hot path
        except (FileNotFoundError, NotADirectoryError):  # a writer explains the latter
            names = set()
        for gone in self._shards.keys() - names:
            del self._shards[gone]
        for name in names - self._shards.keys():
            members, shard = name.partition("-")[0], Shard.open(self.folder / name)
            number = IMAGE_INDEX.numbers.get(members)
            if shard is not None and number is None and (keys := shard.keys()) is not None:
                number = IMAGE_INDEX.add(members, keys)
            if shard is not None and number is not None:
                self._shards[name] = number, shard

    def columns(self) -> set[frozenset[str]]:
        """Return the different sets of columns in the shards."""
        return {shard.columns for _, shard in self._shards.values()}

    def locate(
        self, images: np.ndarray, suits: Callable[[frozenset[str]], object]
    ) -> tuple[list[Shard], np.ndarray, np.ndarray]:
        """Locate each image in a shard whose columns suit.

        Returns (shards, index into the shards or -1, row in the shard); the last two are int64 (n,).
        """
        shards: list[Shard] = []
        holder = np.full(len(IMAGE_INDEX.numbers) + 1, -1)
        for number, shard in list(self._shards.values()):
            if suits(shard.columns):
                holder[number] = len(shards)
                shards.append(shard)
        where, rows = np.full(len(images), -1), np.zeros(len(images), np.int64)
        if shards:
            for positions, numbers, rows_there in IMAGE_INDEX.find(images):
                holders = holder[np.minimum(numbers, len(holder) - 1)]
                new = (holders >= 0) & (where[positions] < 0)
                where[positions[new]], rows[positions[new]] = holders[new], rows_there[new]
        return shards, where, rows

    def read(
        self, images: np.ndarray, column: Callable[[frozenset[str]], str | None]
    ) -> "Iterator[tuple[np.ndarray, torch.Tensor]]":
        """Yield (positions in `images`, their rows of one column) for each shard.

        column: given the columns of a shard, chooses one; None if no column suits. Images that no shard holds are left
        out. A damaged shard is removed and yields nothing.
        """
        import torch

        self.refresh()
        shards, where, rows = self.locate(images, column)
        order = np.argsort(where, kind="stable")
        bounds = np.searchsorted(where[order], np.arange(len(shards) + 1))
        parts = [order[bounds[index] : bounds[index + 1]] for index in range(len(shards))]
        wanted = [(p, s, name) for p, s in zip(parts, shards, strict=True) if len(p) and (name := column(s.columns))]
        columns_read = read_each((shard, name) for _, shard, name in wanted)
        for (positions, shard, _), values in zip(wanted, columns_read, strict=True):
            if values is not None:
                self._note_use(shard)
                tensor = torch.from_numpy(values)
                chosen = rows[positions]
                whole = len(chosen) == len(values) and bool((chosen == np.arange(len(chosen))).all())
                yield positions, tensor if whole else tensor[torch.from_numpy(chosen)]

    def gather(self, images: np.ndarray, column: str) -> "torch.Tensor | None":
        """Return one column of the images as it is stored, (n, …); None if some are missing."""
        import torch

        pieces = list(self.read(images, lambda columns: column if column in columns else None))
        if sum(len(positions) for positions, _ in pieces) < len(images):
            return None
        order = np.argsort(np.concatenate([positions for positions, _ in pieces]))
        return torch.cat([values for _, values in pieces])[torch.from_numpy(order)]

    def _note_use(self, shard: Shard) -> None:
        """Set the file's time, the time of its last use, to now; once for each process."""
        if shard.path.name not in self._noted:
            self._noted.add(shard.path.name)
            with contextlib.suppress(OSError):  # it was removed, or may only be read
                os.utime(shard.path)

    @contextmanager
    def claim(self, images: np.ndarray, choose: Callable[[np.ndarray], np.ndarray]) -> Iterator[Claim | None]:
        """Claim some of `images` while the context lasts; None if `choose` chooses none.

        choose: given the images that no process has claimed, without duplicates, returns which of them to claim, bool
        (n,). It is called after the folder was listed again. Raises CacheError if the folder cannot be written.
        """
        claim = self._claimed(images, choose)
        try:
            yield claim
        finally:
            if claim is not None:
                self._own.pop(claim.path.stem, None)
                claim.withdraw()

    def _claimed(self, images: np.ndarray, choose: Callable[[np.ndarray], np.ndarray]) -> Claim | None:
        distinct = images[np.sort(np.unique(images, return_index=True)[1])]
        with explaining_full_disk(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            with lease(self.folder / "claims.lease", self.lease_seconds):
                free = distinct[~np.isin(distinct, self._taken())]
                self.refresh()  # after reading claims: a claim that has just ended left a shard
                chosen = free[choose(free)]
                if not len(chosen):
                    return None
                path = self.folder / f"{uuid.uuid4().hex}.claim"
                held = lease(path.with_suffix(".lease"), self.lease_seconds)
                held.acquire()
                path.write_bytes(chosen.tobytes())
                claim = self._own[path.stem] = Claim(chosen, path, held)
        return claim

    def clear_leftovers(self) -> None:
        """Remove the files of claims whose holders are dead."""
        with lease(self.folder / "claims.lease", self.lease_seconds):
            self._taken()

    def _taken(self) -> np.ndarray:
        """Return the images under claims of living holders; remove the files of the other claims."""
        taken = [claim.images for claim in list(self._own.values())]  # another thread may end one
        names = (name.rpartition(".") for name in os.listdir(self.folder))  # noqa: PTH208 - a hot path
        stems = {stem for stem, _, suffix in names if suffix in ("claim", "lease", "part")}
        for stem in stems - self._own.keys() - {"claims"}:
            path = self.folder / f"{stem}.claim"
            if self._alive(stem):
                with contextlib.suppress(FileNotFoundError):
                    content = path.read_bytes()  # cut off after a power failure
                    taken.append(np.frombuffer(content[: len(content) - len(content) % KEY_BYTES], f"S{KEY_BYTES}"))
        for ended in self._others.keys() - stems:
            del self._others[ended]
        return np.concatenate(taken) if taken else np.array([], f"S{KEY_BYTES}")

    def _alive(self, stem: str) -> bool:
        """Return whether the holder of a claim lives. Its silence counts from this process's first question."""
        held = self._others.setdefault(stem, lease(self.folder / f"{stem}.lease", self.lease_seconds))
        try:
            held.acquire(timeout=0)
        except Timeout:
            return True
        Claim(np.array([]), self.folder / f"{stem}.claim", held).withdraw()
        return False

    def name_of(self, images: np.ndarray, columns: Collection[str]) -> Path:
        """Return the path of a shard of these images, in this order, and these columns."""
        members, names = (
            xxh3_128(images.tobytes()).hexdigest(),
            xxh3_128("\n".join(sorted(columns)).encode()).hexdigest(),
        )
        return self.folder / f"{members}-{names[:16]}{SUFFIX}"
