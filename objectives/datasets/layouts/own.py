"""A user's own images: class folders, or a CSV file that lists images."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from objectives.datasets.dataset import Dataset
from objectives.datasets.layouts.image_files import EMPTY_CLASS, OUTSIDE, LeftOut, images_below, images_in
from objectives.datasets.layouts.layout import briefly, contents, entries, folders_in, natural
from objectives.datasets.layouts.split_words import SPLIT_OF_WORD, split_in
from objectives.datasets.layouts.tables import Row, csv_rows, dataset_of, normalized
from objectives.datasets.splits import with_test_split
from spaces.errors import DatasetError

FOLDER_LAYOUT = "one folder of images for each class, DIR/<class>/*, or DIR/train/<class>/* and DIR/test/<class>/*"
CSV_LAYOUT = (
    "a CSV file, or a folder with one, with the columns path,label[,split]: paths relative to the file's folder, "
    "split train, val or test"
)


def read_folder(root: Path) -> Dataset:
    """Read class folders, `root/<class>/*`, or those of splits, `root/train/<class>/*` with `root/test/<class>/*`.

    Classes and files are in natural order (2 before 10). `images_in` decides which files are images. The images in
    subfolders of a class folder belong to the class. All other files are counted in `left_out`. `_split_folders` finds
    the splits by their names. Images of a folder val train too, or are the test split if there is no folder test.
    Without either, a fixed stratified fifth is carved as the test split. A folder called train that holds images itself
    is an ordinary class. Empty class folders are listed in `left_out`.
    Raises DatasetError for any other layout, and where folders can be understood in two ways.
    """
    left_out = LeftOut(root)
    splits = _split_folders(root)
    test = next((splits[split] for split in ("test", "validation") if split in splits), None)
    parts = [splits[split] for split in ("train", "validation", "test") if split in splits] or [root]

    images: list[tuple[str, str, bool]] = []
    for part in parts:
        folders = folders_in(part)
        if not folders:
            raise DatasetError(f"expected {FOLDER_LAYOUT}; no class folders in {part}; {contents(part)}{_listed(part)}")
        _check_names(folders)
        for folder in folders:
            if not entries(folder):
                left_out.add(EMPTY_CLASS, folder)
                continue
            files = _class_images(folder, left_out)
            name = normalized(folder.name)
            images += [(file.relative_to(root).as_posix(), name, part == test) for file in files]
    if not images:
        raise DatasetError(f"expected {FOLDER_LAYOUT}; all class folders in {root} are empty; {contents(root)}")
    for part in {root, *parts}:
        for entry in entries(part):
            if not entry.is_dir():
                left_out.add(OUTSIDE, entry)
    return _dataset("folder", root, images, left_out, carved=test is None)


def _listed(folder: Path) -> str:
    """Say what reads a folder with a CSV file and no class folders; nothing where there is no CSV file."""
    files = [entry.name for entry in entries(folder) if entry.suffix.lower() == ".csv"]
    return f"; if {files[0]} lists the images, give csv as `dataset`" if files else ""


def _split_folders(root: Path) -> dict[str, Path]:
    """Return the folder of each split; nothing if the folders are classes.

    They are splits if a folder called train or training, in any case, holds class folders, or if every folder has a
    word for a split in its name and one holds class folders. Raises DatasetError for folders that are neither, for two
    folders of one split, and for splits without train.
    """
    folders = folders_in(root)
    named = {folder: split for folder in folders if (split := split_in(folder.name))}
    has_train = any(SPLIT_OF_WORD.get(folder.name.lower()) == "train" and _is_split(folder) for folder in folders)
    if not has_train and (len(named) < len(folders) or not any(map(_holds_folders_only, folders))):
        return {}
    splits: dict[str, Path] = {}
    for folder in sorted(folders, key=lambda folder: folder.name.lower() not in SPLIT_OF_WORD):
        split = SPLIT_OF_WORD.get(folder.name.lower()) or split_in(folder.name)
        if not split or split in splits:
            raise DatasetError(
                f"expected {FOLDER_LAYOUT}; {root} holds {folder.name}/ beside "
                f"{splits[split].name if split else next(iter(named)).name}/: move its images into train/ or test/, or "
                "move it away"
            )
        splits[split] = folder
    if "train" not in splits:
        raise DatasetError(
            f"expected {FOLDER_LAYOUT}; {root} holds {briefly(f'{folder.name}/' for folder in folders)} and no "
            "training images: put these into folders train/<class> beside them"
        )
    return splits


def _holds_folders_only(folder: Path) -> bool:
    return bool(folders_in(folder)) and not images_in(folder, LeftOut(folder))


def _check_names(folders: Sequence[Path]) -> None:
    """Raise DatasetError if names of class folders differ in blanks at the ends alone, or are nothing but blanks."""
    times = Counter(normalized(folder.name) for folder in folders)
    for folder in folders:
        name = normalized(folder.name)
        if not name or (times[name] > 1 and folder.name != folder.name.strip()):
            problem = f"several folders are called {name!r} without them" if name else "nothing else"
            raise DatasetError(
                f"the name of the class folder {str(folder)!r} has blanks at its ends, and {problem}; "
                "rename it, or move its images into the other folder"
            )


def _is_split(train: Path) -> bool:
    """Return whether train is a folder of class folders. Raises DatasetError if it may as well be a class."""
    if not folders_in(train):
        return False
    nowhere = LeftOut(train)
    own = images_in(train, nowhere)
    inner = [folder.name for folder in folders_in(train) if own and images_below(folder, nowhere)]
    if inner:
        raise DatasetError(
            f"{train} holds images, such as {own[0].name}, beside folders of images, {briefly(inner)}: move the images "
            "into the folders if these are classes; rename train if it is a class"
        )
    return not own


def _class_images(folder: Path, left_out: LeftOut) -> list[Path]:
    """Return the images of a class. Raises DatasetError if there are none, or if subfolders may be the classes."""
    passed_over = LeftOut(left_out.root)
    files = images_below(folder, passed_over)
    if not files:
        reasons = "".join(f"; {phrase}" for phrase in passed_over.phrases())
        raise DatasetError(
            f"expected {FOLDER_LAYOUT}; no images that Pillow can read in {folder}; {contents(folder)}{reasons}; add "
            "images, or remove the folder"
        )
    left_out.join(passed_over)
    inner = dict.fromkeys(file.relative_to(folder).parts[0] for file in files if file.parent != folder)
    if len(inner) > 1 and files[0].parent != folder:
        advice = f"if these are the classes, give {folder} as `data_root`"
        if split_in(folder.name):  # its images alone would be no honest data
            advice = "if it is a split, put all classes into folders train/<class> and test/<class>"
        raise DatasetError(
            f"{folder} holds no images itself, but folders of images, {briefly(inner)}: {advice}; "
            "if it is a class, move its images into one folder"
        )
    return files


def read_csv(root: Path) -> Dataset:
    """Read images that a CSV file (RFC 4180) lists, with the header path,label[,split] and any further columns.

    root: the file, or a folder with no other CSV file. Paths are relative to the file's folder and stay below it.
    Classes are in natural order. split: a word of SPLIT_OF_WORD, in any case. Images of the split validation train too,
    or are the test split if no image is of test. Without that column, a fixed stratified fifth is carved. Raises
    DatasetError if the file cannot be parsed, an image is listed twice, a label is empty, or a path leaves the folder.
    """
    file = root if root.is_file() else _only_csv(root)
    images: list[tuple[str, str, str]] = []
    for number, row in csv_rows(file, ("path", "label"), ("split",)):
        label, split = normalized(row["label"]), row.get("split", "").strip().lower()
        if not label:
            raise DatasetError(f"{file}, line {number}: the label is empty; name the image's class")
        if "split" in row and split not in SPLIT_OF_WORD:
            raise DatasetError(
                f"{file}, line {number}: split is one of {', '.join(SPLIT_OF_WORD)}, got {row['split']!r}"
            )
        images.append((_path(file.parent, row["path"]), label, SPLIT_OF_WORD.get(split, "")))
    splits = {split for _, _, split in images}
    test = "test" if "test" in splits else "validation"
    rows = [(path, label, split == test) for path, label, split in images]
    return _dataset("csv", file.parent, rows, LeftOut(file.parent), carved="" in splits)


def _path(folder: Path, path: str) -> str:
    """Return a path without the spaces around it, unless they belong to the name of a file that exists."""
    stripped = path.strip()
    return path if stripped != path and os.path.lexists(folder / path) else stripped


def _dataset(
    name: str, folder: Path, images: Sequence[tuple[str, str, bool]], left_out: LeftOut, carved: bool
) -> Dataset:
    """Build a dataset of images with the names of their classes. carved: whether a test split is carved."""
    classes = sorted({label for _, label, _ in images}, key=natural)
    number = {label: i for i, label in enumerate(classes)}
    rows: list[Row] = [(path, number[label], test) for path, label, test in images]
    data = dataset_of(name, folder, classes, rows, left_out)
    return with_test_split(data) if carved else data


def _only_csv(folder: Path) -> Path:
    files = [entry for entry in entries(folder) if entry.suffix.lower() == ".csv"]
    folders = [entry.name for entry in folders_in(folder)]
    if not files and folders:
        raise DatasetError(
            f"`data_root` {folder} holds no CSV file, but folders, {briefly(folders)}: "
            "if these are the classes, give folder as `dataset`; else name the CSV file as `data_root`"
        )
    if len(files) != 1:
        raise DatasetError(
            f"expected {CSV_LAYOUT}; {len(files)} CSV files in {folder}; {contents(folder)}; "
            "name the file itself as `data_root`"
        )
    return files[0]
