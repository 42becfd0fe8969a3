"""The datasets that go by a name. To add one, add an entry to DATASETS."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from objectives.datasets.dataset import Dataset
from objectives.datasets.images import unreadable
from objectives.datasets.layouts import CUB_LAYOUT, FOLDER_LAYOUT, read_cub, read_digits, read_folder
from spaces.errors import DatasetError, UnknownNameError

__all__ = ["DATASETS", "Dataset", "Entry", "load_dataset"]


@dataclass(frozen=True)
class Entry:
    """description: one line for people. reader: called with the root where one is needed, else with nothing."""

    description: str
    needs_root: bool
    reader: Callable[..., Dataset]


DATASETS: dict[str, Entry] = {
    "digits": Entry("scikit-learn's 1,797 handwritten digits, 10 classes; needs no files", False, read_digits),
    "cub": Entry(f"birds in {CUB_LAYOUT}", True, read_cub),
    "folder": Entry(f"your own images: {FOLDER_LAYOUT}", True, read_folder),
}


def load_dataset(name: str, root: Path | None, *, skip_unreadable: bool = False) -> Dataset:
    """Reads a dataset by its catalog name, and decodes and hashes every image once.

    root: the folder it lies in, where it needs one. skip_unreadable: leave out images that cannot be decoded and list
    them in `Dataset.skipped`. Raises UnknownNameError; DatasetError where root or layout is wrong or, unless they are
    skipped, an image cannot be decoded (at least one must be).
    """
    if name not in DATASETS:
        raise UnknownNameError("dataset", name, DATASETS)
    entry = DATASETS[name]
    if entry.needs_root and root is None:
        raise DatasetError(f"dataset {name!r} needs its folder: add --data-root DIR ({entry.description})")
    if not entry.needs_root and root is not None:
        raise DatasetError(f"dataset {name!r} needs no folder, got {root}: leave out --data-root")
    if root is not None and not root.is_dir():
        came = "is a file" if root.exists() else "does not exist"
        raise DatasetError(f"--data-root {root} {came}; give the folder of dataset {name!r} ({entry.description})")

    try:
        dataset = entry.reader(root) if entry.needs_root else entry.reader()
    except OSError as error:
        raise DatasetError(f"cannot read {error.filename or root}: {error.strerror or error}") from error

    broken = unreadable(dataset.images)
    if not broken:
        return dataset
    first = broken[min(broken)]
    if len(broken) == len(dataset):
        raise DatasetError(f"{first}; none of the {len(dataset)} images can be read: give a folder with sound images")
    if not skip_unreadable:
        raise DatasetError(
            f"{first}; {len(broken)} of {len(dataset)} images cannot be read: "
            "repair or remove them, or add --skip-unreadable to leave them out"
        )
    return _without(dataset, broken)


def _without(dataset: Dataset, indices: Iterable[int]) -> Dataset:
    dropped = np.zeros(len(dataset), bool)
    dropped[list(indices)] = True
    kept = np.flatnonzero(~dropped)
    return replace(
        dataset,
        images=dataset.images.keep(kept.tolist()),
        labels=dataset.labels[kept],
        is_test=dataset.is_test[kept],
        skipped=tuple(dataset.images.name(i) for i in np.flatnonzero(dropped).tolist()),
    )
