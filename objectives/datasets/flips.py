"""Mirrored images: a classifier may train on them too, because left and right seldom distinguish classes."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self, final

from PIL import Image, ImageOps

from objectives.datasets.images import ImageSource


@final
@dataclass(frozen=True)
class Mirrored:
    """The images of `inner`, flipped horizontally after they are decoded and turned upright.

    A mirrored image has a digest of its own, so that its features are never mistaken for the original's.
    """

    inner: ImageSource

    def __len__(self) -> int:
        return len(self.inner)

    def name(self, i: int) -> str:
        return f"{self.inner.name(i)}, mirrored"

    def digest(self, i: int) -> str:
        return hashlib.sha256(f"mirrored {self.inner.digest(i)}".encode()).hexdigest()

    def read(self, i: int) -> Image.Image:
        return ImageOps.mirror(self.inner.read(i))

    def keep(self, indices: Iterable[int]) -> Self:
        return type(self)(self.inner.keep(indices))

    @property
    def in_memory(self) -> bool:
        return self.inner.in_memory
