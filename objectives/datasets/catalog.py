"""The catalog of datasets by name. To add one, add an entry to DATASETS."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import final

import numpy as np

from objectives.datasets.dataset import Dataset
from objectives.datasets.fetch import dataset_folder, how_to_get
from objectives.datasets.hub import hub_folder
from objectives.datasets.images import sizes_or_errors
from objectives.datasets.layouts import (
    AIRCRAFT,
    CARS,
    CIFAR10,
    CIFAR100,
    CSV_LAYOUT,
    CUB,
    DOGS,
    FLOWERS,
    FOLDER_LAYOUT,
    HUGGINGFACE_LAYOUT,
    IMAGENET,
    NABIRDS,
    Layout,
    read_aircraft,
    read_cars,
    read_cifar10,
    read_cifar100,
    read_csv,
    read_cub,
    read_digits,
    read_dogs,
    read_flowers,
    read_folder,
    read_huggingface,
    read_imagenet,
    read_nabirds,
)
from objectives.datasets.layouts.layout import briefly
from objectives.datasets.layouts.subsets import IMAGENET_50, IMAGENET_100
from objectives.downloads import is_hub_id
from spaces.errors import DatasetError, UsageError
from spaces.lookup import lookup
from spaces.text import escaped

__all__ = ["DATASETS", "Dataset", "Entry", "load_dataset", "load_with_sizes"]


@final
@dataclass(frozen=True)
class Entry:
    """A dataset of the catalog.

    description: one line for people.
    needs_root: whether the dataset is read from a folder that the user names.
    reader: called with the root if one is needed, otherwise without arguments.
    page: the address of a published dataset, as in its Layout.
    takes_file: whether the root may be a file.
    from_hub: turns a hub id into a local folder, if the root may be a hub id; also returns what was not fetched, as in
    `Dataset.left_out`.
    """

    description: str
    needs_root: bool
    reader: Callable[..., Dataset]
    page: str | None = None
    takes_file: bool = False
    from_hub: Callable[[str], tuple[Path, tuple[str, ...]]] | None = None


def _published(subject: str, layout: Layout, reader: Callable[..., Dataset]) -> Entry:
    return Entry(f"{subject} in {layout}", True, reader, page=layout.page)


DATASETS: dict[str, Entry] = {
    "digits": Entry("scikit-learn's 1,797 handwritten digits, 10 classes; needs no files", False, read_digits),
    "cub": _published("birds, 200 classes,", CUB, read_cub),
    "nabirds": _published("birds, 555 classes,", NABIRDS, read_nabirds),
    "aircraft": _published("aircraft, 100 variants,", AIRCRAFT["variant"], read_aircraft),
    "aircraft-family": _published("aircraft, 70 families,", AIRCRAFT["family"], partial(read_aircraft, level="family")),
    "aircraft-manufacturer": _published(
        "aircraft, 30 manufacturers,", AIRCRAFT["manufacturer"], partial(read_aircraft, level="manufacturer")
    ),
    "cars": _published("cars, 196 classes,", CARS, read_cars),
    "dogs": _published("dogs, 120 breeds,", DOGS, read_dogs),
    "flowers": _published("flowers, 102 classes,", FLOWERS, read_flowers),
    "imagenet": _published("photographs, 1,000 classes,", IMAGENET, read_imagenet),
    "imagenet-100": _published(
        "the 100 classes that CMC chose, of images",
        IMAGENET,
        partial(read_imagenet, name="imagenet-100", subset=IMAGENET_100),
    ),
    "imagenet-50": _published(
        "the 50 classes that SCAN chose, of images",
        IMAGENET,
        partial(read_imagenet, name="imagenet-50", subset=IMAGENET_50),
    ),
    "cifar10": _published("32x32 photographs, 10 classes,", CIFAR10[0].layout, read_cifar10),
    "cifar100": _published("32x32 photographs, 100 classes,", CIFAR100[0].layout, read_cifar100),
    "folder": Entry(f"your own images: {FOLDER_LAYOUT}", True, read_folder),
    "huggingface": Entry(HUGGINGFACE_LAYOUT, True, read_huggingface, from_hub=hub_folder),
    "csv": Entry(f"your own images, listed: {CSV_LAYOUT}", True, read_csv, takes_file=True),
}


LONGEST_CALLED = 40
"""Characters of what a dataset is called: the name of a study begins with it."""


def called(name: str, root: Path | str | None) -> str:
    """Return what a person calls a dataset: a published one by its name, their own images by the folder's or file's."""
    entry = DATASETS.get(name)
    if entry is None or entry.page is not None or not entry.needs_root or root is None:
        return name
    path = Path(root)
    own = path.stem if entry.takes_file and path.suffix.lower() == ".csv" else path.name
    return escaped(own)[:LONGEST_CALLED].strip() or name


def check_dataset(name: str) -> Entry:
    """Return the entry of a dataset. Raises UnknownNameError, and UsageError for a path in place of a name."""
    if name not in DATASETS and os.sep in name and Path(name).exists():
        raise UsageError(
            f"`dataset` takes a name, got the path {name}; give folder or csv, and the path as `data_root`"
        )
    return lookup("dataset", name, DATASETS)


def check_root(name: str, root: Path | str | None, fetched: Path | None = None) -> None:
    """Refuse a dataset's name and root as `load_dataset` does, as far as no file is read and no hub is asked."""
    entry = check_dataset(name)
    if entry.needs_root and not (entry.from_hub and root and is_hub_id(str(root)) and not Path(root).exists()):
        _dataset_path(name, root, fetched)
    elif not entry.needs_root and root is not None:
        raise DatasetError(f"dataset {name!r} needs no folder, got {root}: leave out `data_root`")


