"""Stratified, seeded splits into train, validation and test; a split that could not be honest raises an error."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from objectives.datasets.dataset import Dataset
from spaces.errors import DatasetError, UsageError, did_you_mean

TEST_FRACTION = 0.2
TEST_SEED = 0


@dataclass(frozen=True, eq=False)
class Split:
    """Three disjoint index arrays into a dataset, int64 and ascending. Only `few_shot` leaves images unused."""

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


def fingerprint_of(splits: Sequence[Split]) -> str:
    """Return the fingerprint of one split, or the SHA-256, in hexadecimal, over the fingerprints of several."""
    fingerprints = [parts.fingerprint for parts in splits]
    if len(fingerprints) == 1:
        return fingerprints[0]
    return hashlib.sha256("\n".join(fingerprints).encode()).hexdigest()


def split(dataset: Dataset, seed: int, validation_fraction: float = 0.2) -> Split:
    """Carve the validation split, stratified by class and seeded, from the images outside the test split.

    seed: in [0, 2**32). validation_fraction: in (0, 1), of the images outside the test split, rounded up.
    Raises UsageError for a seed or a fraction out of range. Raises DatasetError for no test images, as
    `check_training_images` does, for a class with fewer than 2 images outside the test split, and for so few images
    that a split cannot hold every class.
    """
    if not 0 < validation_fraction < 1:
        raise UsageError(f"the validation fraction lies between 0 and 1, both excluded, got {validation_fraction}")
    rest, test = _outside_and_test(dataset, seed)
    kept, held = carve("validation", dataset.labels[rest], dataset.classes, validation_fraction, seed)
    return Split(train=rest[kept], validation=rest[held], test=test)


def few_shot(dataset: Dataset, parts: Split, shots: int, seed: int) -> Split:
    """Keep a seeded choice of `shots` training images of each class; the others are unused.

    With the same seed, a smaller number of shots chooses a subset of a larger one. Raises UsageError for fewer than 1
    shot or a seed out of range. Raises DatasetError for a class with fewer training images than shots.
    """
    _check_seed(seed)
    if shots < 1:
        raise UsageError(f"`shots` must be at least 1 (training images of each class), got {shots}")
    order = np.random.default_rng(seed).permutation(parts.train)
    labels = dataset.labels[order]
    counts = np.bincount(labels, minlength=len(dataset.classes))
    scarce = int(counts.argmin())
    if counts[scarce] < shots:
        raise DatasetError(
            f"class {dataset.classes[scarce]!r} has {counts[scarce]} training images beside the validation split, too "
            f"few for {shots} shots; ask for fewer, or add images of it"
        )
    chosen = [order[labels == c][:shots] for c in range(len(dataset.classes))]
    return replace(parts, train=np.sort(np.concatenate(chosen)))


def folds(dataset: Dataset, k: int, seed: int) -> tuple[Split, ...]:
    """Make k splits for cross-validation, stratified by class and seeded.

    Each image outside the test split validates in one of them and trains in the others. Folds are for datasets too
    small for one validation split. Raises UsageError for fewer than 2 folds or a seed out of range. Raises DatasetError
    for no test images, as `check_training_images` does, and for a class with fewer than k images outside the test
    split.
    """
    from sklearn.model_selection import StratifiedKFold

    if k < 2:
        raise UsageError(f"at least 2 folds are needed, got {k}")
    rest, test = _outside_and_test(dataset, seed)
    labels = dataset.labels[rest]
    counts = np.bincount(labels, minlength=len(dataset.classes))
    scarce = int(counts.argmin())
    if counts[scarce] < k:
        raise DatasetError(
            f"class {dataset.classes[scarce]!r} has {counts[scarce]} images outside the test split, too few for {k} "
            "folds; ask for fewer, or add images of it"
        )
    parts = StratifiedKFold(k, shuffle=True, random_state=seed).split(labels, labels)
    return tuple(Split(rest[kept], rest[held], test) for kept, held in parts)


def rung(dataset: Dataset, splits: Sequence[Split], fraction: float, seed: int) -> tuple[Split, ...]:
    """Keep a fraction of the training and validation images of each split, stratified by class and seeded.

    fraction: in (0, 1]. With the same seed, a smaller fraction keeps a subset of a larger one, and each image stays in
    its split. Each class keeps at least one training image in each split, and each split one validation image.
    """
    share = _shares(dataset.labels, splits, seed)

    def part(indices: np.ndarray, at_least_one_of: np.ndarray) -> np.ndarray:
        order = indices[np.argsort(share[indices])]
        kept = share[order] < fraction
        kept[np.unique(at_least_one_of[order], return_index=True)[1]] = True
        return np.sort(order[kept])

    anyone = np.zeros_like(dataset.labels)
    return tuple(
        replace(parts, train=part(parts.train, dataset.labels), validation=part(parts.validation, anyone))
        for parts in splits
    )


def _shares(labels: np.ndarray, splits: Sequence[Split], seed: int) -> np.ndarray:
    """Assign each image a threshold, float64 (N,) in [0, 1), above which fractions keep it; infinite if it is unused.

    The thresholds of the images of a class that validate in the same split, or in none, are evenly spaced. Their starts
    are multiples of the golden ratio: with equal starts all groups would round to whole images the same way, and a
    fraction would keep too many or too few.
    """
    generator = np.random.default_rng(seed)
    validates = np.full(len(labels), len(splits))
    for number, parts in enumerate(splits):
        validates[parts.validation] = number
    used = np.unique(np.concatenate([np.concatenate([parts.train, parts.validation]) for parts in splits]))
    shares, start = np.full(len(labels), np.inf), generator.random()
    for group in np.unique(np.stack([validates[used], labels[used]]), axis=1).T:
        images = used[(validates[used] == group[0]) & (labels[used] == group[1])]
        shares[generator.permutation(images)] = (np.arange(len(images)) + start) / len(images)
        start = (start + (5**0.5 - 1) / 2) % 1
    return shares


def _outside_and_test(dataset: Dataset, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the images outside the test split and those in it. Raises as `split` does."""
    _check_seed(seed)
    if not dataset.is_test.any():
        raise DatasetError(
            f"{dataset.name} has no test images; put some images of each class into its test split, or remove "
            "the split (the column split of a CSV file, the folder test), and a fifth becomes the test split"
        )
    check_training_images(dataset)
    return np.flatnonzero(~dataset.is_test), np.flatnonzero(dataset.is_test)


