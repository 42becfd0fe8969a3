"""What the cache holds, and whether it is undamaged."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import final

from objectives.features.quota import CacheUsage, KnownDataset
from objectives.features.shard_folder import ShardFolder
from objectives.features.shards import SUFFIX, Shard

ABOUT = "about.json"


@final
@dataclass(frozen=True)
class About:
    """Whose passes a folder of features holds. weights: the backbone's digest. seed: of the noise."""

    backbone: str
    weights: str
    seed: int

    def write(self, folder: Path) -> None:
        """Once for each folder; whoever comes second writes the same."""
        if not (folder / ABOUT).exists():
            folder.mkdir(parents=True, exist_ok=True)
            part = folder / f"{ABOUT}.{uuid.uuid4().hex}.part"
            part.write_text(json.dumps(asdict(self)))
            part.replace(folder / ABOUT)

    @classmethod
    def read(cls, folder: Path) -> "About | None":
        try:
            return cls(**json.loads((folder / ABOUT).read_text()))
        except (OSError, ValueError, TypeError):
            return None


@final
@dataclass(frozen=True)
class Holding:
    """Shards of one kind, source and dataset.

    kind: "features", "latents" or "pixels". about: None but for features. dataset: None for images of none that is
    known. timesteps: at which there are passes. images: one for each of its passes. used: when a shard was last read,
    or made. in_use: a run at work reads them.
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
    """All that the cache holds, the largest first. A shard of several datasets' images counts for the first by name."""
    datasets = sorted(usage.datasets().values(), key=lambda dataset: (dataset.name, dataset.fingerprint))
    uses = usage.uses()
    owners: dict[str, int | None] = {}
    found: dict[tuple[Path, int | None], list[Shard]] = {}
    for shard in usage.shards():
        members = shard.path.name.partition("-")[0]  # the same images lie in one shard of every timestep
        if members not in owners:
            owners[members] = _owner(shard, datasets)
        source = Path(*shard.path.relative_to(usage.folder).parts[:2])
        found.setdefault((source, owners[members]), []).append(shard)
    held = []
    for (source, owner), shards in found.items():
        sizes = [_facts(shard.path) for shard in shards]
        held.append(
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
    return sorted(held, key=lambda item: -item.bytes)


def _owner(shard: Shard, datasets: list[KnownDataset]) -> int | None:
    keys = shard.keys()
    return next((i for i, dataset in enumerate(datasets) if keys is not None and dataset.holds(keys)), None)


def _timestep(shard: Shard) -> int | None:
    noise = shard.path.parent.name
    return int(noise[1:].partition("-")[0]) if noise.startswith("t") and "-d" in noise else None


def _facts(path: Path) -> tuple[int, float]:
    """Bytes, and when it was last used."""
    try:
        facts = path.stat()
    except FileNotFoundError:  # it has gone since
        return 0, 0.0
    return facts.st_size, facts.st_mtime


def verify(usage: CacheUsage) -> Iterator[bool]:
    """Yield for every shard whether all its digests hold.

    A damaged shard is removed, with a warning, and made again when it is needed. What killed processes left half done
    is removed as well.
    """
    for folder in sorted({Path(entry.path).parent for entry in usage.files()}):
        ShardFolder(folder).clear_leftovers()
    for entry in usage.files():
        if entry.name.endswith(SUFFIX):
            shard = Shard.open(Path(entry.path))
            yield shard is not None and shard.sound()
