"""ImageNet (ILSVRC 2012) and its subsets, as its archives unpack, from Kaggle, or sorted into class folders."""

import re
from collections.abc import Sequence
from pathlib import Path

from objectives.datasets.dataset import Dataset
from objectives.datasets.layouts.image_files import LeftOut, images_below
from objectives.datasets.layouts.layout import Layout, briefly, contents, folders_in
from objectives.datasets.layouts.matlab import matlab_pairs
from objectives.datasets.layouts.tables import Row, csv_rows, dataset_of, text_lines, zero_based
from spaces.errors import DatasetError

_KAGGLE = ("Data/CLS-LOC", "ILSVRC/Data/CLS-LOC")
IMAGENET = Layout(
    "ImageNet (ILSVRC 2012)",
    "https://image-net.org/challenges/LSVRC/2012/ (after registration)",
    (),
    {part: (f"{part}/", *(f"{folder}/{part}/" for folder in _KAGGLE)) for part in ("train", "val")},
)
_SOLUTION = ("LOC_val_solution.csv", "../LOC_val_solution.csv")
_DEVKIT = ("ILSVRC2012_devkit_t12/data", "devkit/data", "data", ".")
_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
_WNID = re.compile(r"n\d{8}")


def read_imagenet(root: Path, name: str = "imagenet", subset: Sequence[str] = ()) -> Dataset:
    """Read ImageNet's ILSVRC 2012 classes (Russakovsky et al. 2015), which are named by their WordNet ids.

    The published validation images are the test split, because the published test images have no public labels.
    root: the folder with train/<wnid>/* and val/, or the folder above Kaggle's ILSVRC/Data/CLS-LOC. val/ holds class
    folders, or the images themselves. In the latter case Kaggle's LOC_val_solution.csv labels them, or else the
    development kit (ILSVRC2012_devkit_t12). subset: read only these classes.
    Raises DatasetError if a part is missing or contradicts another, or if a class has no images in train/ or val/.
    """
    parts = IMAGENET.locate(root)
    train, val = parts["train"], parts["val"]
    available = _classes_in(train)
    if not available:
        raise DatasetError(f"expected {IMAGENET}; no folder in {train} is called by a WordNet id; {contents(train)}")
    absent = sorted(set(subset) - set(available))
    if absent:
        raise DatasetError(f"{train} lacks {len(absent)} of the {len(subset)} classes of {name}: {briefly(absent)}")

    wnids = sorted(subset or available)
    number = {wnid: label for label, wnid in enumerate(wnids)}
    left_out = LeftOut(root)
    tests = _validation(root, val, left_out)
    tested = {wnid for _, wnid in tests}
    if not subset and tested - number.keys():
        raise DatasetError(f"{train} lacks classes that {val} has: {briefly(sorted(tested - number.keys()))}")
    if number.keys() - tested:
        raise DatasetError(f"{val} has no images of the classes {briefly(sorted(number.keys() - tested))}")

    rows: list[Row] = [(path, number[wnid], False) for wnid in wnids for path in _images(train / wnid, left_out)]
    rows += [(path, number[wnid], True) for path, wnid in tests if wnid in number]
    return dataset_of(name, root, wnids, rows, left_out)


def _classes_in(folder: Path) -> list[str]:
    return [entry.name for entry in folders_in(folder) if _WNID.fullmatch(entry.name)]


def _images(folder: Path, left_out: LeftOut) -> list[str]:
    files = images_below(folder, left_out)
    if not files:
        raise DatasetError(f"expected images in {folder}; {contents(folder)}")
    return [file.relative_to(left_out.root).as_posix() for file in files]


def _validation(root: Path, val: Path, left_out: LeftOut) -> list[tuple[str, str]]:
    """Return each validation image's path below the root, and its WordNet id."""
    folders = _classes_in(val)
    if folders:
        return [(path, wnid) for wnid in folders for path in _images(val / wnid, left_out)]
    below = val.relative_to(root).as_posix()
    solution = next((root / place for place in _SOLUTION if (root / place).is_file()), None)
    if solution:
        rows = csv_rows(solution, ("ImageId", "PredictionString"))
        return [(f"{below}/{row['ImageId']}.JPEG", row["PredictionString"].partition(" ")[0]) for _, row in rows]
    devkit = next((root / place for place in _DEVKIT if (root / place / _TRUTH).is_file()), None)
    if devkit:
        synsets = matlab_pairs(devkit / "meta.mat", "synsets", ("ILSVRC2012_ID", "WNID"))
        ids = zero_based(devkit / "meta.mat", "a synset", (number for number, _ in synsets), len(synsets))
        wnid_of = dict(zip(ids, (wnid for _, wnid in synsets), strict=True))
        if len(set(wnid_of.values())) < len(synsets):
            raise DatasetError(f"{devkit / 'meta.mat'} lists a synset twice; take it from the published archive again")
        labels = zero_based(
            devkit / _TRUTH, "a synset", (line for _, line in text_lines(devkit / _TRUTH)), len(synsets)
        )
        return [(f"{below}/ILSVRC2012_val_{i:08d}.JPEG", wnid_of[label]) for i, label in enumerate(labels, start=1)]
    raise DatasetError(
        f"{val} holds no class folders, and nothing in {root} labels its images: add LOC_val_solution.csv (Kaggle) or "
        f"unpack ILSVRC2012_devkit_t12.tar.gz there; {contents(root)}"
    )