def load_dataset(
    name: str,
    root: Path | str | None,
    *,
    fetched: Path | None = None,
    skip_unreadable: bool = False,
) -> Dataset:
    """Read a dataset by its catalog name; every image is decoded and hashed once.

    Names of classes without an image are left out, and listed in `Dataset.left_out`.
    root: the dataset's folder (for csv also its file, for huggingface also a hub id), if the dataset needs one.
    fetched: the folder into which published datasets are fetched; they are read from there if no root is given.
    skip_unreadable: leave out images that cannot be decoded, and list them in `Dataset.skipped`.
    Raises UnknownNameError for an unknown name. Raises DatasetError if the root or the layout is wrong, if a hub id's
    files cannot be fetched, if data without a test split have too few images for one, or if an image cannot be decoded
    and is not skipped (at least one must be readable).
    """
    return decoded(listed(name, root, fetched), skip_unreadable)


def decoded(dataset: Dataset, skip_unreadable: bool = False) -> Dataset:
    """Decode and hash every image of a dataset that `listed` returned; return what `load_dataset` does."""
    return _decoded(dataset, skip_unreadable)[0]


def listed(name: str, root: Path | str | None, fetched: Path | None = None) -> Dataset:
    """List the images of a dataset, and decode none. Raises as `load_dataset` does."""
    dataset = _listed(name, root, fetched)
    if dataset.not_carved:
        raise DatasetError(dataset.not_carved)
    return dataset


def load_with_sizes(
    name: str,
    root: Path | str | None,
    *,
    fetched: Path | None = None,
    skip_unreadable: bool = False,
) -> tuple[Dataset, np.ndarray]:
    """Read a dataset as `load_dataset` does; also return each image's (width, height) in pixels, int (N, 2).

    A test split that cannot be carved is no error here; `Dataset.not_carved` says why.
    """
    return _decoded(_listed(name, root, fetched), skip_unreadable)


def _listed(name: str, root: Path | str | None, fetched: Path | None) -> Dataset:
    """List the images of a dataset, and decode none."""
    check_root(name, root, fetched)
    entry = DATASETS[name]
    path, not_fetched = _dataset_path(name, root, fetched) if entry.needs_root else (None, ())

    try:
        dataset = entry.reader() if path is None else entry.reader(path)
    except OSError as error:
        raise DatasetError(f"cannot read {escaped(str(error.filename or path))}: {error.strerror or error}") from error
    dataset = replace(dataset, left_out=tuple(dict.fromkeys((*not_fetched, *dataset.left_out))))
    dataset = _without_empty_classes(dataset)

    if not len(dataset):
        raise DatasetError(f"{path} holds no image of dataset {name!r}; expected at least one")
    return dataset


