"""Stanford Cars and Stanford Dogs, whose tables are MATLAB files."""

from collections import Counter
from pathlib import Path, PurePosixPath

from objectives.datasets.dataset import Dataset
from objectives.datasets.layouts.layout import Layout
from objectives.datasets.layouts.matlab import matlab_pairs, matlab_variable
from objectives.datasets.layouts.tables import Row, dataset_of, zero_based
from spaces.errors import DatasetError

CARS = Layout(
    "Stanford Cars",
    "https://ai.stanford.edu/~jkrause/cars/car_dataset.html (copies exist where that page does not answer)",
    ("stanford_cars",),
    {
        "classes": ("devkit/cars_meta.mat", "cars_meta.mat"),
        "train": ("devkit/cars_train_annos.mat", "cars_train_annos.mat"),
        "test": ("cars_test_annos_withlabels.mat", "devkit/cars_test_annos_withlabels.mat"),
        "train files": ("cars_train/",),
        "test files": ("cars_test/",),
    },
)
DOGS = Layout(
    "Stanford Dogs",
    "http://vision.stanford.edu/aditya86/ImageNetDogs/",
    ("stanford_dogs",),
    {
        "train": ("lists/train_list.mat", "train_list.mat"),
        "test": ("lists/test_list.mat", "test_list.mat"),
        "files": ("Images/", "images/"),
    },
)


def read_cars(root: Path) -> Dataset:
    """Read Stanford Cars with its own test split (Krause et al. 2013). root: its folder or the folder above.

    Raises DatasetError if a part is missing or damaged, a class is out of range, or a class or an image is listed
    twice.
    """
    parts = CARS.locate(root)
    classes = [str(name) for name in matlab_variable(parts["classes"], "class_names")]
    repeated = [name for name, times in Counter(classes).items() if times > 1]
    if repeated:
        raise DatasetError(f"{parts['classes']} lists {repeated[0]} more than once; list each class once")
    rows: list[Row] = []
    for split in ("train", "test"):
        records = matlab_pairs(parts[split], "annotations", ("fname", "class"))
        labels = zero_based(parts[split], "a class", (number for _, number in records), len(classes))
        folder = parts[f"{split} files"].relative_to(root).as_posix()
        for (file, _), label in zip(records, labels, strict=True):
            rows.append((f"{folder}/{file}", label, split == "test"))
    return dataset_of("cars", root, classes, rows)


def read_dogs(root: Path) -> Dataset:
    """Read Stanford Dogs with its own test split (Khosla et al. 2011). root: its folder or the folder above.

    Classes have the names of their folders, such as n02085620-Chihuahua. Raises DatasetError if a part is missing or
    damaged, an image is listed twice, or the images of one folder have two labels.
    """
    parts = DOGS.locate(root)
    files = {split: [str(file) for file in matlab_variable(parts[split], "file_list")] for split in ("train", "test")}
    count = len({PurePosixPath(file).parent for split in files.values() for file in split})
    names: dict[int, str] = {}
    rows: list[Row] = []
    for split, paths in files.items():
        labels = zero_based(parts[split], "a class", matlab_variable(parts[split], "labels").tolist(), count)
        if len(paths) != len(labels):
            raise DatasetError(f"{parts[split]} lists {len(paths)} files but {len(labels)} labels; expected as many")
        for path, label in zip(paths, labels, strict=True):
            folder = PurePosixPath(path).parent.name
            if names.setdefault(label, folder) != folder:
                raise DatasetError(
                    f"{parts[split]} gives {path} the class {label + 1}, which is that of {names[label]}"
                )
            rows.append((path, label, split == "test"))
    return dataset_of("dogs", parts["files"], [names[label] for label in sorted(names)], rows)
