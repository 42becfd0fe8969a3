"""CUB-200-2011 and NABirds, whose four text tables are joined by image ids."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from objectives.datasets.dataset import Dataset
from objectives.datasets.layouts.layout import Layout, briefly, natural
from objectives.datasets.layouts.tables import dataset_of, text_table
from spaces.errors import DatasetError

_PARTS = {
    "images": ("images.txt",),
    "labels": ("image_class_labels.txt",),
    "split": ("train_test_split.txt",),
    "classes": ("classes.txt",),
    "files": ("images/",),
}
CUB = Layout("CUB-200-2011", "https://www.vision.caltech.edu/datasets/cub_200_2011/", ("CUB_200_2011",), _PARTS)
NABIRDS = Layout("NABirds", "https://dl.allaboutbirds.org/nabirds", ("nabirds",), _PARTS)


def read_cub(root: Path) -> Dataset:
    """Read CUB-200-2011 with its own test split (Wah et al. 2011). root: its folder or the folder above.

    Images keep the order of images.txt. Raises DatasetError if a part is missing, a line cannot be parsed, an id, image
    or class is listed twice, or the tables list different ids.
    """
    parts = CUB.locate(root)
    classes = text_table(parts["classes"])
    name, times = Counter(classes.values()).most_common(1)[0]
    if times > 1:
        raise DatasetError(f"{parts['classes']} lists {name} under {times} ids; list it once")
    return _joined("cub", parts, classes)


def read_nabirds(root: Path) -> Dataset:
    """Read NABirds with its own test split (Van Horn et al. 2015). root: its folder or the folder above.

    classes.txt names all 1,011 nodes of the hierarchy. The classes are the 555 nodes that have images, in its order. If
    two classes have the same name, their ids are appended. Raises DatasetError as `read_cub` does.
    """
    parts = NABIRDS.locate(root)
    nodes = text_table(parts["classes"])
    used = set(text_table(parts["labels"]).values())
    times = Counter(name for key, name in nodes.items() if key in used)
    classes = {k: f"{name} [{k}]" if times[name] > 1 else name for k, name in nodes.items() if k in used}
    return _joined("nabirds", parts, classes)


def _joined(dataset: str, parts: dict[str, Path], classes: dict[str, str]) -> Dataset:
    images, labels, split = (text_table(parts[part]) for part in ("images", "labels", "split"))
    for part, table in (("labels", labels), ("split", split)):
        _same_ids(parts[part], images.keys(), table.keys())
    number = {key: label for label, key in enumerate(classes)}
    for key in images:
        if labels[key] not in number:
            raise DatasetError(
                f"{parts['labels']} gives image {key} the class {labels[key]}, which classes.txt does not list"
            )
        if split[key] not in ("0", "1"):
            raise DatasetError(f"{parts['split']} marks image {key} with {split[key]!r}; 1 is train and 0 is test")
    rows = ((path, number[labels[key]], split[key] == "0") for key, path in images.items())
    return dataset_of(dataset, parts["files"], tuple(classes.values()), rows)


def _same_ids(path: Path, images: Iterable[str], others: Iterable[str]) -> None:
    unlisted, unknown = set(images) - set(others), set(others) - set(images)
    if unlisted:
        raise DatasetError(f"{path} lacks images of images.txt: ids {briefly(sorted(unlisted, key=natural))}")
    if unknown:
        raise DatasetError(f"{path} lists ids not in images.txt: {briefly(sorted(unknown, key=natural))}")
