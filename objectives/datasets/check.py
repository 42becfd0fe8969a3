"""Checks a dataset for problems that a person should know before a study takes hours."""

from collections import defaultdict
from dataclasses import dataclass
from typing import final

import numpy as np

from objectives.datasets.dataset import Dataset
from objectives.datasets.splits import split
from spaces.errors import DatasetError

SMALL_CLASS = 10
"""A class with fewer training images than this is small: the validation split's fifth of it is one or two images."""


@final
@dataclass(frozen=True)
class Spread:
    """The minimum, the median and the maximum of some numbers."""

    least: int
    median: float
    most: int

    @classmethod
    def of(cls, values: np.ndarray) -> "Spread":
        """Summarise at least one value."""
        return cls(int(values.min()), float(np.median(values)), int(values.max()))


@final
@dataclass(frozen=True)
class ClassCount:
    """The numbers of a class's images in each split."""

    name: str
    train: int
    test: int


@final
@dataclass(frozen=True)
class Duplicate:
    """Two or more images with the same content.

    train, test: the images' names, by split. classes: the classes of the images, each once.
    """

    train: tuple[str, ...]
    test: tuple[str, ...]
    classes: tuple[str, ...]


@final
@dataclass(frozen=True)
class Check:
    """The findings of a check.

    train, test: the numbers of images. classes: in the dataset's order.
    train_per_class, test_per_class: summaries of the numbers of images per class.
    shorter_side: a summary of the images' shorter sides, in pixels.
    unreadable: files that cannot be decoded, which no other field counts. unreadable_because: a message for each.
    left_out: what else the reader left out, as in `Dataset.left_out`; no other field counts it.
    duplicates: every group of images with the same bytes.
    no_split: why a search with the default options cannot split the images, if so.
    """

    dataset: str
    fingerprint: str
    train: int
    test: int
    classes: tuple[ClassCount, ...]
    train_per_class: Spread
    test_per_class: Spread
    shorter_side: Spread
    unreadable: tuple[str, ...]
    unreadable_because: tuple[str, ...]
    left_out: tuple[str, ...]
    duplicates: tuple[Duplicate, ...]
    no_split: str | None

    @property
    def small(self) -> tuple[ClassCount, ...]:
        """Classes with fewer than SMALL_CLASS training images."""
        return tuple(count for count in self.classes if count.train < SMALL_CLASS)

    @property
    def untested(self) -> tuple[ClassCount, ...]:
        """Classes without test images."""
        return tuple(count for count in self.classes if count.test == 0)

    @property
    def same_but_case(self) -> tuple[tuple[str, ...], ...]:
        """Names of classes that differ in case alone, in groups; often they are meant as one class."""
        groups: dict[str, list[str]] = defaultdict(list)
        for count in self.classes:
            groups[count.name.casefold()].append(count.name)
        return tuple(tuple(names) for names in groups.values() if len(names) > 1)

    @property
    def leaks(self) -> tuple[Duplicate, ...]:
        """Duplicates in both splits: a head would be tested on images that it was trained on."""
        return tuple(group for group in self.duplicates if group.train and group.test)

    @property
    def contradictions(self) -> tuple[Duplicate, ...]:
        """Duplicates with more than one label, of which at least one is wrong."""
        return tuple(group for group in self.duplicates if len(group.classes) > 1)


def check(dataset: Dataset, sizes: np.ndarray) -> Check:
    """Check a dataset that `load_with_sizes` read without its unreadable images.

    sizes: each image's (width, height), int (N, 2). No image is decoded again, and an image whose digest is known is
    not hashed again. Duplicates are found by content digest alone; the same picture saved twice with other bytes is not
    found. Raises DatasetError if an image can no longer be read.
    """
    train, test = (
        np.bincount(dataset.labels[part], minlength=len(dataset.classes))
        for part in (~dataset.is_test, dataset.is_test)
    )
    return Check(
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        train=int(train.sum()),
        test=int(test.sum()),
        classes=tuple(map(ClassCount, dataset.classes, train.tolist(), test.tolist())),
        train_per_class=Spread.of(train),
        test_per_class=Spread.of(test),
        shorter_side=Spread.of(sizes.min(axis=1)),
        unreadable=dataset.skipped,
        unreadable_because=dataset.skipped_because,
        left_out=dataset.left_out,
        duplicates=_duplicates(dataset),
        no_split=_no_split(dataset),
    )


def _no_split(dataset: Dataset) -> str | None:
    try:
        split(dataset, seed=0)
    except DatasetError as error:
        return dataset.not_carved or str(error)
    return None


def _duplicates(dataset: Dataset) -> tuple[Duplicate, ...]:
    same: dict[str, list[int]] = defaultdict(list)
    for i in range(len(dataset)):
        same[dataset.images.digest(i)].append(i)
    return tuple(_duplicate(dataset, group) for group in same.values() if len(group) > 1)


def _duplicate(dataset: Dataset, group: list[int]) -> Duplicate:
    return Duplicate(
        train=tuple(dataset.images.name(i) for i in group if not dataset.is_test[i]),
        test=tuple(dataset.images.name(i) for i in group if dataset.is_test[i]),
        classes=tuple(dataset.classes[label] for label in sorted({int(dataset.labels[i]) for i in group})),
    )
