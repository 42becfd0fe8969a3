"""Readers of the layouts in which labelled images come. They list files; they open no image."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from objectives.datasets.dataset import Dataset
from objectives.datasets.images import ArrayImages, FileImages
from objectives.datasets.splits import carve_test
from spaces.errors import DatasetError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm"})

CUB_FOLDER = "CUB_200_2011"
CUB_LAYOUT = (
    "the CUB-200-2011 layout: a folder (or the folder above it) with images.txt, image_class_labels.txt, "
    "train_test_split.txt, classes.txt and images/"
)
FOLDER_LAYOUT = "one folder of images for each class, DIR/<class>/*, or DIR/train/<class>/* and DIR/test/<class>/*"


def read_digits() -> Dataset:
    """scikit-learn's 1,797 handwritten digits, 8x8: values 0..16 scaled to 0..255, a stratified fifth as test split."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    classes = tuple(str(name) for name in digits.target_names)
    labels = digits.target.astype(np.int64)
    images = ArrayImages(np.round(digits.images * (255 / 16)).astype(np.uint8))
    return Dataset("digits", classes, images, labels, carve_test(labels, classes))


def read_cub(root: Path) -> Dataset:
    """The CUB-200-2011 layout with its own test split; root is its folder or the one above.

    Images come in the order of images.txt. Raises DatasetError where a file is missing, a line cannot be understood,
    an id or image is listed twice, or the files do not speak of the same ids.
    """
    folder = root / CUB_FOLDER if (root / CUB_FOLDER).is_dir() else root
    tables = ("images.txt", "image_class_labels.txt", "train_test_split.txt", "classes.txt")
    missing = [name for name in tables if not (folder / name).is_file()]
    missing += [] if (folder / "images").is_dir() else ["images/"]
    if missing:
        raise DatasetError(f"expected {CUB_LAYOUT}; {', '.join(missing)} missing; {_found(folder)}")

    images, classes_of, trains, classes = (_cub_table(folder / name) for name in tables)
    for name, table in ((tables[0], images), (tables[3], classes)):
        value, times = Counter(table.values()).most_common(1)[0]
        if times > 1:
            raise DatasetError(f"{folder / name} lists {value} under {times} ids; list it once")
    for name, table in zip(tables[1:3], (classes_of, trains), strict=True):
        _same_ids(folder, name, images.keys(), table.keys())
    number = {key: label for label, key in enumerate(classes)}
    for key, value in classes_of.items():
        if value not in number:
            raise DatasetError(
                f"{folder / tables[1]} gives image {key} the class {value}, which classes.txt does not list"
            )
    for key, value in trains.items():
        if value not in ("0", "1"):
            raise DatasetError(f"{folder / tables[2]} marks image {key} with {value!r}; 1 is train and 0 is test")

    return Dataset(
        name="cub",
        classes=tuple(classes.values()),
        images=FileImages(folder / "images", tuple(images.values())),
        labels=np.array([number[classes_of[key]] for key in images], np.int64),
        is_test=np.array([trains[key] == "0" for key in images], bool),
    )


def read_folder(root: Path) -> Dataset:
    """Class folders, `root/<class>/*`, or `root/train/<class>/*` with `root/test/<class>/*`.

    Classes and files in natural order (2 before 10); files are told by their suffix (SUFFIXES, any case), hidden ones
    are left out. Where there is no test folder, a fixed stratified fifth is carved as test split. A folder called
    train is a class like any other where it holds images itself. Raises DatasetError where the layout is another.
    """
    train, test = root / "train", root / "test"
    if _folders(train) and not _images(train):
        others = [folder.name for folder in _folders(root) if folder not in (train, test)]
        if others:
            raise DatasetError(
                f"expected {FOLDER_LAYOUT}; {root} holds {_briefly(f'{name}/' for name in others)} beside train/: "
                "move its images into train/ or test/, or move it away"
            )
        parts = [train, test] if test.is_dir() else [train]
    else:
        parts = [root]

    paths: list[str] = []
    names: list[str] = []
    is_test: list[bool] = []
    for part in parts:
        folders = _folders(part)
        if not folders:
            raise DatasetError(f"expected {FOLDER_LAYOUT}; no class folders in {part}; {_found(part)}")
        for folder in folders:
            files = _images(folder)
            if not files:
                raise DatasetError(
                    f"expected {FOLDER_LAYOUT}; no images ({', '.join(sorted(SUFFIXES))}) in {folder}; {_found(folder)}"
                )
            paths += [file.relative_to(root).as_posix() for file in files]
            names += [folder.name] * len(files)
            is_test += [part == test] * len(files)

    classes = tuple(sorted(set(names), key=_natural))
    number = {name: label for label, name in enumerate(classes)}
    labels = np.array([number[name] for name in names], np.int64)
    return Dataset(
        name="folder",
        classes=classes,
        images=FileImages(root, tuple(paths)),
        labels=labels,
        is_test=np.array(is_test) if test in parts else carve_test(labels, classes),
    )


def _cub_table(path: Path) -> dict[str, str]:
    """Lines of "<id> <value>", in order; empty lines are left out. Values may hold spaces."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{path} is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from error
    table: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        key, value = [*line.split(maxsplit=1), ""][:2]
        if not key.isdecimal() or not value:
            raise DatasetError(f"{path}, line {number}: expected '<id> <value>' with a whole-number id, got {line!r}")
        if key in table:
            raise DatasetError(f"{path}, line {number}: id {key} is listed twice; list each id once")
        table[key] = value.strip()
    if not table:
        raise DatasetError(f"{path} is empty; expected lines of '<id> <value>'")
    return table


def _same_ids(folder: Path, name: str, images: Iterable[str], others: Iterable[str]) -> None:
    unlisted, unknown = set(images) - set(others), set(others) - set(images)
    if unlisted:
        raise DatasetError(f"{folder / name} lacks images of images.txt: ids {_briefly(sorted(unlisted, key=int))}")
    if unknown:
        raise DatasetError(f"{folder / name} lists ids not in images.txt: {_briefly(sorted(unknown, key=int))}")


def _folders(folder: Path) -> list[Path]:
    return [entry for entry in _entries(folder) if entry.is_dir()]


def _images(folder: Path) -> list[Path]:
    return [entry for entry in _entries(folder) if entry.suffix.lower() in SUFFIXES and entry.is_file()]


def _entries(folder: Path) -> list[Path]:
    """What is not hidden, in natural order; nothing where there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted((e for e in folder.iterdir() if not e.name.startswith(".")), key=lambda entry: _natural(entry.name))


def _natural(name: str) -> tuple[list[str | int], str]:
    """Sorts numbers inside names by value; the name itself settles "1" against "01"."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)], name


def _found(folder: Path) -> str:
    names = [f"{entry.name}/" if entry.is_dir() else entry.name for entry in _entries(folder)]
    return f"found in {folder}: {_briefly(names)}"


def _briefly(items: Iterable[str], most: int = 6) -> str:
    names = list(items)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "nothing") + more
