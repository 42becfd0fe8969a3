"""The size limit of the cache: what it takes, who uses what, and what is removed first.

    FOLDER/uses/<use>.json, .lease    the folders of shards, and the datasets, that a run at work reads
    FOLDER/datasets/<digest>          which images belong to a dataset, by the name it goes by

The value of a shard is the time it took to make per byte, halved for every `HALF_LIFE_DAYS` since it was last read.
Shards of the lowest value are removed first; those that a running search uses are never removed.
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

from objectives.datasets.dataset import Dataset
from objectives.features.shard_folder import LEASE_SECONDS, Claim, lease
from objectives.features.shards import (
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
from objectives.sizes import size_in_words
from spaces import CacheError
from spaces.lookup import check_name

log = logging.getLogger(__name__)

FEATURES, LATENTS, PIXELS = CONTENTS = ("features", "latents", "pixels")
"""The folders of the cache that hold shards."""
HALF_LIFE_DAYS = 30.0
SPARE = 0.02
"""The share of the limit that is freed beyond what is needed, so that not every new shard removes others."""


@final
@dataclass(frozen=True)
class KnownDataset:
    """A dataset whose images went through the cache. images: sorted keys."""

    name: str
    fingerprint: str
    images: np.ndarray

    def holds(self, images: np.ndarray) -> bool:
        """Whether any of these keys is of one of its images."""
        at = np.searchsorted(self.images, images).clip(max=len(self.images) - 1)
        return bool((self.images[at] == images).any())


@final
@dataclass(frozen=True)
class Use:
    """What a running search reads: the shards of the images of its datasets, in `folders` or below them."""

    datasets: tuple[KnownDataset, ...]
    folders: tuple[Path, ...]

    def covers(self, shard: Shard) -> bool:
        if not any(shard.path.is_relative_to(folder) for folder in self.folders):
            return False
        keys = shard.keys()
        return keys is not None and any(dataset.holds(keys) for dataset in self.datasets)


@dataclass(frozen=True, slots=True)
class Valued:
    """A shard, its size, and its value.

    value: seconds to make the shard again per byte, halved every `HALF_LIFE_DAYS` since it was last read.
    """

    shard: Shard
    bytes: int
    value: float


@final
@dataclass(frozen=True)
class CacheUsage:
    """folder: the cache folder. limit: bytes that it may take; None for as many as the disk has."""

    folder: Path
    limit: int | None = None

    # Who uses what

    @contextmanager
    def using(self, datasets: Sequence[Dataset], folders: Collection[Path]) -> Iterator[None]:
        """Keep the shards in `folders` or below them that hold an image of the datasets from removal in the context."""
        known = [self.remember(dataset).name for dataset in datasets]
        stem = self.folder / "uses" / uuid.uuid4().hex
        content = {"datasets": known, "folders": [str(f.relative_to(self.folder)) for f in folders]}
        with explaining_full_disk(stem.parent):
            stem.parent.mkdir(parents=True, exist_ok=True)
            held = lease(stem.with_suffix(".lease"), LEASE_SECONDS)
            held.acquire()
            stem.with_suffix(".part").write_text(json.dumps(content))
            stem.with_suffix(".part").replace(stem.with_suffix(".json"))  # read by others at any moment
        try:
            yield
        finally:
            stem.with_suffix(".json").unlink(missing_ok=True)
            held.release()

    def remember(self, dataset: Dataset) -> Path:
        """Record which images the dataset has, from which the dataset of a shard is known."""
        path = self.folder / "datasets" / f"{dataset.fingerprint[:32]}{SUFFIX}"
        if not path.exists():
            keys = np.unique(image_keys([dataset.images.digest(i) for i in range(len(dataset))]))
            values = keys.view(np.uint8).reshape(-1, KEY_BYTES)
            part = path.with_suffix(f".{uuid.uuid4().hex}.part")
            with explaining_full_disk(path.parent):
                path.parent.mkdir(parents=True, exist_ok=True)
                metadata = {"name": dataset.name, "fingerprint": dataset.fingerprint}
                save_file({IMAGES: values}, part, metadata)
                part.chmod(0o644)
                part.replace(path)
        return path

    def datasets(self) -> dict[str, KnownDataset]:
        """File name → dataset. A damaged file is removed, with a warning; the next run writes it again."""
        found = {}
        for path in sorted((self.folder / "datasets").glob(f"*{SUFFIX}")):
            try:
                with safe_open(path, framework="np") as file:
                    keys = file.get_tensor(IMAGES).view(f"S{KEY_BYTES}").reshape(-1)
                    metadata = file.metadata()
                found[path.name] = KnownDataset(metadata["name"], metadata["fingerprint"], keys)
            except (SafetensorError, KeyError, TypeError, ValueError):
                log.warning("%s is damaged; it is removed", path)
                path.unlink(missing_ok=True)
        return found

    def uses(self) -> list[Use]:
        """What running searches use. The records of dead ones are removed."""
        datasets, uses = self.datasets(), []
        for path in (self.folder / "uses").glob("*.json"):
            held = lease(path.with_suffix(".lease"), LEASE_SECONDS)
            try:
                held.acquire(timeout=0)
            except Timeout:
                with contextlib.suppress(FileNotFoundError):  # it ended at this moment
                    content = json.loads(path.read_text())
                    used = tuple(datasets[name] for name in content["datasets"] if name in datasets)
                    uses.append(Use(used, tuple(self.folder / folder for folder in content["folders"])))
            else:
                path.unlink(missing_ok=True)
                held.release()
        return uses

    # What it takes, and what goes

    def begin(self, claim: Claim, columns: Mapping[str, Column]) -> ShardWriter:
        """Make room for a shard of the claimed images, and return its writer. Raises CacheError as `room`."""
        with self.room(shard_bytes(len(claim.images), columns)):
            return ShardWriter(claim.part, claim.images, columns)

    def files(self, kinds: Sequence[str] = CONTENTS) -> list[os.DirEntry[str]]:
        """The files of all shards, and of those in the making, which have their final size already."""
        return [e for kind in kinds for e in _walk(self.folder / kind) if e.name.endswith((SUFFIX, ".part"))]

    def taken(self) -> int:
        """The size of all `files` in bytes."""
        return sum(_size(entry) for entry in self.files())

    def shards(self, kinds: Sequence[str] = CONTENTS) -> Iterator[Shard]:
        """All shards. One whose header is damaged is removed, with a warning."""
        for entry in self.files(kinds):
            shard = Shard.open(Path(entry.path)) if entry.name.endswith(SUFFIX) else None
            if shard is not None:
                yield shard

    @contextmanager
    def room(self, needed: int) -> Iterator[None]:
        """Make room for a file of `needed` bytes, written in the context: remove the shards of the lowest value.

        Raises CacheError where all that is left is in use.
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
                    f"{size_in_words(taken)} is in use; let it take more, or search fewer blocks, pools or timesteps"
                )
            yield
        finally:
            guard.release()

    def _free(self, enough: int) -> int:
        """Remove the shards of the lowest value until `enough` bytes are freed; return how many were."""
        freed = 0
        for valued in self.worth_least_first():
            if freed >= enough:
                break
            valued.shard.path.unlink(missing_ok=True)
            freed += valued.bytes
        return freed

    def of_dataset(self, valued: Sequence[Valued], name: str) -> list[Valued]:
        """The shards with images of a dataset. Raises UnknownNameError for a dataset that the cache does not know."""
        known = self.datasets().values()
        datasets = [dataset for dataset in known if dataset.name == name]
        check_name("dataset in the cache", name, {dataset.name for dataset in known})
        return [
            each
            for each in valued
            if (keys := each.shard.keys()) is not None and any(dataset.holds(keys) for dataset in datasets)
        ]

    def worth_least_first(self) -> list[Valued]:
        """All shards that no running search uses, the lowest value first."""
        uses, now = self.uses(), time.time()
        valued = []
        for shard in self.shards():
            if not any(use.covers(shard) for use in uses):
                with contextlib.suppress(FileNotFoundError):
                    facts = shard.path.stat()
                    days = max(now - facts.st_mtime, 0) / 86400  # `ShardFolder.read` sets it
                    value = shard.seconds / facts.st_size * 0.5 ** (days / HALF_LIFE_DAYS)
                    valued.append(Valued(shard, facts.st_size, value))
        return sorted(valued, key=lambda shard: shard.value)


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
    except FileNotFoundError:  # it has gone, or has its name now
        return 0
