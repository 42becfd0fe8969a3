"""Which images a shard holds, for many shards at once: the same images lie in one shard of every timestep."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import final

import numpy as np

UNSORTED = 0.2
"""Share of newly added images up to which a look-up goes through them separately rather than sorting all again."""


@dataclass
class _Table:
    """Sorted image keys, and of each the membership and the row there."""

    keys: np.ndarray
    members: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, parts: "list[_Table]") -> "_Table":
        keys = np.concatenate([part.keys for part in parts])
        order = np.argsort(keys, kind="stable")
        members, rows = (np.concatenate([getattr(part, name) for part in parts])[order] for name in ("members", "rows"))
        return cls(keys[order], members, rows)

    def find(self, images: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        first, end = (np.searchsorted(self.keys, images, side) for side in ("left", "right"))
        while (found := np.flatnonzero(first < end)).size:
            at = first[found]
            yield found, self.members[at], self.rows[at]
            first = first + 1


@final
@dataclass
class Memberships:
    """Numbers the sets of images that shards hold, and finds an image in all of them."""

    numbers: dict[str, int] = field(default_factory=dict)
    _sorted: _Table | None = None
    _new: list[_Table] = field(default_factory=list)

    def add(self, name: str, images: np.ndarray) -> int:
        """The number of a set. name: of its content. images: keys, in the order of the rows."""
        if name not in self.numbers:
            self.numbers[name] = len(self.numbers)
            rows = np.arange(len(images))
            self._new.append(_Table.of([_Table(images, np.full(len(images), self.numbers[name]), rows)]))
        return self.numbers[name]

    def find(self, images: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Arrays (positions in `images`, number of a set that holds each, row there); an image may come up often."""
        old = [self._sorted] if self._sorted is not None else []
        if sum(len(table.keys) for table in self._new) > UNSORTED * sum(len(table.keys) for table in old):
            self._sorted = _Table.of([*old, *self._new])
            old, self._new = [self._sorted], []
        if len(self._new) > 1:
            self._new = [_Table.of(self._new)]
        for table in [*old, *self._new]:
            yield from table.find(images)
