"""Indexes the images in many shards. Shards of different timesteps often hold the same images."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import final

import numpy as np
from xxhash import xxh3_128

UNSORTED = 0.2
"""Up to this share of new images, a look-up searches them separately instead of sorting all images again."""

KEPT_LOOKUPS = 4

Matches = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Positions in the queried images; for each, the number of a set that contains the image, and its row there."""


@dataclass
class _Table:
    """Sorted image keys; for each key, the number of the set that contains it, and its row there."""

    keys: np.ndarray
    members: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, parts: "list[_Table]") -> "_Table":
        keys = np.concatenate([part.keys for part in parts])
        order = np.argsort(keys, kind="stable")
        members, rows = (np.concatenate([getattr(part, name) for part in parts])[order] for name in ("members", "rows"))
        return cls(keys[order], members, rows)

    def find(self, images: np.ndarray) -> Iterator[Matches]:
        """Yield matches until every set that contains one of the images is listed."""
        index = np.searchsorted(self.keys, images)
        while True:
            positions = np.flatnonzero(self.keys[np.minimum(index, len(self.keys) - 1)] == images)
            positions = positions[index[positions] < len(self.keys)]
            if not len(positions):
                return
            yield positions, self.members[index[positions]], self.rows[index[positions]]
            index = index + 1


@final
@dataclass
class ImageIndex:
    """Numbers the sets of images in shards, and finds the sets that contain an image."""

    numbers: dict[str, int] = field(default_factory=dict)
    _sorted: _Table | None = None
    _new: list[_Table] = field(default_factory=list)
    _lookups: dict[tuple[bytes, int], list[Matches]] = field(default_factory=dict)

    def add(self, name: str, images: np.ndarray) -> int:
        """Return the number of a set. name: digest of the set. images: keys, in the order of the rows."""
        if name not in self.numbers:
            self.numbers[name] = len(self.numbers)
            rows = np.arange(len(images))
            self._new.append(_Table.of([_Table(images, np.full(len(images), self.numbers[name]), rows)]))
        return self.numbers[name]

    def find(self, images: np.ndarray) -> list[Matches]:
        """Return the sets that contain the images. An image may be in several sets.

        The last results are kept, because every timestep's folder looks up the same images.
        """
        query = xxh3_128(images.tobytes()).digest(), len(self.numbers)
        if query not in self._lookups:
            matches = list(self._search(images))
            for oldest in list(self._lookups)[: 1 - KEPT_LOOKUPS]:
                self._lookups.pop(oldest, None)
            self._lookups[query] = matches
        return self._lookups[query]

    def _search(self, images: np.ndarray) -> Iterator[Matches]:
        old = [self._sorted] if self._sorted is not None else []
        if sum(len(table.keys) for table in self._new) > UNSORTED * sum(len(table.keys) for table in old):
            self._sorted = _Table.of([*old, *self._new])
            old, self._new = [self._sorted], []
        if len(self._new) > 1:
            self._new = [_Table.of(self._new)]
        for table in [*old, *self._new]:
            yield from table.find(images)
