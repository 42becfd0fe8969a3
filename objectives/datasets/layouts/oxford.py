"""The Visual Geometry Group's FGVC-Aircraft (text tables) and 102 Flowers (MATLAB files)."""

from pathlib import Path
from typing import Literal

from objectives.datasets.dataset import Dataset
from objectives.datasets.layouts.layout import Layout
from objectives.datasets.layouts.matlab import matlab_variable
from objectives.datasets.layouts.tables import Row, dataset_of, text_lines, text_table, zero_based
from spaces.errors import DatasetError

Level = Literal["variant", "family", "manufacturer"]
_NAMES: dict[Level, str] = {"variant": "variants", "family": "families", "manufacturer": "manufacturers"}


def _aircraft(level: Level) -> Layout:
    tables = {part: (f"images_{level}_{part}.txt",) for part in ("train", "val", "test")}
    return Layout(
        "FGVC-Aircraft 2013b",
        "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/",
        ("data", "fgvc-aircraft-2013b/data"),
        {"classes": (f"{_NAMES[level]}.txt",), **tables, "files": ("images/",)},
    )


AIRCRAFT: dict[Level, Layout] = {level: _aircraft(level) for level in _NAMES}
FLOWERS = Layout(
    "Oxford 102 Flowers",
    "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
    ("flowers-102",),
    {"labels": ("imagelabels.mat",), "split": ("setid.mat",), "files": ("jpg/",)},
)


def read_aircraft(root: Path, level: Level = "variant") -> Dataset:
    """Read FGVC-Aircraft with its own test split (Maji et al. 2013): 100 variants, 70 families or 30 manufacturers.

    root: fgvc-aircraft-2013b, its folder data, or the folder above. The published training and validation images both
    train. The photographs keep the 20-pixel banner at their lower edge, as in other readers. Raises DatasetError if a
    part is missing, a line cannot be parsed, a class is unknown or an image is listed twice.
    """
    parts = AIRCRAFT[level].locate(root)
    classes = [line for _, line in text_lines(parts["classes"])]
    number = {name: label for label, name in enumerate(classes)}
    if len(number) < len(classes):
        raise DatasetError(f"{parts['classes']} lists a class twice; list each once")

    rows: list[Row] = []
    for part in ("train", "val", "test"):
        for image, name in text_table(parts[part]).items():
            if name not in number:
                raise DatasetError(
                    f"{parts[part]} gives image {image} the class {name!r}, which {parts['classes'].name} does not list"
                )
            rows.append((f"{image}.jpg", number[name], part == "test"))
    return dataset_of("aircraft" if level == "variant" else f"aircraft-{level}", parts["files"], classes, rows)


def read_flowers(root: Path) -> Dataset:
    """Read 102 Flowers with its own test split (Nilsback and Zisserman 2008). root: its folder or the folder above.

    The test images are the published `tstid` of setid.mat: 6,149, six times the 1,020 of `trnid`. `trnid` and `valid`
    both train. The archive names no classes, so they are named by their numbers, from 1. Raises DatasetError if a part
    is missing or damaged, a number is out of range, or an image is in two splits.
    """
    parts = FLOWERS.locate(root)
    numbers = matlab_variable(parts["labels"], "labels").tolist()
    classes = [str(n + 1) for n in range(len(set(numbers)))]
    labels = zero_based(parts["labels"], "a class", numbers, len(classes))

    rows: list[Row] = []
    for split in ("trnid", "valid", "tstid"):
        for i in zero_based(parts["split"], "an image", matlab_variable(parts["split"], split).tolist(), len(labels)):
            rows.append((f"image_{i + 1:05d}.jpg", labels[i], split == "tstid"))
    return dataset_of("flowers", parts["files"], classes, rows)
