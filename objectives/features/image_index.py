"""An index of the images in many shards: the same images are in one shard of every timestep."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import final

import numpy as np
from xxhash import xxh3_128

UNSORTED = 0.2
"""Share of newly added images up to which a look-up goes through them separately rather than sorting all again."""
REMEMBERED = 4

Found = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Positions among the queried images, the number of a set that contains each, and its row there."""


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

    def find(self, images: np.ndarray) -> Iterator[Found]:
        at = np.searchsorted(self.keys, images)
        while True:
            found = np.flatnonzero(self.keys[np.minimum(at, len(self.keys) - 1)] == images)
            found = found[at[found] < len(self.keys)]
            if not len(found):
                return
            yield found, self.members[at[found]], self.rows[at[found]]
            at = at + 1


@final
@dataclass
class Memberships:
    """Numbers the sets of images that shards hold, and finds an image in all of them."""

    numbers: dict[str, int] = field(default_factory=dict)
    _sorted: _Table | None = None
    _new: list[_Table] = field(default_factory=list)
    _found: dict[tuple[bytes, int], list[Found]] = field(default_factory=dict)

    def add(self, name: str, images: np.ndarray) -> int:
        """The number of a set. name: of its content. images: keys, in the order of the rows."""
        if name not in self.numbers:
            self.numbers[name] = len(self.numbers)
            rows = np.arange(len(images))
            self._new.append(_Table.of([_Table(images, np.full(len(images), self.numbers[name]), rows)]))
        return self.numbers[name]

    def find(self, images: np.ndarray) -> list[Found]:
        """The sets that hold images; an image may come up often.

        The last answers are kept: the same images are asked for in the folder of every timestep.
        """
        asked = xxh3_128(images.tobytes()).digest(), len(self.numbers)
        if asked not in self._found:
            answer = list(self._search(images))
            for oldest in list(self._found)[: 1 - REMEMBERED]:
                self._found.pop(oldest, None)
            self._found[asked] = answer
        return self._found[asked]

    def _search(self, images: np.ndarray) -> Iterator[Found]:
        old = [self._sorted] if self._sorted is not None else []
        if sum(len(table.keys) for table in self._new) > UNSORTED * sum(len(table.keys) for table in old):
            self._sorted = _Table.of([*old, *self._new])
            old, self._new = [self._sorted], []
        if len(self._new) > 1:
            self._new = [_Table.of(self._new)]
        for table in [*old, *self._new]:
            yield from table.find(images)