def _decoded(dataset: Dataset, skip_unreadable: bool) -> tuple[Dataset, np.ndarray]:
    """Decode and hash every image; return the dataset without those that cannot be read, and the others' sizes."""
    sizes_found = sizes_or_errors(dataset.images)
    sizes = np.array([size for size in sizes_found if not isinstance(size, DatasetError)])
    broken = {i: error for i, error in enumerate(sizes_found) if isinstance(error, DatasetError)}
    if not broken:
        return dataset, sizes
    first = broken[min(broken)]
    if len(broken) == len(dataset):
        raise DatasetError(f"{first}; none of the {len(dataset)} images can be read: give a folder with sound images")
    if not skip_unreadable:
        raise DatasetError(
            f"{first}; {len(broken)} of {len(dataset)} images cannot be read: "
            "repair or remove them, or add `skip_unreadable` to leave them out"
        )
    return _without(dataset, broken), sizes


def _dataset_path(name: str, root: Path | str | None, fetched: Path | None) -> tuple[Path, tuple[str, ...]]:
    """Return the folder (or file) that the dataset is read from, and what was not fetched into it.

    Raises DatasetError if there is none.
    """
    entry, published = DATASETS[name], how_to_get(name)
    if root is not None:
        if not str(root):
            raise DatasetError(f"`data_root` is empty; give the folder of dataset {name!r} ({entry.description})")
        path = Path(root)
        if path.is_dir() or (entry.takes_file and path.is_file()):
            return path, ()
        if entry.from_hub and is_hub_id(str(root)) and not path.exists():
            return entry.from_hub(str(root))
        special = "is neither a file nor a folder" if path.exists() else "does not exist"
        problem = "is a file" if path.is_file() else special
        if path.suffix.lower() == ".csv" and path.is_file():
            problem += "; if it lists the images, give csv as `dataset`; else"
            raise DatasetError(f"`data_root` {root} {problem} give the folder of dataset {name!r}")
        raise DatasetError(f"`data_root` {root} {problem}; give the folder of dataset {name!r} ({entry.description})")
    if fetched is None or not published:
        raise DatasetError(f"dataset {name!r} needs its folder: add `data_root` ({entry.description})")
    folder = dataset_folder(name, fetched)
    if folder.is_dir():
        return folder, ()
    how = "says how to get it, to be unpacked there" if published == "by hand" else "puts it there"
    raise DatasetError(
        f"dataset {name!r} is not in {folder}: `search datasets fetch {name}` {how} (give both the same `home`), "
        f"or add `data_root` ({entry.description})"
    )


def _without_empty_classes(dataset: Dataset) -> Dataset:
    """Leave out the names of classes that no image has, and say so; a list of names may come from a larger dataset."""
    present, labels = np.unique(dataset.labels, return_inverse=True)
    if len(present) == len(dataset.classes):
        return dataset
    used = set(present.tolist())
    empty = [name for label, name in enumerate(dataset.classes) if label not in used]
    phrase = f"{len(empty):,} {'class name' if len(empty) == 1 else 'class names'} without an image: {briefly(empty)}"
    return replace(
        dataset,
        classes=tuple(dataset.classes[label] for label in present),
        labels=labels.astype(np.int64),
        left_out=(*dataset.left_out, phrase),
    )


def _without(dataset: Dataset, broken: Mapping[int, DatasetError]) -> Dataset:
    """Leave images out of a dataset, and list them as skipped."""
    dropped = np.zeros(len(dataset), bool)
    dropped[list(broken)] = True
    kept = np.flatnonzero(~dropped)
    return replace(
        dataset,
        images=dataset.images.keep(kept.tolist()),
        labels=dataset.labels[kept],
        is_test=dataset.is_test[kept],
        skipped=tuple(dataset.images.name(i) for i in sorted(broken)),
        skipped_because=tuple(str(broken[i]) for i in sorted(broken)),
    )
