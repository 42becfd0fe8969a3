"""A folder of shards that several processes, on one machine or several, read and fill together.

    <images>-<columns>.safetensors    a shard, named by two digests: the same work of two processes has one name
    <claim>.claim, .lease, .part      the images that a process works on, its heartbeat, and what it has made so far
    claims.lease                      held for the milliseconds in which claims are compared

A claim is a lease that expires. A dead holder on the same machine is noticed at once; one on another machine, or one
that was stopped, after `LEASE_SECONDS` without a heartbeat. If it resumes, it writes identical data, so no reader ever
sees a wrong feature.
"""

import contextlib
import os
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, final

import numpy as np
from filelock import SoftFileLease, Timeout
from xxhash import xxh3_128

from objectives.features.image_index import Memberships
from objectives.features.shards import KEY_BYTES, SUFFIX, Shard, explaining_full_disk, read_each

if TYPE_CHECKING:
    import torch

LEASE_SECONDS = 30.0

MEMBERSHIPS = Memberships()
"""The sets of images that this process has seen: the folders of all timesteps hold the same ones."""


def lease(path: Path, seconds: float) -> SoftFileLease:
    return SoftFileLease(path, lease_duration=seconds, thread_local=False, poll_interval=0.005, mode=0o644)


@final
@dataclass(eq=False)
class Claim:
    """A claim of some images: no other process works on them until it is withdrawn.

    images: keys. part: where a shard of them may be written before it has its name.
    """

    images: np.ndarray
    path: Path
    _lease: SoftFileLease

    @property
    def part(self) -> Path:
        return self.path.with_suffix(".part")

    def rows_in(self, images: np.ndarray) -> np.ndarray:
        """The first position of each claimed image in an array of keys that contains them all."""
        order = np.argsort(images, kind="stable")
        rows: np.ndarray = order[np.searchsorted(images, self.images, sorter=order)]
        return rows

    def withdraw(self) -> None:
        self.part.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)
        self._lease.release()


