"""The datasets that go by a name. To add one, add an entry to DATASETS."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import final

import numpy as np

from objectives.datasets.dataset import Dataset
from objectives.datasets.fetching import how_to_get, place_of
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
from objectives.datasets.layouts.subsets import IMAGENET_50, IMAGENET_100
from objectives.downloads import is_hub_id
from spaces.errors import DatasetError
from spaces.lookup import lookup

__all__ = ["DATASETS", "Dataset", "Entry", "load_dataset", "load_with_sizes"]


@final
@dataclass(frozen=True)
class Entry:
    """description: one line for people. reader: called with the root where one is needed, else with nothing.

    page: where a published dataset can be had, as in its Layout. takes_file: the root may be a file. from_hub: the
    folder of a dataset of that hub id, where the root may be one.
    """

    description: str
    needs_root: bool
    reader: Callable[..., Dataset]
    page: str | None = None
    takes_file: bool = False
    from_hub: Callable[[str], Path] | None = None


def _published(what: str, layout: Layout, reader: Callable[..., Dataset]) -> Entry:
    return Entry(f"{what} in {layout}", True, reader, page=layout.page)


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


def load_dataset(
    name: str, root: Path | str | None, *, fetched: Path | None = None, skip_unreadable: bool = False
) -> Dataset:
    """Reads a dataset by its catalog name, and decodes and hashes every image once.

    root: the folder it lies in (csv's file, huggingface's hub id), where it needs one. fetched: the folder into which
    datasets are fetched, where a published one is found without a root. skip_unreadable: leave out images that cannot
    be decoded and list them in `Dataset.skipped`. Raises UnknownNameError; DatasetError where root or layout is wrong,
    a hub id's files cannot be had or, unless they are skipped, an image cannot be decoded (at least one must be).
    """
    return load_with_sizes(name, root, fetched=fetched, skip_unreadable=skip_unreadable)[0]


def load_with_sizes(
    name: str, root: Path | str | None, *, fetched: Path | None = None, skip_unreadable: bool = False
) -> tuple[Dataset, np.ndarray]:
    """What `load_dataset` gives, and each image's (width, height), int (N, 2), which that one decoding has told."""
    entry = lookup("dataset", name, DATASETS)
    if not entry.needs_root and root is not None:
        raise DatasetError(f"dataset {name!r} needs no folder, got {root}: leave out --data-root")
    place = _place(name, root, fetched) if entry.needs_root else None

    try:
        dataset = entry.reader() if place is None else entry.reader(place)
    except OSError as error:
        raise DatasetError(f"cannot read {error.filename or place}: {error.strerror or error}") from error

    found = sizes_or_errors(dataset.images)
    sizes = np.array([size for size in found if not isinstance(size, DatasetError)])
    broken = {i: error for i, error in enumerate(found) if isinstance(error, DatasetError)}
    if not broken:
        return dataset, sizes
    first = broken[min(broken)]
    if len(broken) == len(dataset):
        raise DatasetError(f"{first}; none of the {len(dataset)} images can be read: give a folder with sound images")
    if not skip_unreadable:
        raise DatasetError(
            f"{first}; {len(broken)} of {len(dataset)} images cannot be read: "
            "repair or remove them, or add --skip-unreadable to leave them out"
        )
    return _without(dataset, broken), sizes


def _place(name: str, root: Path | str | None, fetched: Path | None) -> Path:
    """The folder (or file) that the dataset is read from. Raises DatasetError where there is none."""
    entry, published = DATASETS[name], how_to_get(name)
    if root is not None:
        given = Path(root)
        if given.is_dir() or (entry.takes_file and given.is_file()):
            return given
        if entry.from_hub and is_hub_id(str(root)) and not given.exists():
            return entry.from_hub(str(root))
        came = "is a file" if given.exists() else "does not exist"
        raise DatasetError(f"--data-root {root} {came}; give the folder of dataset {name!r} ({entry.description})")
    if fetched is None or not published:
        raise DatasetError(f"dataset {name!r} needs its folder: add --data-root DIR ({entry.description})")
    place = place_of(name, fetched)
    if place.is_dir():
        return place
    how = "says how it is had, to be unpacked there" if published == "by hand" else "puts it there"
    raise DatasetError(
        f"dataset {name!r} is not in {place}: `search datasets fetch {name}` {how} (give both the same --home), or add "
        f"--data-root DIR ({entry.description})"
    )


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
