"""Fetches published datasets from their publishers, checks and unpacks them, if no registration is needed."""

import os
import shutil
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from objectives.archives import unpack
from objectives.downloads import Content, Kind, check_placed, claim, download, listener, part_of
from objectives.sizes import size_in_words
from spaces.errors import DatasetError
from spaces.lookup import check_name

DATASET = Kind("dataset", "published file", DatasetError)

UNPACKED_RATIO = 1.2
"""Bytes on disk per byte of archive: photographs are compressed already, and CIFAR_URL's arrays shrink by a tenth."""

MOST_UNPACKED = 2**28
"""Bytes to which an archive may unpack beyond four times its size. More is no archive of photographs."""


@final
@dataclass(frozen=True)
class PublishedFile:
    """An archive, which is unpacked into the dataset's folder, or another file, which is copied there."""

    url: str
    content: Content

    @property
    def file_name(self) -> str:
        return self.url.rpartition("/")[2]

    @property
    def is_archive(self) -> bool:
        return self.file_name.endswith((".tar", ".tgz", ".tar.gz"))


FLOWERS_URL = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102"
DOGS_URL = "http://vision.stanford.edu/aditya86/ImageNetDogs"
CIFAR_URL = "https://www.cs.toronto.edu/~kriz"

SOURCES: dict[str, tuple[PublishedFile, ...]] = {
    "cub": (
        PublishedFile(
            "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",
            # TensorFlow Datasets, url_checksums/caltech_birds2011.txt; its MD5, 97eceeb1…, is CaltechDATA's.
            Content("0c685df5597a8b24909f6a7c9db6d11e008733779a671760afef78feb49bf081", 1_150_585_339),
        ),
    ),
    "aircraft": (
        PublishedFile(
            "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/archives/fgvc-aircraft-2013b.tar.gz",
            # Several independent records of the file at this address agree on this digest and size. (An old table of
            # TensorFlow Datasets gives d5f68b1b…: that archive is another one, of 2,770,575,360 bytes.)
            Content("e4e323d410e29f0370c81eabdcbb0e2b813acea1de22891b70b58ff41bfc9834", 2_753_340_328),
        ),
    ),
    "flowers": (  # TensorFlow Datasets, url_checksums/oxford_flowers102.txt
        PublishedFile(
            f"{FLOWERS_URL}/102flowers.tgz",
            Content("2d01ecc807db462958cfe3d92f57a8c252b4abd240eb955770201e45f783b246", 344_862_509),
        ),
        PublishedFile(
            f"{FLOWERS_URL}/imagelabels.mat",
            Content("4903e94206bac23bf772aadf06451916df56b58fc483a62db32a97b82656651d", 502),
        ),
        PublishedFile(
            f"{FLOWERS_URL}/setid.mat",
            Content("46b8678f91fd95d3c8f4feab80d271a6c834a1dd896fe29fd3e6ad9ce5c8dccd", 14_989),
        ),
    ),
    "dogs": (  # TensorFlow Datasets, url_checksums/stanford_dogs.txt
        PublishedFile(
            f"{DOGS_URL}/images.tar",
            Content("a443fc2f9a851aa1a7b8e4fa4af94b8459fce2c9f5a2f4dd4669cf9673a4ec58", 793_579_520),
        ),
        PublishedFile(
            f"{DOGS_URL}/lists.tar",
            Content("34b47cacd9a98b5d150e084f24d29391c084c55272295ec65c85651bc35f4d6c", 481_280),
        ),
    ),
    "cifar10": (
        PublishedFile(
            f"{CIFAR_URL}/cifar-10-python.tar.gz",
            # Keras, src/datasets/cifar10.py; its MD5, c58f3010…, is the one on the dataset's page.
            Content("6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce", 170_498_071),
        ),
    ),
    "cifar100": (
        PublishedFile(
            f"{CIFAR_URL}/cifar-100-python.tar.gz",
            # Keras, src/datasets/cifar100.py; its MD5, eb9058c3…, is the one on the dataset's page.
            Content("85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7", 169_001_437),
        ),
    ),
}

BY_HAND: dict[str, str] = {
    "cars": (
        "its address at Stanford, https://ai.stanford.edu/~jkrause/cars/car_dataset.html, answers no more: from a copy "
        "that you trust, unpack cars_train.tgz, cars_test.tgz and car_devkit.tgz into one folder, and add "
        "cars_test_annos_withlabels.mat"
    ),
    "nabirds": (
        "its terms are accepted in a form at https://dl.allaboutbirds.org/nabirds: unpack the nabirds.tar.gz that you "
        "are then given"
    ),
    "imagenet": (
        "it is given to those who register and agree to its terms, at https://image-net.org/download-images or in "
        "Kaggle's competition imagenet-object-localization-challenge: unpack ILSVRC2012_img_train.tar (and each "
        "class's archive within it, into a folder of its name), ILSVRC2012_img_val.tar and "
        "ILSVRC2012_devkit_t12.tar.gz, or Kaggle's one archive, into one folder"
    ),
}