@final
@dataclass(eq=False)
class ShardFolder:
    """Safe to use from several threads of a process, one of which claims."""

    folder: Path
    lease_seconds: float = LEASE_SECONDS
    _shards: dict[str, tuple[int, Shard]] = field(default_factory=dict, repr=False)
    _others: dict[str, SoftFileLease] = field(default_factory=dict, repr=False)
    _own: dict[str, Claim] = field(default_factory=dict, repr=False)
    _noted: set[str] = field(default_factory=set, repr=False)

    def refresh(self) -> None:
        """List the shards of the folder again."""
        try:
            names = {name for name in os.listdir(self.folder) if name.endswith(SUFFIX)}  # noqa: PTH208 - a hot path
        except (FileNotFoundError, NotADirectoryError):  # the latter is for whoever writes to explain
            names = set()
        for gone in self._shards.keys() - names:
            del self._shards[gone]
        for name in names - self._shards.keys():
            members, shard = name.partition("-")[0], Shard.open(self.folder / name)
            number = MEMBERSHIPS.numbers.get(members)
            if shard is not None and number is None and (keys := shard.keys()) is not None:
                number = MEMBERSHIPS.add(members, keys)
            if shard is not None and number is not None:
                self._shards[name] = number, shard

    def columns(self) -> set[frozenset[str]]:
        """The different sets of columns that shards hold."""
        return {shard.columns for _, shard in self._shards.values()}

    def locate(
        self, images: np.ndarray, suits: Callable[[frozenset[str]], object]
    ) -> tuple[list[Shard], np.ndarray, np.ndarray]:
        """Where each image lies in a shard whose columns suit: (shards, index into them or -1, row), int64 (n,)."""
        shards: list[Shard] = []
        holder = np.full(len(MEMBERSHIPS.numbers) + 1, -1)
        for number, shard in list(self._shards.values()):
            if suits(shard.columns):
                holder[number] = len(shards)
                shards.append(shard)
        where, rows = np.full(len(images), -1), np.zeros(len(images), np.int64)
        if shards:
            for positions, numbers, at in MEMBERSHIPS.find(images):
                found = holder[np.minimum(numbers, len(holder) - 1)]
                new = (found >= 0) & (where[positions] < 0)
                where[positions[new]], rows[positions[new]] = found[new], at[new]
        return shards, where, rows

    def read(
        self, images: np.ndarray, column: Callable[[frozenset[str]], str | None]
    ) -> "Iterator[tuple[np.ndarray, torch.Tensor]]":
        """One column of the images that are there: (positions in `images`, their rows), shard by shard.

        column: the one to read of those that a shard has; None where it has none that would do. A shard that turns out
        damaged is removed, and gives nothing.
        """
        import torch

        self.refresh()
        shards, where, rows = self.locate(images, column)
        order = np.argsort(where, kind="stable")
        bounds = np.searchsorted(where[order], np.arange(len(shards) + 1))
        parts = [order[bounds[index] : bounds[index + 1]] for index in range(len(shards))]
        wanted = [(p, s, name) for p, s in zip(parts, shards, strict=True) if len(p) and (name := column(s.columns))]
        each = read_each((shard, name) for _, shard, name in wanted)
        for (positions, shard, _), values in zip(wanted, each, strict=True):
            if values is not None:
                self._note_use(shard)
                tensor = torch.from_numpy(values)
                at = rows[positions]
                whole = len(at) == len(values) and bool((at == np.arange(len(at))).all())
                yield positions, tensor if whole else tensor[torch.from_numpy(at)]

    def gather(self, images: np.ndarray, column: str) -> "torch.Tensor | None":
        """One column of the images as it is stored, (n, …); None where some lack."""
        import torch

        pieces = list(self.read(images, lambda columns: column if column in columns else None))
        if sum(len(positions) for positions, _ in pieces) < len(images):
            return None
        order = np.argsort(np.concatenate([positions for positions, _ in pieces]))
        return torch.cat([values for _, values in pieces])[torch.from_numpy(order)]

    def _note_use(self, shard: Shard) -> None:
        """Set the time of the file to now, once in each process: it is when the shard was last used."""
        if shard.path.name not in self._noted:
            self._noted.add(shard.path.name)
            with contextlib.suppress(OSError):  # it has gone, or is another's in a folder that may only be read
                os.utime(shard.path)

    @contextmanager
    def claim(self, images: np.ndarray, choose: Callable[[np.ndarray], np.ndarray]) -> Iterator[Claim | None]:
        """Claim some of `images` until the end of the block; None where there are none to claim.

        choose: given images that nobody is at work on, each once, once the folder has been looked at again: which of
        them to claim, bool (n,). Raises CacheError where the folder cannot be written.
        """
        claim = self._claimed(images, choose)
        try:
            yield claim
        finally:
            if claim is not None:
                self._own.pop(claim.path.stem, None)
                claim.withdraw()

    def _claimed(self, images: np.ndarray, choose: Callable[[np.ndarray], np.ndarray]) -> Claim | None:
        each = images[np.sort(np.unique(images, return_index=True)[1])]
        with explaining_full_disk(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            with lease(self.folder / "claims.lease", self.lease_seconds):
                free = each[~np.isin(each, self._taken())]
                self.refresh()  # after the claims: whose claim has just ended, their shard is there
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
        """Remove what dead holders of claims left."""
        with lease(self.folder / "claims.lease", self.lease_seconds):
            self._taken()

    def _taken(self) -> np.ndarray:
        """Images under a living claim; what dead holders left is removed."""
        taken = [claim.images for claim in self._own.values()]
        names = (name.rpartition(".") for name in os.listdir(self.folder))  # noqa: PTH208 - a hot path
        stems = {stem for stem, _, suffix in names if suffix in ("claim", "lease", "part")}
        for stem in stems - self._own.keys() - {"claims"}:
            path = self.folder / f"{stem}.claim"
            if self._alive(stem):
                with contextlib.suppress(FileNotFoundError):
                    taken.append(np.frombuffer(path.read_bytes(), f"S{KEY_BYTES}"))
        for ended in self._others.keys() - stems:
            del self._others[ended]
        return np.concatenate(taken) if taken else np.array([], f"S{KEY_BYTES}")

    def _alive(self, stem: str) -> bool:
        """Whether a claim's holder lives; its silence is counted from when this process first asked."""
        held = self._others.setdefault(stem, lease(self.folder / f"{stem}.lease", self.lease_seconds))
        try:
            held.acquire(timeout=0)
        except Timeout:
            return True
        Claim(np.array([]), self.folder / f"{stem}.claim", held).withdraw()
        return False

    def name_of(self, images: np.ndarray, columns: Collection[str]) -> Path:
        """Where a shard of these images, in this order, and these columns lies."""
        members, names = (
            xxh3_128(images.tobytes()).hexdigest(),
            xxh3_128("\n".join(sorted(columns)).encode()).hexdigest(),
        )
        return self.folder / f"{members}-{names[:16]}{SUFFIX}"
