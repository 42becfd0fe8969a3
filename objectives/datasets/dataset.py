"""A dataset: images with one label each, and its test split."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from objectives.datasets.images import ImageSource


@dataclass(frozen=True, eq=False)
class Dataset:
    """N labelled images.

    name: the dataset's catalog name.
    classes: the names of the classes, as in the data.
    labels: indices into `classes`, int64 (N,).
    is_test: whether an image belongs to the test split, bool (N,).
    skipped: the names of images that could not be read and were left out.
    skipped_because: an error message for each of them, which names it.
    left_out: what else the reader left out, one phrase for each kind: how many, of what, why, and some names.
    not_carved: why no test split could be carved for data without one, if so; then no image is a test image.
    """

    name: str
    classes: tuple[str, ...]
    images: ImageSource
    labels: np.ndarray
    is_test: np.ndarray
    skipped: tuple[str, ...] = ()
    skipped_because: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    not_carved: str | None = None

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, over the images' digests, labels, test split and class names; paths do not count."""
        digest = hashlib.sha256(json.dumps([self.classes, len(self)]).encode())
        for i in range(len(self)):
            digest.update(self.images.digest(i).encode())
        digest.update(self.labels.astype("<i8").tobytes())
        digest.update(self.is_test.astype("?").tobytes())
        return digest.hexdigest()
