"""A user's own images: class folders, or a CSV file that lists images."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from objectives.datasets.dataset import Dataset
from objectives.datasets.images import FileImages
from objectives.datasets.layouts.layout import SUFFIXES, briefly, contents, entries, folders_in, images_in, natural
from objectives.datasets.layouts.tables import Row, csv_rows, dataset_of
from objectives.datasets.splits import carve_test
from spaces.errors import DatasetError

FOLDER_LAYOUT = "one folder of images for each class, DIR/<class>/*, or DIR/train/<class>/* and DIR/test/<class>/*"
CSV_LAYOUT = (
    "a CSV file, or a folder with one, with the columns path,label[,split]: paths relative to the file's folder, "
    "split train, val or test"
)
_IS_TEST = {"train": False, "val": False, "validation": False, "test": True}


def read_folder(root: Path) -> Dataset:
    """Read class folders, `root/<class>/*`, or `root/train/<class>/*` with `root/test/<class>/*`.

    Classes and files are in natural order (2 before 10). Image files are recognised by their suffix (SUFFIXES, in any
    case); hidden files are left out. Without a test folder, a fixed stratified fifth is carved as the test split. A
    folder called train that holds images itself is an ordinary class. Raises DatasetError for any other layout.
    """
    train, test = root / "train", root / "test"
    if folders_in(train) and not images_in(train):
        others = [folder.name for folder in folders_in(root) if folder not in (train, test)]
        if others:
            raise DatasetError(
                f"expected {FOLDER_LAYOUT}; {root} holds {briefly(f'{name}/' for name in others)} beside train/: "
                "move its images into train/ or test/, or move it away"
            )
        parts = [train, test] if test.is_dir() else [train]
    else:
        parts = [root]

    paths: list[str] = []
    names: list[str] = []
    is_test: list[bool] = []
    for part in parts:
        folders = folders_in(part)
        if not folders:
            raise DatasetError(f"expected {FOLDER_LAYOUT}; no class folders in {part}; {contents(part)}")
        for folder in folders:
            files = images_in(folder)
            if not files:
                wanted = ", ".join(sorted(SUFFIXES))
                raise DatasetError(f"expected {FOLDER_LAYOUT}; no images ({wanted}) in {folder}; {contents(folder)}")
            paths += [file.relative_to(root).as_posix() for file in files]
            names += [folder.name] * len(files)
            is_test += [part == test] * len(files)

    classes = tuple(sorted(set(names), key=natural))
    number = {name: label for label, name in enumerate(classes)}
    labels = np.array([number[name] for name in names], np.int64)
    return Dataset(
        name="folder",
        classes=classes,
        images=FileImages(root, tuple(paths)),
        labels=labels,
        is_test=np.array(is_test) if test in parts else carve_test(labels, classes),
    )


def read_csv(root: Path) -> Dataset:
    """Read images that a CSV file (RFC 4180, UTF-8) lists, with the header path,label[,split] and any further columns.

    root: the file, or a folder with no other CSV file. Paths are relative to the file's folder and stay below it.
    Classes are in natural order. split: train, val or validation (which train too), or test, in any case. Without that
    column, a fixed stratified fifth is carved as the test split. Raises DatasetError if the file cannot be parsed, an
    image is listed twice, a label is empty, or a path leaves the folder.
    """
    file = root if root.is_file() else _only_csv(root)
    listed: list[tuple[str, str, bool | None]] = []
    for number, row in csv_rows(file, ("path", "label")):
        label, split = row["label"].strip(), row.get("split", "").strip().lower()
        if not label:
            raise DatasetError(f"{file}, line {number}: the label is empty; name the image's class")
        if "split" in row and split not in _IS_TEST:
            raise DatasetError(f"{file}, line {number}: split is one of {', '.join(_IS_TEST)}, got {row['split']!r}")
        listed.append((row["path"], label, _IS_TEST.get(split)))

    classes = sorted({label for _, label, _ in listed}, key=natural)
    number_of = {name: label for label, name in enumerate(classes)}
    rows: list[Row] = [(path, number_of[label], bool(test)) for path, label, test in listed]
    data = dataset_of("csv", file.parent, classes, rows)
    carved = listed[0][2] is None
    return replace(data, is_test=carve_test(data.labels, classes)) if carved else data


def _only_csv(folder: Path) -> Path:
    files = [entry for entry in entries(folder) if entry.suffix.lower() == ".csv"]
    if len(files) != 1:
        raise DatasetError(
            f"expected {CSV_LAYOUT}; {len(files)} CSV files in {folder}; {contents(folder)}; "
            "name the file itself as `data_root`"
        )
    return files[0]
