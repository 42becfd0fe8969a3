"""A user's own images: class folders, or a CSV file that lists images."""

from collections.abc import Sequence
from pathlib import Path
from unicodedata import normalize

from objectives.datasets.dataset import Dataset
from objectives.datasets.layouts.image_files import OUTSIDE, LeftOut, images_below, images_in
from objectives.datasets.layouts.layout import briefly, contents, entries, folders_in, natural
from objectives.datasets.layouts.tables import Row, csv_rows, dataset_of
from objectives.datasets.splits import with_test_split
from spaces.errors import DatasetError

FOLDER_LAYOUT = "one folder of images for each class, DIR/<class>/*, or DIR/train/<class>/* and DIR/test/<class>/*"
CSV_LAYOUT = (
    "a CSV file, or a folder with one, with the columns path,label[,split]: paths relative to the file's folder, "
    "split train, val or test"
)
_IS_TEST = {"train": False, "val": False, "validation": False, "test": True}


def read_folder(root: Path) -> Dataset:
    """Read class folders, `root/<class>/*`, or `root/train/<class>/*` with `root/test/<class>/*`.

    Classes and files are in natural order (2 before 10). `images_in` decides which files are images. The images in
    subfolders of a class folder belong to the class. All other files are counted in `left_out`. Without a test folder,
    a fixed stratified fifth is carved as the test split. A folder called train that holds images itself is an ordinary
    class.
    Raises DatasetError for any other layout, and where folders can be understood in two ways.
    """
    train, test = root / "train", root / "test"
    left_out = LeftOut(root)
    if _is_split(train):
        others = [folder.name for folder in folders_in(root) if folder not in (train, test)]
        if others:
            raise DatasetError(
                f"expected {FOLDER_LAYOUT}; {root} holds {briefly(f'{name}/' for name in others)} beside train/: "
                "move its images into train/ or test/, or move it away"
            )
        parts = [train, test] if test.is_dir() else [train]
    else:
        parts = [root]

    images: list[tuple[str, str, bool]] = []
    for part in parts:
        folders = folders_in(part)
        if not folders:
            raise DatasetError(f"expected {FOLDER_LAYOUT}; no class folders in {part}; {contents(part)}")
        for folder in folders:
            files = _class_images(folder, left_out)
            name = normalize("NFC", folder.name)
            images += [(file.relative_to(root).as_posix(), name, part == test) for file in files]
    for part in {root, *parts}:
        for entry in entries(part):
            if not entry.is_dir():
                left_out.add(OUTSIDE, entry)
    return _dataset("folder", root, images, left_out, carved=test not in parts)


def _is_split(train: Path) -> bool:
    """Return whether train is a folder of class folders. Raises DatasetError if it may as well be a class."""
    nowhere = LeftOut(train)
    if not folders_in(train):
        return False
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
    files = images_below(folder, left_out)
    if not files:
        raise DatasetError(f"expected {FOLDER_LAYOUT}; no images that Pillow can read in {folder}; {contents(folder)}")
    inner = dict.fromkeys(file.relative_to(folder).parts[0] for file in files if file.parent != folder)
    if len(inner) > 1 and files[0].parent != folder:
        raise DatasetError(
            f"{folder} holds no images itself, but folders of images, {briefly(inner)}: if these are the classes, give "
            f"{folder} as `data_root`; if it is a class, move its images into one folder"
        )
    return files


def read_csv(root: Path) -> Dataset:
    """Read images that a CSV file (RFC 4180) lists, with the header path,label[,split] and any further columns.

    root: the file, or a folder with no other CSV file. Paths are relative to the file's folder and stay below it.
    Classes are in natural order. split: train, val or validation (which train too), or test, in any case. Without that
    column, a fixed stratified fifth is carved as the test split. Raises DatasetError if the file cannot be parsed, an
    image is listed twice, a label is empty, or a path leaves the folder.
    """
    file = root if root.is_file() else _only_csv(root)
    images: list[tuple[str, str, bool]] = []
    carved = True
    for number, row in csv_rows(file, ("path", "label")):
        label, split = row["label"].strip(), row.get("split", "").strip().lower()
        if not label:
            raise DatasetError(f"{file}, line {number}: the label is empty; name the image's class")
        if "split" in row and split not in _IS_TEST:
            raise DatasetError(f"{file}, line {number}: split is one of {', '.join(_IS_TEST)}, got {row['split']!r}")
        carved = "split" not in row
        images.append((row["path"], normalize("NFC", label), _IS_TEST.get(split, False)))
    return _dataset("csv", file.parent, images, LeftOut(file.parent), carved)


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
    if len(files) != 1:
        raise DatasetError(
            f"expected {CSV_LAYOUT}; {len(files)} CSV files in {folder}; {contents(folder)}; "
            "name the file itself as `data_root`"
        )
    return files[0]