def check_trains(dataset: Dataset) -> None:
    """Raise DatasetError if every image is a test image."""
    if dataset.is_test.all():
        raise DatasetError(
            f"{dataset.name} has no training images, all {len(dataset):,} are test images; mark images of each class "
            "as train (in the column split of a CSV file, or by a folder train)"
        )


def check_training_images(dataset: Dataset) -> None:
    """Raise DatasetError unless there are at least 2 classes, and each has an image outside the test split."""
    check_trains(dataset)
    _check_classes(dataset.classes)
    train, test = (
        np.bincount(dataset.labels[part], minlength=len(dataset.classes))
        for part in (~dataset.is_test, dataset.is_test)
    )
    if train.all():
        return
    first, others = int(train.argmin()), int((train == 0).sum()) - 1
    counted = f"no training image, only {_images(test[first], 'test ')}" if test[first] else "no image that can be read"
    also = f"; {others:,} more {'class lacks' if others == 1 else 'classes lack'} training images" if others else ""
    unreadable = f"; unreadable files are left out: {len(dataset.skipped):,}" if dataset.skipped else ""
    name, trained = dataset.classes[first], np.flatnonzero(train)
    same_but_case = [dataset.classes[i] for i in trained if dataset.classes[i].casefold() == name.casefold()]
    raise DatasetError(
        f"class {name!r} has {counted}{also}{unreadable}; "
        f"{did_you_mean(name, same_but_case)}add training images of it, or remove the class from the data"
    )


