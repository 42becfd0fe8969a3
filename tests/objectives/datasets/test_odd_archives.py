"""Every layout with the oddities that an archive may have: forms of images, names, lines given twice, files absent."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from scipy.io import loadmat, savemat

from objectives.datasets.catalog import DATASETS, load_dataset
from spaces.errors import DatasetError
from tests.support import small_archives
from tests.support.small_archives import CIFAR_CLASSES, FILES, FORMS, Contents

LAYOUTS: dict[str, Callable[[Path], Contents]] = {
    **FILES,
    "imagenet (kit)": small_archives.imagenet_devkit,
    "imagenet (Kaggle)": small_archives.imagenet_kaggle,
}
"""The builder of every layout of image files, by the dataset's name and what tells the layout from its others."""

COLOURS = np.array([[[200, 40, 40], [40, 180, 60]], [[50, 60, 200], [230, 220, 90]]], np.uint8)
PICTURE = Image.fromarray(COLOURS.repeat(32, axis=0).repeat(16, axis=1))  # 32x64, a colour a quarter


def assert_seen(image: Image.Image, form: str) -> None:
    """Assert that the picture is upright and in its colours, or in greys of their brightness."""
    assert (image.mode, image.size) == ("RGB", (32, 64))
    grey = form in ("greyscale", "16-bit")
    expected = np.asarray(PICTURE.convert("L").convert("RGB") if grey else PICTURE)
    np.testing.assert_allclose(np.asarray(image)[16::32, 8::16], expected[16::32, 8::16].astype(int), atol=4)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_image_is_read_from_every_layout(tmp_path: Path, layout: str, form: str) -> None:
    name = layout.partition(" ")[0]
    LAYOUTS[layout](tmp_path)
    for index in (0, -1):  # the last is a test image
        images = DATASETS[name].reader(tmp_path).images
        path = Path(images.name(range(len(images))[index]))
        assert path.suffix.lower() in (".jpg", ".jpeg")  # which PNGs among the forms belie
        path.write_bytes(FORMS[form](PICTURE))
    dataset = load_dataset(name, tmp_path)
    assert dataset.is_test[-1]
    for index in (0, len(dataset) - 1):
        assert_seen(dataset.images.read(index), form)


def parquet(root: Path, table: Any) -> None:
    for split in ("train", "test"):
        pq.write_table(table, root / f"{split}.parquet")


def saved(root: Path, table: Any) -> None:
    for split in ("train", "test"):
        small_archives.save_split(root / split, [table])


@pytest.mark.parametrize("write", [parquet, saved])
def test_every_form_of_image_in_a_table_is_read(tmp_path: Path, write: Callable[[Path, Any], None]) -> None:
    table = small_archives.huggingface_table(0, len(FORMS))
    images = pa.array([{"bytes": form(PICTURE), "path": f"{name}.jpg"} for name, form in FORMS.items()])
    write(tmp_path, table.set_column(0, "image", images).replace_schema_metadata(table.schema.metadata))
    dataset = load_dataset("huggingface", tmp_path)
    assert len(dataset) == 2 * len(FORMS)
    for i, form in enumerate([*FORMS, *FORMS]):
        assert_seen(dataset.images.read(i), form)


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout != "flowers"])  # whose names are numbers
def test_the_small_archives_have_names_with_spaces_and_beyond_ascii(tmp_path: Path, layout: str) -> None:
    contents = LAYOUTS[layout](tmp_path)
    names = [*contents, *(label for label, _ in contents.values())]
    assert any(" " in name for name in names)
    assert not all(name.isascii() for name in names)


@pytest.mark.parametrize(
    ("name", "build"),
    [
        *((name, lambda root, name=name: small_archives.cifar(root, name)) for name in CIFAR_CLASSES),
        *((name, lambda root, name=name: small_archives.cifar(root, name, binary=True)) for name in CIFAR_CLASSES),
        ("huggingface", small_archives.huggingface_parquet),
        ("huggingface", small_archives.huggingface_saved),
        ("imagenet", small_archives.imagenet_devkit),
        ("imagenet", small_archives.imagenet_kaggle),
    ],
)
def test_the_folder_itself_may_have_such_a_name(tmp_path: Path, name: str, build: Callable[[Path], object]) -> None:
    for root in (tmp_path / "plain", tmp_path / "Bilder für 猫"):
        root.mkdir()
        build(root)
    here, there = (load_dataset(name, root) for root in (tmp_path / "plain", tmp_path / "Bilder für 猫"))
    assert here.fingerprint == there.fingerprint


