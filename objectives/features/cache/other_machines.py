"""Copies shards from the caches of other machines, for machines that share no cache folder.

The name of a shard says which images and blocks it holds, so equal names are equal content. A copy costs a small part
of the forward passes that it spares (docs/cluster.md).
"""

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, final

from objectives.features.cache.quota import CacheUsage
from objectives.features.cache.shard_folder import LEASE_SECONDS, lease
from objectives.features.cache.shards import explaining_full_disk

log = logging.getLogger(__name__)

INCOMING = "incoming"
"""The folder within the cache for shards that are being copied."""

LEAST_PAUSE, MOST_PAUSE, PAUSES = 0.1, 2.0, 20
"""Pause in seconds between two questions about one folder: so many times what the last question took, within limits."""


class OtherMachines(Protocol):
    """The other machines of a cluster. Each has a cache of its own, at the same path."""

    def turn(self) -> float:
        """Return the place of this machine among all, in [0, 1), at which it begins with work that all have to do."""
        ...

    def shards(self, folder: Path) -> Mapping[str, int]:
        """Return name → bytes of the shards that other machines have in this folder."""
        ...

    def read(self, file: Path, size: int) -> Iterator[bytes]:
        """Yield the content of a file that `shards` listed. Raises ConnectionError if its machine does not answer."""
        ...


@final
@dataclass
class Copies:
    """The shards that this process copies. machines: None where the machines share the folder, or there is only one."""

    machines: OtherMachines | None = None
    _asks_again: dict[Path, float] = field(default_factory=dict)

    def turn(self) -> float:
        return 0.0 if self.machines is None else self.machines.turn()

    def fetch(self, folder: Path, usage: CacheUsage) -> None:
        """Copy the shards of a folder that other machines have and this one lacks.

        What cannot be copied is logged and left out. Only one process of a machine copies at a time. Raises CacheError
        if the cache has no room.
        """
        began = time.monotonic()
        if self.machines is None or began < self._asks_again.get(folder, began):
            return
        theirs = self.machines.shards(folder)
        pause = min(max(PAUSES * (time.monotonic() - began), LEAST_PAUSE), MOST_PAUSE)
        incoming = usage.folder / INCOMING
        with explaining_full_disk(folder):
            folder.mkdir(parents=True, exist_ok=True)
            incoming.mkdir(exist_ok=True)
            if any(not (folder / name).exists() for name in theirs):
                with lease(incoming / "copies.lease", LEASE_SECONDS):
                    for left in incoming.glob("*.part"):  # by a process that was killed
                        left.unlink(missing_ok=True)
                    for name, size in theirs.items():
                        if not (folder / name).exists():
                            with usage.room(size):
                                self._copy(folder / name, incoming / f"{name}.part", size)
        self._asks_again[folder] = time.monotonic() + pause

    def _copy(self, file: Path, part: Path, size: int) -> None:
        assert self.machines is not None
        try:
            with part.open("wb") as content:
                for piece in self.machines.read(file, size):
                    content.write(piece)
            part.replace(file)
        except ConnectionError as error:
            log.warning("%s; its forward passes are made here", error)
        finally:
            part.unlink(missing_ok=True)


COPIES = Copies()
"""The copies that this process makes: one object for all datasets and views."""
