"""Limits the size of the cache: measures it, records which search uses what, and removes shards.

    FOLDER/uses/<use>.json, .lease    the folders of shards, and the datasets, that a running search reads
    FOLDER/datasets/<digest>          the name of a dataset, and its images

The value of a shard is the seconds it took to make per byte, halved for every `HALF_LIFE_DAYS` since it was last read.
Shards of the lowest value are removed first. Shards that a running search uses are never removed.
"""

import contextlib
import json
import logging
import os
import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from filelock import Timeout
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from objectives.atomic_write import replacing
from objectives.datasets.dataset import Dataset
from objectives.features.cache.shard_folder import LEASE_SECONDS, Claim, lease
from objectives.features.cache.shards import (
    IMAGES,
    KEY_BYTES,
    SUFFIX,
    Column,
    Shard,
    ShardWriter,
    explaining_full_disk,
    image_keys,
    shard_bytes,
)
from objectives.sealed_tensors import DIGEST, UNSEALED, is_whole, seal
from objectives.sizes import size_in_words
from spaces import CacheError
from spaces.files import check_ends
from spaces.lookup import check_name

log = logging.getLogger(__name__)

LATENTS, PIXELS = "latents", "pixels"
CONTENTS = ("features", LATENTS, PIXELS)
"""The folders of the cache that hold shards."""

HALF_LIFE_DAYS = 30.0
SPARE = 0.02
"""Share of the limit that is freed beyond the need, so that not every new shard removes others."""


@final
@dataclass(frozen=True)
class KnownDataset:
    """A dataset with images in the cache. images: sorted keys."""

    name: str
    fingerprint: str
    images: np.ndarray

    def holds(self, images: np.ndarray) -> bool:
        """Return whether any of the images, given by their keys, is in the dataset."""
        rows = np.searchsorted(self.images, images).clip(max=len(self.images) - 1)
        return bool((self.images[rows] == images).any())


@final
@dataclass(frozen=True)
class Use:
    """The shards that a running search reads: those with images of `datasets`, in `folders` or below."""

    datasets: tuple[KnownDataset, ...]
    folders: tuple[Path, ...]

    def covers(self, shard: Shard) -> bool:
        """Return whether the search reads a shard."""
        if not any(shard.path.is_relative_to(folder) for folder in self.folders):
            return False
        keys = shard.keys()
        return keys is not None and any(dataset.holds(keys) for dataset in self.datasets)


@dataclass(frozen=True, slots=True)
class ValuedShard:
    """A shard, its size, and its value.

    value: seconds to make the shard again per byte, halved every `HALF_LIFE_DAYS` since it was last read.
    """

    shard: Shard
    bytes: int
    value: float