def twice(part: str, pick: Callable[[str], str] = lambda line: line) -> Callable[[Path], None]:
    """Adds the first line of a text table once more, changed by `pick`."""

    def change(root: Path) -> None:
        (path,) = root.rglob(part)
        first = path.read_text(encoding="utf-8").splitlines()[0]
        with path.open("a", encoding="utf-8") as file:
            file.write(pick(first) + "\n")

    return change


def matlab_twice(part: str, variable: str, at: int = 1) -> Callable[[Path], None]:
    """Also write the first entry of a MATLAB variable in place of another entry."""

    def change(root: Path) -> None:
        (path,) = root.rglob(part)
        content = {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
        array = content[variable].copy()
        array.flat[at] = array.flat[0]
        savemat(path, content | {variable: array})

    return change


def solution_twice(root: Path) -> None:
    with (root / "LOC_val_solution.csv").open("r+", newline="") as file:
        rows = list(csv.reader(file))
        csv.writer(file).writerow(rows[1])


def csv_twice(root: Path) -> None:
    path = root / "labels.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    with path.open("a", encoding="utf-8", newline="") as file:
        csv.writer(file).writerow(rows[1])


def other_id(line: str) -> str:
    return f"another-id {line.partition(' ')[2]}"


@pytest.mark.parametrize(
    ("layout", "change", "message"),
    [
        ("cub", twice("images.txt"), "images.txt, line 13: id 1 is listed twice"),
        ("cub", twice("train_test_split.txt"), "train_test_split.txt, line 13: id 1 is listed twice"),
        ("cub", twice("classes.txt", other_id), "classes.txt lists 001.Black_footed_Albatross under 2 ids"),
        ("nabirds", twice("images.txt"), "images.txt, line 13: id .* is listed twice"),
        ("nabirds", twice("image_class_labels.txt"), "image_class_labels.txt, line 13: id .* is listed twice"),
        ("nabirds", twice("train_test_split.txt"), "train_test_split.txt, line 13: id .* is listed twice"),
        ("nabirds", twice("classes.txt"), "classes.txt, line 6: id 0 is listed twice"),
        ("aircraft", twice("images_variant_train.txt"), "images_variant_train.txt, line 7: id .* is listed twice"),
        ("aircraft-family", twice("images_family_val.txt"), "images_family_val.txt, line 7: id .* is listed twice"),
        ("aircraft-manufacturer", twice("manufacturers.txt"), "manufacturers.txt lists a class twice"),
        ("cars", matlab_twice("cars_test_annos_withlabels.mat", "annotations"), "cars_test/00001.jpg is listed twice"),
        ("cars", matlab_twice("cars_meta.mat", "class_names"), "cars_meta.mat lists AM General .* more than once"),
        ("dogs", matlab_twice("train_list.mat", "file_list", at=3), "n02085620_0.jpg is listed twice"),
        ("flowers", matlab_twice("setid.mat", "tstid"), "image_00012.jpg is listed twice"),
        ("imagenet (Kaggle)", solution_twice, "ILSVRC2012_val_00000003.JPEG is listed twice"),
        ("imagenet (kit)", matlab_twice("meta.mat", "synsets"), "meta.mat lists a synset twice"),
        ("csv", csv_twice, "Vögel 0.jpg is listed twice"),
    ],
)  # fmt: skip
def test_lines_that_a_list_gives_twice(
    tmp_path: Path, layout: str, change: Callable[[Path], None], message: str
) -> None:
    LAYOUTS[layout](tmp_path)
    change(tmp_path)
    with pytest.raises(DatasetError, match=message) as caught:
        load_dataset(layout.partition(" ")[0], tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("layout", ["imagenet (kit)", "imagenet (Kaggle)"])
def test_an_image_that_a_list_labels_and_a_flat_folder_lacks(tmp_path: Path, layout: str) -> None:
    contents = LAYOUTS[layout](tmp_path)
    gone = tmp_path / next(path for path, (_, test) in contents.items() if test)
    gone.unlink()
    with pytest.raises(DatasetError, match=rf"{gone.name} cannot be read: No such file.*; 1 of {len(contents)} images"):
        load_dataset("imagenet", tmp_path)
    assert load_dataset("imagenet", tmp_path, skip_unreadable=True).skipped == (str(gone),)
