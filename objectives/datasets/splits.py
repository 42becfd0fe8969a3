"""Which images train, which validate and which test: stratified, seeded, and refused where it cannot be honest."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from objectives.datasets.dataset import Dataset
from spaces.errors import DatasetError, UsageError

TEST_FRACTION = 0.2
TEST_SEED = 0


@dataclass(frozen=True, eq=False)
class Split:
    """Three disjoint index arrays into a dataset, int64 and ascending; only `few_shot` leaves images in none."""

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
    """Of one split its own; of several SHA-256, in hexadecimal, over theirs."""
    each = [parts.fingerprint for parts in splits]
    return each[0] if len(each) == 1 else hashlib.sha256("\n".join(each).encode()).hexdigest()


def split(dataset: Dataset, seed: int, validation_fraction: float = 0.2) -> Split:
    """Carves the validation split, stratified by class and seeded, from the images outside the test split.

    seed: in [0, 2**32). validation_fraction: in (0, 1), of the images outside the test split, rounded up.
    Raises UsageError for a seed or fraction out of range; DatasetError for fewer than 2 classes, no test images, a
    class with fewer than 2 images outside the test split, or so few images that a split cannot hold every class.
    """
    if not 0 < validation_fraction < 1:
        raise UsageError(f"the validation fraction lies between 0 and 1, both excluded, got {validation_fraction}")
    rest, test = _apart(dataset, seed)
    kept, held = carve("validation", dataset.labels[rest], dataset.classes, validation_fraction, seed)
    return Split(train=rest[kept], validation=rest[held], test=test)


def few_shot(dataset: Dataset, parts: Split, shots: int, seed: int) -> Split:
    """`parts` with a seeded choice of `shots` training images of each class; the rest of `parts.train` is unused.

    With one seed, fewer shots are among more. Raises UsageError for fewer than 1 shot or a seed out of range;
    DatasetError for a class that has fewer training images than shots.
    """
    _check_seed(seed)
    if shots < 1:
        raise UsageError(f"at least 1 shot (training image of each class) is needed, got {shots}")
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
    """k splits, stratified by class and seeded; each image outside the test split validates once, else trains.

    For sets too small to spare one validation split. Raises UsageError for fewer than 2 folds or a seed out of range;
    DatasetError for fewer than 2 classes, no test images, or a class with fewer than k images outside the test split.
    """
    from sklearn.model_selection import StratifiedKFold

    if k < 2:
        raise UsageError(f"at least 2 folds are needed, got {k}")
    rest, test = _apart(dataset, seed)
    labels = dataset.labels[rest]
    _check_classes(dataset.classes)
    counts = np.bincount(labels, minlength=len(dataset.classes))
    scarce = int(counts.argmin())
    if counts[scarce] < k:
        raise DatasetError(
            f"class {dataset.classes[scarce]!r} has {counts[scarce]} images outside the test split, too few for {k} "
            "folds; ask for fewer, or add images of it"
        )
    each = StratifiedKFold(k, shuffle=True, random_state=seed).split(labels, labels)
    return tuple(Split(rest[kept], rest[held], test) for kept, held in each)


def rung(dataset: Dataset, splits: Sequence[Split], fraction: float, seed: int) -> tuple[Split, ...]:
    """The splits with a fraction of the images that they train and validate on, stratified by class and seeded.

    fraction: in (0, 1]. With one seed, the images of a smaller fraction are among those of a larger one, and train and
    validate where they do there. Each class keeps a training image in each split, and each split a validation image.
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
    """Of each image, float64 (N,) in [0, 1): it is in the fractions that are larger. Infinite where no split uses it.

    The images of a class that validate in the same split, or in none, lie evenly. They begin at multiples of the golden
    ratio, lest all groups be rounded to whole images the same way and a fraction hold too many or too few.
    """
    generator = np.random.default_rng(seed)
    validates = np.full(len(labels), len(splits))
    for place, parts in enumerate(splits):
        validates[parts.validation] = place
    used = np.unique(np.concatenate([np.concatenate([parts.train, parts.validation]) for parts in splits]))
    shares, start = np.full(len(labels), np.inf), generator.random()
    for group in np.unique(np.stack([validates[used], labels[used]]), axis=1).T:
        mine = used[(validates[used] == group[0]) & (labels[used] == group[1])]
        shares[generator.permutation(mine)] = (np.arange(len(mine)) + start) / len(mine)
        start = (start + (5**0.5 - 1) / 2) % 1
    return shares


def _apart(dataset: Dataset, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The images outside the test split and those in it. Raises UsageError, DatasetError as `split` does."""
    _check_seed(seed)
    if not dataset.is_test.any():
        raise DatasetError(f"{dataset.name} has no test images; put some images of each class into its test split")
    return np.flatnonzero(~dataset.is_test), np.flatnonzero(dataset.is_test)


def _check_seed(seed: int) -> None:
    if not 0 <= seed < 2**32:
        raise UsageError(f"a seed lies in 0 to 4294967295, got {seed}")


def _check_classes(classes: Sequence[str]) -> None:
    if len(classes) < 2:
        raise DatasetError(f"at least 2 classes are needed, got {len(classes)} ({_listed(classes)}); add another class")


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

    _check_classes(classes)
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


def stratified_order(labels: np.ndarray, seed: int) -> np.ndarray:
    """Return a seeded order of n images, int64 (n,), whose every beginning holds each class in proportion, ±1 image."""
    generator = np.random.default_rng(seed)
    positions = np.empty(len(labels))  # in [0, 1): each class is spread evenly from a random start
    for label in np.unique(labels):
        images = generator.permutation(np.flatnonzero(labels == label))
        positions[images] = (np.arange(len(images)) + generator.random()) / len(images)
    return np.argsort(positions, kind="stable")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "none"