@final
@dataclass(frozen=True)
class CacheUsage:
    """The size of a cache folder, and the searches that use it.

    folder: the cache folder. limit: bytes that the cache may take; None for all that the disk has.
    """

    folder: Path
    limit: int | None = None

    # Use by searches

    @contextmanager
    def using(self, datasets: Sequence[Dataset], folders: Collection[Path]) -> Iterator[Path]:
        """Protect the shards with images of the datasets, in `folders` or below, while the context lasts.

        Yields the file that says so.
        """
        names = [self.remember(dataset).name for dataset in datasets]
        stem = self.folder / "uses" / uuid.uuid4().hex
        content = {"datasets": names, "folders": [str(f.relative_to(self.folder)) for f in folders]}
        with explaining_full_disk(stem.parent):
            stem.parent.mkdir(parents=True, exist_ok=True)
            held = lease(stem.with_suffix(".lease"), LEASE_SECONDS)
            held.acquire()
            with replacing(stem.with_suffix(".json")) as part:  # other processes may read it at any moment
                part.write_text(json.dumps(content), encoding="utf-8")
        try:
            yield stem.with_suffix(".json")
        finally:
            stem.with_suffix(".json").unlink(missing_ok=True)
            held.release()

    def remember(self, dataset: Dataset) -> Path:
        """Record the images of a dataset, so that the dataset of a shard can be determined. Return the file."""
        path = self.folder / "datasets" / f"{dataset.fingerprint[:32]}{SUFFIX}"
        if not path.exists():
            keys = np.unique(image_keys([dataset.images.digest(i) for i in range(len(dataset))]))
            values = keys.view(np.uint8).reshape(-1, KEY_BYTES)
            with explaining_full_disk(path.parent):
                path.parent.mkdir(parents=True, exist_ok=True)
                metadata = {"name": dataset.name, "fingerprint": dataset.fingerprint, **UNSEALED}
                with replacing(path) as part:
                    save_file({IMAGES: values}, part, metadata)
                    seal(part)
                    part.chmod(0o644)
        return path

    def datasets(self) -> dict[str, KnownDataset]:
        """Return file name → dataset. A damaged file is removed, with a warning; the next run writes it again."""
        datasets = {}
        for path in sorted((self.folder / "datasets").glob(f"*{SUFFIX}")):
            try:
                datasets[path.name] = _known_dataset(path)
            except FileNotFoundError:  # another process removed it
                continue
            except OSError as error:
                raise CacheError(f"cannot read {path}: {error.strerror or error}; remove it") from error
            except (SafetensorError, KeyError, TypeError, ValueError):
                log.warning("%s is damaged; it is removed", path)
                path.unlink(missing_ok=True)
        return datasets

    def uses(self) -> list[Use]:
        """Return what running searches use. The records of dead searches are removed."""
        datasets, uses = self.datasets(), []
        for path in (self.folder / "uses").glob("*.json"):
            held = lease(path.with_suffix(".lease"), LEASE_SECONDS)
            try:
                held.acquire(timeout=0)
            except Timeout:
                with contextlib.suppress(FileNotFoundError):  # the search ended at this moment
                    uses.append(self._use(path, datasets))
            else:
                path.unlink(missing_ok=True)
                held.release()
        return uses

    def _use(self, path: Path, datasets: Mapping[str, KnownDataset]) -> Use:
        """Read what a running search uses. A damaged record stands for the whole cache, so that nothing is removed."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            used = tuple(datasets[name] for name in content["datasets"] if name in datasets)
            return Use(used, tuple(self.folder / folder for folder in content["folders"]))
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            log.warning("%s is damaged; nothing is removed from the cache while its search runs", path)
            return Use(tuple(datasets.values()), (self.folder,))

    # Size and removal

    def begin(self, claim: Claim, columns: Mapping[str, Column]) -> ShardWriter:
        """Make room for a shard of the claimed images, and return its writer. Raises CacheError as `room` does."""
        with self.room(shard_bytes(len(claim.images), columns)):
            return ShardWriter(claim.part, claim.images, columns)

    def files(self, kinds: Sequence[str] = CONTENTS) -> list[os.DirEntry[str]]:
        """List the files of all shards. Unfinished ones are included, and have their final size already."""
        return [e for kind in kinds for e in _walk(self.folder / kind) if e.name.endswith((SUFFIX, ".part"))]

    def taken(self) -> int:
        """Return the size of all `files` in bytes."""
        return sum(_size(entry) for entry in self.files())

    def shards(self, kinds: Sequence[str] = CONTENTS) -> Iterator[Shard]:
        """Yield all shards. A shard with a damaged header is removed, with a warning."""
        for entry in self.files(kinds):
            shard = Shard.open(Path(entry.path)) if entry.name.endswith(SUFFIX) else None
            if shard is not None:
                yield shard

    @contextmanager
    def room(self, needed: int) -> Iterator[None]:
        """Make room for a file of `needed` bytes, which the context writes.

        If necessary, the shards of the lowest value are removed. Raises CacheError if all remaining shards are in use.
        """
        if self.limit is None:
            yield
            return
        with explaining_full_disk(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            guard = lease(self.folder / "limit.lease", LEASE_SECONDS)
            guard.acquire()
        try:
            taken = self.taken()
            excess = taken + needed - self.limit
            if excess > 0 and self._free(excess + int(SPARE * self.limit)) < excess:
                raise CacheError(
                    f"the cache may take {size_in_words(self.limit)} (`cache_size`), and all of its "
                    f"{size_in_words(taken)} is in use; raise the limit, or search fewer blocks, pools or timesteps"
                )
            yield
        finally:
            guard.release()

    def _free(self, enough: int) -> int:
        """Remove the shards of the lowest value until `enough` bytes are freed; return the freed bytes."""
        freed = 0
        for valued in self.least_valuable_first():
            if freed >= enough:
                break
            valued.shard.path.unlink(missing_ok=True)
            freed += valued.bytes
        return freed

    def of_dataset(self, valued: Sequence[ValuedShard], name: str) -> list[ValuedShard]:
        """Return the shards with images of a dataset. Raises UnknownNameError if the cache has no such dataset."""
        known = self.datasets().values()
        datasets = [dataset for dataset in known if dataset.name == name]
        check_name("dataset in the cache", name, {dataset.name for dataset in known})
        return [
            item
            for item in valued
            if (keys := item.shard.keys()) is not None and any(dataset.holds(keys) for dataset in datasets)
        ]

    def least_valuable_first(self) -> list[ValuedShard]:
        """Return all shards that no running search uses, the lowest value first."""
        uses, now = self.uses(), time.time()
        valued = []
        for shard in self.shards():
            if not any(use.covers(shard) for use in uses):
                with contextlib.suppress(FileNotFoundError):
                    facts = shard.path.stat()
                    days = max(now - facts.st_mtime, 0) / 86400  # `ShardFolder.read` sets the time
                    value = shard.seconds / facts.st_size * 0.5 ** (days / HALF_LIFE_DAYS)
                    valued.append(ValuedShard(shard, facts.st_size, value))
        return sorted(valued, key=lambda item: item.value)


def _known_dataset(path: Path) -> KnownDataset:
    """Read the images of a dataset. Raises SafetensorError, KeyError, TypeError or ValueError for a damaged file.

    Early files have no digest.
    """
    check_ends(path)
    with safe_open(path, framework="np") as file:
        metadata = file.metadata()
        sealed = DIGEST in metadata and is_whole(path, metadata[DIGEST])
        if not sealed and metadata.keys() != {"name", "fingerprint"}:
            raise ValueError("its bytes are not those that were written")
        keys = file.get_tensor(IMAGES).view(f"S{KEY_BYTES}").reshape(-1)
    return KnownDataset(metadata["name"], metadata["fingerprint"], keys)


def _walk(folder: Path) -> Iterator[os.DirEntry[str]]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path))
            else:
                yield entry


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except FileNotFoundError:  # it was removed or renamed
        return 0
