"""Which images train, which validate and which test: stratified, seeded, and refused where it cannot be honest."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from objectives.datasets.dataset import Dataset
from spaces.errors import DatasetError, UsageError

TEST_FRACTION = 0.2
TEST_SEED = 0


@dataclass(frozen=True, eq=False)
class Split:
    """Three disjoint index arrays into a dataset, int64 and ascending, which together cover it."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, over the three index arrays."""
        digest = hashlib.sha256()
        for indices in (self.train, self.validation, self.test):
            digest.update(len(indices).to_bytes(8, "little") + indices.astype("<i8").tobytes())
        return digest.hexdigest()


def split(dataset: Dataset, seed: int, validation_fraction: float = 0.2) -> Split:
    """Carves the validation split, stratified by class and seeded, from the images outside the test split.

    seed: in [0, 2**32). validation_fraction: in (0, 1), of the images outside the test split, rounded up.
    Raises UsageError for a seed or fraction out of range; DatasetError for fewer than 2 classes, no test images, a
    class with fewer than 2 images outside the test split, or so few images that a split cannot hold every class.
    """
    if not 0 <= seed < 2**32:
        raise UsageError(f"a seed lies in 0 to 4294967295, got {seed}")
    if not 0 < validation_fraction < 1:
        raise UsageError(f"the validation fraction lies between 0 and 1, both excluded, got {validation_fraction}")
    if not dataset.is_test.any():
        raise DatasetError(f"{dataset.name} has no test images; put some images of each class into its test split")

    rest = np.flatnonzero(~dataset.is_test)
    kept, held = carve("validation", dataset.labels[rest], dataset.classes, validation_fraction, seed)
    return Split(train=rest[kept], validation=rest[held], test=np.flatnonzero(dataset.is_test))


def carve_test(labels: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """A test split, bool (N,), for data that come without one: always the same stratified fifth, whatever the seed.

    Raises DatasetError as `split` does.
    """
    _, held = carve("test", labels, classes, TEST_FRACTION, TEST_SEED)
    is_test = np.zeros(len(labels), bool)
    is_test[held] = True
    return is_test


def carve(
    what: str, labels: np.ndarray, classes: Sequence[str], fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Positions in `labels`, (kept, held): ceil(fraction * N) are held, each class in proportion within one image.

    what: the name of the split being carved, for messages. Raises DatasetError as `split` does.
    """
    from sklearn.model_selection import train_test_split

    if len(classes) < 2:
        raise DatasetError(f"at least 2 classes are needed, got {len(classes)} ({_listed(classes)}); add another class")
    counts = np.bincount(labels, minlength=len(classes))
    smallest = int(counts.argmin())
    n = int(counts[smallest])
    scarce = f"class {classes[smallest]!r} has {n} {'image' if n == 1 else 'images'}"
    if n < 2:
        raise DatasetError(
            f"{scarce} to carve the {what} split from, and needs at least 2; "
            "add images of it, or remove the class from the data"
        )
    held_size = math.ceil(fraction * len(labels))
    if min(held_size, len(labels) - held_size) < len(classes):
        raise DatasetError(
            f"holding {held_size} of {len(labels)} images for the {what} split leaves one side with fewer images than "
            f"there are classes ({len(classes)}; {scarce}, the fewest); add images, or hold another fraction"
        )
    kept, held = train_test_split(np.arange(len(labels)), test_size=held_size, stratify=labels, random_state=seed)
    missing = set(range(len(classes))) - set(labels[kept].tolist())
    if missing:
        lost = min(missing)
        raise DatasetError(
            f"class {classes[lost]!r} has {counts[lost]} images, and holding {fraction:g} of them for the {what} split "
            "leaves none to train on; add images of it, or hold a smaller fraction"
        )
    return np.sort(kept), np.sort(held)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "none"
