"""A dataset: images, one label each, and which of them are the test split."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from objectives.datasets.images import ImageSource


@dataclass(frozen=True, eq=False)
class Dataset:
    """N labelled images.

    name: its catalog name. classes: their names, as the data gives them. labels: int64 (N,), indices into classes.
    is_test: bool (N,). skipped: the images that could not be read and were left out.
    """

    name: str
    classes: tuple[str, ...]
    images: ImageSource
    labels: np.ndarray
    is_test: np.ndarray
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, over the images' digests, labels, test split and class names: not where they lie."""
        digest = hashlib.sha256(json.dumps([self.classes, len(self)]).encode())
        for i in range(len(self)):
            digest.update(self.images.digest(i).encode())
        digest.update(self.labels.astype("<i8").tobytes())
        digest.update(self.is_test.astype("?").tobytes())
        return digest.hexdigest()
