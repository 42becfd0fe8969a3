import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from objectives.datasets.catalog import DATASETS, Dataset, load_dataset
from objectives.datasets.images import ArrayImages
from objectives.datasets.splits import check_training_images, split
from spaces.errors import DatasetError, UnknownNameError
from tests.support.small_archives import CIFAR_CLASSES, FILES, cifar, huggingface_parquet


@pytest.fixture
def folder(tmp_path: Path, paint: Callable[..., Path]) -> Path:
    root = tmp_path / "my images"
    for c, name in enumerate(("Möwe", "red kite")):
        for k in range(10):
            paint(root / name / f"{name} {k}.jpg", 10 * c + k)
    return root


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:300])


@pytest.mark.parametrize("name", DATASETS)
def test_every_dataset_loads(tmp_path: Path, name: str) -> None:
    if name in FILES:
        FILES[name](tmp_path)
    elif name in CIFAR_CLASSES:
        cifar(tmp_path, name)
    elif name == "huggingface":
        huggingface_parquet(tmp_path)
    dataset = load_dataset(name, tmp_path if DATASETS[name].needs_root else None)
    assert dataset.name == name
    assert dataset.skipped == ()
    assert dataset.labels.dtype == np.int64
    assert dataset.is_test.dtype == np.bool_
    assert dataset.labels.shape == dataset.is_test.shape == (len(dataset),)
    assert set(dataset.labels.tolist()) == set(range(len(dataset.classes)))
    assert 0 < dataset.is_test.sum() < len(dataset)


def test_published_datasets_name_their_source() -> None:
    assert {name for name, entry in DATASETS.items() if entry.page is None} == {
        "digits",
        "folder",
        "csv",
        "huggingface",
    }
    assert all(entry.page is None or entry.page.startswith("http") for entry in DATASETS.values())


@pytest.mark.parametrize(
    ("name", "root", "message"),
    [
        ("cub", None, "dataset 'cub' needs its folder: add `data_root` .*images.txt"),
        ("folder", None, "dataset 'folder' needs its folder: add `data_root` .*<class>"),
        ("folder", "missing", "`data_root` .*missing does not exist; give the folder .*<class>"),
        ("cub", "file.txt", "`data_root` .*file.txt is a file; give the folder .*images.txt"),
        ("csv", "missing", "`data_root` .*missing does not exist; give the folder .*path,label"),
        ("digits", ".", "dataset 'digits' needs no folder, got .*: leave out `data_root`"),
    ],
)
def test_a_wrong_data_root_is_an_error_with_the_remedy(
    tmp_path: Path, name: str, root: str | None, message: str
) -> None:
    (tmp_path / "file.txt").touch()
    with pytest.raises(DatasetError, match=message):
        load_dataset(name, None if root is None else tmp_path / root)


def test_unknown_names_list_what_exists() -> None:
    with pytest.raises(
        UnknownNameError, match=r"unknown dataset 'cup'; did you mean 'cub'\? known: aircraft, .*cub, digits, dogs"
    ):
        load_dataset("cup", None)


def test_an_unreadable_image_is_named_and_skipped_only_on_request(folder: Path) -> None:
    truncate(folder / "Möwe" / "Möwe 3.jpg")
    (folder / "red kite" / "red kite 7.jpg").write_text("no image")
    message = "Möwe 3.jpg cannot be read: .*; 2 of 20 images cannot be read: .*`skip_unreadable`"
    with pytest.raises(DatasetError, match=message) as caught:
        load_dataset("folder", folder)
    assert "\n" not in str(caught.value)

    dataset = load_dataset("folder", folder, skip_unreadable=True)
    assert [Path(name).name for name in dataset.skipped] == ["Möwe 3.jpg", "red kite 7.jpg"]
    assert len(dataset) == len(dataset.labels) == len(dataset.is_test) == 18
    for i, label in enumerate(dataset.labels):
        assert Path(dataset.images.name(i)).parent.name == dataset.classes[label]


def test_an_image_that_the_split_lists_and_the_folder_lacks(cub: Path) -> None:
    gone = cub / "images" / "003.Great Auk" / "Great Auk_0002.jpg"
    gone.unlink()
    with pytest.raises(DatasetError, match=r"Great Auk_0002.jpg cannot be read: No such file.*; 1 of 12"):
        load_dataset("cub", cub)
    dataset = load_dataset("cub", cub, skip_unreadable=True)
    assert dataset.skipped == (str(gone),)
    assert dataset.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 3
    assert dataset.is_test.tolist() == [False, False, False, True] * 2 + [False, False, True]


def test_a_class_of_unreadable_images_stays_and_is_refused_before_a_search(folder: Path) -> None:
    for path in (folder / "red kite").iterdir():
        truncate(path)
    dataset = load_dataset("folder", folder, skip_unreadable=True)
    assert dataset.classes == ("Möwe", "red kite")
    with pytest.raises(DatasetError, match=r"'red kite' has no image that can be read; unreadable files .*: 10; add"):
        check_training_images(dataset)
    with pytest.raises(DatasetError, match="'red kite' has no image that can be read"):
        split(dataset, 0)


def test_skipping_everything_is_refused(folder: Path) -> None:
    for path in folder.rglob("*.jpg"):
        truncate(path)
    with pytest.raises(DatasetError, match="none of the 20 images can be read"):
        load_dataset("folder", folder, skip_unreadable=True)


def test_the_fingerprint_depends_on_the_data_not_the_folder(folder: Path, tmp_path: Path) -> None:
    before = load_dataset("folder", folder).fingerprint
    shutil.copytree(folder, tmp_path / "copy")
    assert load_dataset("folder", tmp_path / "copy").fingerprint == before
    image = tmp_path / "copy" / "red kite" / "red kite 0.jpg"
    shutil.copy(tmp_path / "copy" / "red kite" / "red kite 1.jpg", image)
    assert load_dataset("folder", tmp_path / "copy").fingerprint != before


def test_the_fingerprint_depends_on_every_part() -> None:
    arrays = np.arange(4 * 6, dtype=np.uint8).reshape(4, 2, 3)
    labels, is_test = np.array([0, 1, 0, 1]), np.array([False, False, True, True])
    dataset = Dataset("x", ("a", "b"), ArrayImages(arrays), labels, is_test)
    others = [
        replace(dataset, classes=("a", "c")),
        replace(dataset, classes=("b", "a")),
        replace(dataset, labels=1 - labels),
        replace(dataset, is_test=~is_test),
        replace(dataset, images=ArrayImages(arrays + 1)),
        replace(dataset, images=ArrayImages(arrays[::-1])),
    ]
    assert len({loaded.fingerprint for loaded in [dataset, *others]}) == 7
    assert replace(dataset, name="y", images=ArrayImages(arrays.copy())).fingerprint == dataset.fingerprint


def test_importing_the_catalog_is_light() -> None:
    check = (
        "import sys, objectives.datasets.catalog as c; sys.exit(bool({'torch', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
