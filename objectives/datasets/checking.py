"""What a person should know of a dataset before a study spends hours on it."""

from collections import defaultdict
from dataclasses import dataclass
from typing import final

import numpy as np

from objectives.datasets.dataset import Dataset

SMALL_CLASS = 10
"""Of fewer training images than this, the validation split's fifth is one image or two."""


@final
@dataclass(frozen=True)
class Spread:
    """The least, the middle and the greatest of some numbers."""

    least: int
    median: float
    most: int

    @classmethod
    def of(cls, values: np.ndarray) -> "Spread":
        """values: at least one."""
        return cls(int(values.min()), float(np.median(values)), int(values.max()))


@final
@dataclass(frozen=True)
class ClassCount:
    """Images of a class in each split."""

    name: str
    train: int
    test: int


@final
@dataclass(frozen=True)
class Duplicate:
    """Two or more images of the same content, each listed in `train` or `test`. classes: their labels, each once."""

    train: tuple[str, ...]
    test: tuple[str, ...]
    classes: tuple[str, ...]


@final
@dataclass(frozen=True)
class Check:
    """train, test: images. classes: in the dataset's order; train_per_class and test_per_class are over them.

    shorter_side: over the images, in pixels. unreadable: files that cannot be decoded, counted nowhere else.
    duplicates: every group of images with the same bytes.
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
    duplicates: tuple[Duplicate, ...]

    @property
    def small(self) -> tuple[ClassCount, ...]:
        """Classes of fewer than SMALL_CLASS training images."""
        return tuple(each for each in self.classes if each.train < SMALL_CLASS)

    @property
    def untested(self) -> tuple[ClassCount, ...]:
        """Classes of which no image is in the test split."""
        return tuple(each for each in self.classes if each.test == 0)

    @property
    def leaks(self) -> tuple[Duplicate, ...]:
        """Duplicates that lie on both sides of the split: a head has seen what it is tested on."""
        return tuple(group for group in self.duplicates if group.train and group.test)

    @property
    def contradictions(self) -> tuple[Duplicate, ...]:
        """Duplicates under more than one label, one of which must be wrong."""
        return tuple(group for group in self.duplicates if len(group.classes) > 1)


def check(dataset: Dataset, sizes: np.ndarray) -> Check:
    """What there is to know of a dataset as `load_with_sizes` gave it, what is unreadable left out.

    sizes: int (N, 2). No image is decoded again, and none hashed again that keeps its digest. Duplicates are told by
    content digest alone: the same picture saved twice is not seen. Raises DatasetError where an image can no longer be
    read.
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
        duplicates=_duplicates(dataset),
    )


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
