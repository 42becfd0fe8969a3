"""Lists the content of the cache, and verifies it."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import final

from objectives.atomic_write import replacing
from objectives.features.cache.quota import CacheUsage, KnownDataset
from objectives.features.cache.shard_folder import ShardFolder
from objectives.features.cache.shards import SUFFIX, Shard
from objectives.features.versions import FIRST
from spaces.files import check_ends

ABOUT = "about.json"


@final
@dataclass(frozen=True)
class About:
    """The source of the features in a folder.

    backbone: its name. weights: its digest. seed: random seed for the noise; None for clean passes. transform, noise:
    as in `features.versions`; early files name none.
    """

    backbone: str
    weights: str
    seed: int | None
    transform: str = FIRST["transform"]
    noise: str = FIRST["noise"]

    def write(self, folder: Path) -> None:
        """Write the file if the folder has none. Concurrent processes write identical files."""
        if not (folder / ABOUT).exists():
            folder.mkdir(parents=True, exist_ok=True)
            with replacing(folder / ABOUT) as part:
                part.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "About | None":
        """Return the file of a folder; None if it has none, or if the file is damaged."""
        try:
            check_ends(folder / ABOUT)
            about = cls(**json.loads((folder / ABOUT).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError):
            return None
        texts = (about.backbone, about.weights, about.transform, about.noise)
        sound = about.seed is None or type(about.seed) is int
        return about if sound and all(type(text) is str for text in texts) else None


@final
@dataclass(frozen=True)
class Holding:
    """The shards of one kind, source and dataset.

    kind: "features", "latents" or "pixels".
    about: the source of features; None for other kinds.
    dataset: None for images that belong to no known dataset.
    timesteps: the timesteps with forward passes.
    images: number of rows; an image counts once for each forward pass.
    bytes: size of the files.
    used: when a shard was last read or made.
    in_use: whether a running search uses the shards.
    """

    kind: str
    about: About | None
    dataset: KnownDataset | None
    timesteps: tuple[int, ...]
    images: int
    shards: tuple[Shard, ...]
    bytes: int
    used: datetime
    in_use: bool


def holdings(usage: CacheUsage) -> list[Holding]:
    """List the content of the cache, the largest first. A shard of several datasets belongs to the first by name."""
    datasets = sorted(usage.datasets().values(), key=lambda dataset: (dataset.name, dataset.fingerprint))
    uses = usage.uses()
    owners: dict[str, int | None] = {}
    groups: dict[tuple[Path, int | None], list[Shard]] = {}
    for shard in usage.shards():
        members = shard.path.name.partition("-")[0]  # the digest of the images, the same at every timestep
        if members not in owners:
            owners[members] = _owner(shard, datasets)
        source = Path(*shard.path.relative_to(usage.folder).parts[:2])
        groups.setdefault((source, owners[members]), []).append(shard)
    result = []
    for (source, owner), shards in groups.items():
        sizes = [_facts(shard.path) for shard in shards]
        result.append(
            Holding(
                kind=source.parts[0],
                about=About.read(usage.folder / source),
                dataset=None if owner is None else datasets[owner],
                timesteps=tuple(sorted({t for shard in shards if (t := _timestep(shard)) is not None})),
                images=sum(shard.images for shard in shards),
                shards=tuple(shards),
                bytes=sum(size for size, _ in sizes),
                used=datetime.fromtimestamp(max(used for _, used in sizes), UTC),
                in_use=any(use.covers(shard) for use in uses for shard in shards),
            )
        )
    return sorted(result, key=lambda item: -item.bytes)


def _owner(shard: Shard, datasets: list[KnownDataset]) -> int | None:
    keys = shard.keys()
    return next((i for i, dataset in enumerate(datasets) if keys is not None and dataset.holds(keys)), None)


def _timestep(shard: Shard) -> int | None:
    noise = shard.path.parent.name
    return int(noise[1:].partition("-")[0]) if noise.startswith("t") and "-" in noise else None


def _facts(path: Path) -> tuple[int, float]:
    """Return a file's size in bytes and its time of last use, in seconds since the epoch; zeros if it is gone."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        return 0, 0.0
    return facts.st_size, facts.st_mtime


def verify(usage: CacheUsage) -> Iterator[bool]:
    """Verify all digests of every shard; yield whether the shard is sound.

    A damaged shard is removed, with a warning, and made again when it is needed. Leftovers of killed processes are also
    removed.
    """
    for folder in sorted({Path(entry.path).parent for entry in usage.files()}):
        ShardFolder(folder).clear_leftovers()
    for entry in usage.files():
        if entry.name.endswith(SUFFIX):
            shard = Shard.open(Path(entry.path))
            yield shard is not None and shard.sound()