def _check_seed(seed: int) -> None:
    if not 0 <= seed < 2**32:
        raise UsageError(f"a seed lies in 0 to 4294967295, got {seed}")


def _check_classes(classes: Sequence[str]) -> None:
    if len(classes) < 2:
        raise DatasetError(f"at least 2 classes are needed, got {len(classes)} ({_listed(classes)}); add another class")


def carve_test(labels: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Carve a test split, bool (N,), for data without one: a stratified fifth, the same for every seed of a study.

    Classes without an image do not count. Raises DatasetError as `carve` does.
    """
    present, indices = np.unique(labels, return_inverse=True)
    _, held = carve("test", indices, [classes[label] for label in present], TEST_FRACTION, TEST_SEED)
    is_test = np.zeros(len(labels), bool)
    is_test[held] = True
    return is_test


def with_test_split(dataset: Dataset) -> Dataset:
    """Carve a test split as `carve_test` does; where that is impossible, `Dataset.not_carved` says why."""
    try:
        return replace(dataset, is_test=carve_test(dataset.labels, dataset.classes))
    except DatasetError as error:
        return replace(dataset, is_test=np.zeros(len(dataset), bool), not_carved=str(error))


def carve(
    split_name: str, labels: np.ndarray, classes: Sequence[str], fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Divide N images into two sets; return their positions in `labels` as (kept, held), both ascending.

    ⌈fraction · N⌉ images are held out, each class in proportion within one image. split_name: the split that is carved,
    for messages. Raises DatasetError for fewer than 2 classes, for a class with fewer than 2 images, and for so few
    images that a side cannot hold every class.
    """
    from sklearn.model_selection import train_test_split

    _check_classes(classes)
    counts = np.bincount(labels, minlength=len(classes))
    smallest = int(counts.argmin())
    n = int(counts[smallest])
    otherwise = (
        "hold another fraction (`validation_fraction`)"
        if split_name == "validation"
        else "name the test images yourself (by the folders train and test, or by the column split of a CSV file)"
    )
    scarce = f"class {classes[smallest]!r} has {_images(n)}"
    if n < 2:
        raise DatasetError(
            f"{scarce} to carve the {split_name} split from, and needs at least 2; "
            "add images of it, or remove the class from the data"
        )
    held_size = math.ceil(fraction * len(labels))
    if min(held_size, len(labels) - held_size) < len(classes):
        raise DatasetError(
            f"holding {held_size} of {len(labels)} images for the {split_name} split leaves one side "
            f"with fewer images than there are classes ({len(classes)}; {scarce}, the fewest); "
            f"add images, or {otherwise}"
        )
    kept, held = train_test_split(np.arange(len(labels)), test_size=held_size, stratify=labels, random_state=seed)
    missing = set(range(len(classes))) - set(labels[kept].tolist())
    if missing:
        lost = min(missing)
        raise DatasetError(
            f"class {classes[lost]!r} has {counts[lost]} images, and holding {fraction:g} of them for the "
            f"{split_name} split leaves none to train on; add images of it, or {otherwise}"
        )
    return np.sort(kept), np.sort(held)


def stratified_order(labels: np.ndarray, seed: int) -> np.ndarray:
    """Return a seeded order of n images, int64 (n,). Every prefix has each class in proportion, ±1 image."""
    generator = np.random.default_rng(seed)
    positions = np.empty(len(labels))  # in [0, 1): each class is spread evenly from a random start
    for label in np.unique(labels):
        images = generator.permutation(np.flatnonzero(labels == label))
        positions[images] = (np.arange(len(images)) + generator.random()) / len(images)
    return np.argsort(positions, kind="stable")


def _images(count: int, kind: str = "") -> str:
    return f"{count:,} {kind}{'image' if count == 1 else 'images'}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "none"