PART_OF: dict[str, str] = {
    "aircraft-family": "aircraft",
    "aircraft-manufacturer": "aircraft",
    "imagenet-50": "imagenet",
    "imagenet-100": "imagenet",
}
"""Datasets that are read from the files of another one."""


def dataset_folder(name: str, folder: Path) -> Path:
    """Return the folder below `folder` in which `fetch` puts a dataset; one of PART_OF shares the other's folder."""
    return folder / PART_OF.get(name, name)


def fetch(name: str, folder: Path, *, keep_downloads: bool = False) -> Path:
    """Download a dataset, unpack it into its `dataset_folder`, and return that folder; if it exists, nothing is done.

    A file that a person put into `folder` under its published name replaces the download, and is kept. An interrupted
    download is resumed by the next call. Downloads are removed after unpacking, unless `keep_downloads`. The unpacked
    folder appears only when it is complete. Concurrent processes fetch a dataset once.
    Raises UnknownNameError for an unknown name. Raises DatasetError if the dataset needs registration, cannot be
    downloaded, differs from the published one, or does not fit on the disk.
    """
    name = PART_OF.get(name, name)
    if name in BY_HAND:
        raise DatasetError(
            f"dataset {name} cannot be fetched for you: {BY_HAND[name]}; then "
            f"`search datasets check {name}` with that folder as `data_root` says whether all is there"
        )
    check_name("published dataset", name, [*SOURCES, *BY_HAND, *PART_OF])
    target, files = dataset_folder(name, folder), SOURCES[name]
    if target.is_dir():
        return target
    with claim(DATASET, name, folder):
        if target.is_dir():
            return target
        for orphan in folder.glob(f"{name}.*.part"):
            shutil.rmtree(orphan, ignore_errors=True)
        _check_space(name, files, folder)
        paths = [_obtain(name, file, folder) for file in files]
        _unpack(name, files, paths, target)
        for file, path in zip(files, paths, strict=True):
            if path == part_of(folder / file.file_name):
                path.replace(folder / file.file_name) if keep_downloads else path.unlink()
    return target


def how_to_get(name: str) -> str:
    """Return the size of the download, or "by hand"; an empty string if no dataset of this name is published."""
    name = PART_OF.get(name, name)
    if name in BY_HAND:
        return "by hand"
    return size_in_words(sum(file.content.size for file in SOURCES[name])) if name in SOURCES else ""


def _check_space(name: str, files: Sequence[PublishedFile], folder: Path) -> None:
    """Raise DatasetError if the downloads and the unpacked files do not fit on the disk."""
    needed = 0.0
    for file in files:
        placed = folder / file.file_name
        present = next((path.stat().st_size for path in (placed, part_of(placed)) if path.is_file()), 0)
        needed += max(file.content.size - present, 0) + UNPACKED_RATIO * file.content.size
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DatasetError(
            f"dataset {name} needs about {size_in_words(needed)} more in {folder} while it is unpacked, and "
            f"{size_in_words(free)} are free; make room, or name a folder on another disk"
        )


def _obtain(name: str, file: PublishedFile, folder: Path) -> Path:
    """Return the path of a published file, which is downloaded unless a person put it into `folder`."""
    placed = folder / file.file_name
    if not placed.is_file():
        return download(DATASET, name, file.url, file.content, placed)
    check_placed(DATASET, name, file.content, placed)
    return placed


def _unpack(name: str, files: Sequence[PublishedFile], paths: Sequence[Path], target: Path) -> None:
    """Unpack into a temporary folder and rename it to `target`, so that no reader sees half a dataset."""
    unfinished = target.with_name(f"{name}.{os.getpid()}.part")
    try:
        unfinished.mkdir()
        for file, path in zip(files, paths, strict=True):
            if file.is_archive:
                listener().begins(f"{name}: unpacking {file.file_name}")
                _extract(path, unfinished)
            else:
                shutil.copyfile(path, unfinished / file.file_name)
        unfinished.rename(target)
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"dataset {name} cannot be unpacked to {target}: {error}; the downloads stay") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _extract(path: Path, into: Path) -> None:
    """Unpack an archive, and report the progress by the bytes that were read.

    gzip reads ahead and reaches the end of the file before the last members. The size of the file, which says that all
    is done, is reported once and last.
    """
    size = path.stat().st_size
    unpack(
        path, into, MOST_UNPACKED + 4 * size, lambda done: listener().progresses(path.name, min(done, size - 1), size)
    )
    listener().progresses(path.name, size, size)
