import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from objectives.datasets.catalog import load_dataset
from objectives.datasets.images import FileImages
from objectives.datasets.layouts import read_cub, read_digits, read_folder
from spaces.errors import DatasetError


def paths(images: object) -> tuple[str, ...]:
    assert isinstance(images, FileImages)
    return images.paths


def test_digits_are_scaled_and_a_fixed_fifth_is_the_test_split() -> None:
    digits = read_digits()
    assert digits.classes == tuple("0123456789")
    assert len(digits) == len(digits.labels) == len(digits.is_test) == 1797
    values = np.unique([np.asarray(digits.images.read(i)) for i in range(200)])
    assert set(values) == {round(v * 255 / 16) for v in range(17)}
    assert digits.is_test.sum() == 360
    assert all(abs(np.bincount(digits.labels[digits.is_test]) - np.bincount(digits.labels) / 5) <= 1)
    np.testing.assert_array_equal(read_digits().is_test, digits.is_test)


@pytest.mark.parametrize("above", [False, True])
def test_cub_is_read_from_its_folder_or_the_one_above(cub: Path, above: bool) -> None:
    birds = read_cub(cub.parent if above else cub)
    assert birds.classes == ("001.Black_footed_Albatross", "002.Grünspecht", "003.Great Auk")
    assert birds.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert birds.is_test.tolist() == [False, False, False, True] * 3
    assert paths(birds.images)[-1] == "003.Great Auk/Great Auk_0003.jpg"
    assert birds.images.read(11).size == (20, 16)


def test_cub_tables_join_by_id_not_by_line(cub: Path) -> None:
    for name in ("image_class_labels.txt", "train_test_split.txt"):
        lines = (cub / name).read_text().splitlines()
        (cub / name).write_text("\n".join([*reversed(lines), "", ""]))
    birds = read_cub(cub)
    assert birds.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert birds.is_test.tolist() == [False, False, False, True] * 3


@pytest.mark.parametrize(
    ("name", "pattern", "replacement", "message"),
    [
        ("images.txt", r"^2 (.*)$", r"2 \1\n2 \1", "images.txt, line 3: id 2 is listed twice"),
        ("images.txt", r"^2 (.*)\n3 .*$", r"2 \1\n3 \1", "0001.jpg is listed twice"),
        ("images.txt", r"^3 .*$", "3", "images.txt, line 3: expected '<id> <value>'.*got '3'"),
        ("images.txt", r"^3 ", "three ", "image_class_labels.txt lacks images of images.txt: ids three"),
        ("images.txt", r"(?s)^.*$", "", "images.txt is empty"),
        ("image_class_labels.txt", r"^2 .*\n", "", "image_class_labels.txt lacks images of images.txt: ids 2"),
        ("image_class_labels.txt", r"^2 1$", "2 9", "gives image 2 the class 9"),
        ("train_test_split.txt", r"^2 .*$", r"2 1\n77 1", "train_test_split.txt lists ids not in images.txt: 77"),
        ("train_test_split.txt", r"^2 .*$", "2 train", "marks image 2 with 'train'"),
        ("classes.txt", r"^2 .*$", "2 003.Great Auk", "classes.txt lists 003.Great Auk under 2 ids"),
        ("classes.txt", r"^2 .*\n", "", "gives image 5 the class 2, which classes.txt does not list"),
    ],
)  # fmt: skip
def test_cub_tables_that_contradict_themselves(
    cub: Path, name: str, pattern: str, replacement: str, message: str
) -> None:
    text = (cub / name).read_text(encoding="utf-8")
    changed = re.sub(pattern, replacement, text, count=1, flags=re.MULTILINE)
    assert changed != text
    (cub / name).write_text(changed, encoding="utf-8")
    with pytest.raises(DatasetError, match=message):
        read_cub(cub)


def test_cub_tables_are_utf8(cub: Path) -> None:
    text = (cub / "classes.txt").read_text(encoding="utf-8")
    (cub / "classes.txt").write_text(text, encoding="latin-1")
    with pytest.raises(DatasetError, match=r"classes\.txt is not UTF-8"):
        read_cub(cub)


def test_a_missing_table_is_named_with_the_content_of_the_folder(cub: Path) -> None:
    (cub / "train_test_split.txt").unlink()
    found = "found in .*CUB_200_2011: classes.txt, image_class_labels.txt, images/, images.txt"
    with pytest.raises(DatasetError, match=f"expected the CUB.*; train_test_split.txt missing; {found}"):
        read_cub(cub.parent)


def test_class_folders_in_natural_order_with_a_fixed_fifth(tmp_path: Path, paint: Callable[..., Path]) -> None:
    for name in ("c10", "c2", "Große Katze", "猫"):
        for k in (10, 9, 1, 2, 3):
            paint(tmp_path / name / f"{k}.png", k)
    for ignored in ("c2/.hidden.png", ".cache/x.png", "README.png"):
        paint(tmp_path / ignored)
    (tmp_path / "c2/notes.txt").write_text("two of them are blurred")
    data = read_folder(tmp_path)
    assert data.classes == ("Große Katze", "c2", "c10", "猫")
    assert paths(data.images)[5:10] == ("c2/1.png", "c2/2.png", "c2/3.png", "c2/9.png", "c2/10.png")
    assert data.labels.tolist() == [0] * 5 + [1] * 5 + [2] * 5 + [3] * 5
    assert np.bincount(data.labels[data.is_test]).tolist() == [1, 1, 1, 1]
    np.testing.assert_array_equal(read_folder(tmp_path).is_test, data.is_test)


@pytest.mark.parametrize("suffix", ["jpg", "JPEG", "png", "bmp", "webp", "Gif", "tif", "tiff", "ppm"])
def test_suffixes_in_any_case(tmp_path: Path, paint: Callable[..., Path], suffix: str) -> None:
    for name in ("train/a/1", "train/b/1", "test/a/1"):
        paint(tmp_path / f"{name}.{suffix}")
    data = read_folder(tmp_path)
    assert len(data) == 3
    assert data.images.read(2).size == (20, 16)


def test_train_and_test_folders_are_the_split(tmp_path: Path, paint: Callable[..., Path]) -> None:
    for name in ("train/b", "train/a", "test/a", "test/b"):
        for k in range(2):
            paint(tmp_path / name / f"{k}.png", k)
    data = read_folder(tmp_path)
    assert data.classes == ("a", "b")
    assert paths(data.images)[::2] == ("train/a/0.png", "train/b/0.png", "test/a/0.png", "test/b/0.png")
    assert data.labels.tolist() == [0, 0, 1, 1] * 2
    assert data.is_test.tolist() == [False] * 4 + [True] * 4


@pytest.mark.parametrize(
    ("train", "validation", "test", "tests"),
    [
        ("Train", None, "Test", "Test"),
        ("TRAIN", "val", None, "val"),
        ("training", None, "testing", "testing"),
        ("train", "valid", "test", "test"),
        ("Training", "Dev", "eval", "eval"),
        ("training_set", None, "test_set", "test_set"),
        ("seg_train", None, "seg-test", "seg-test"),
        ("train", "validation", "Evaluation", "Evaluation"),
    ],
)
def test_split_folders_have_any_usual_name(
    tmp_path: Path, paint: Callable[..., Path], train: str, validation: str | None, test: str | None, tests: str
) -> None:
    folders = [folder for folder in (train, validation, test) if folder]
    for folder in folders:
        for name in ("a", "b"):
            paint(tmp_path / folder / name / "0.png")
    data = read_folder(tmp_path)
    assert data.classes == ("a", "b")
    names = paths(data.images)
    assert names == tuple(f"{folder}/{name}/0.png" for folder in folders for name in ("a", "b"))
    assert [name.split("/")[0] == tests for name in names] == data.is_test.tolist()


@pytest.mark.parametrize("other", ["test", "val", "dev", "test tube"])
def test_a_class_may_be_called_like_a_split(tmp_path: Path, paint: Callable[..., Path], other: str) -> None:
    for k in range(5):
        paint(tmp_path / f"{other}/inner/{k}.png", k)
        paint(tmp_path / f"bus/{k}.png", 9 + k)
    assert read_folder(tmp_path).classes == ("bus", other)


def test_train_without_test_is_carved(tmp_path: Path, paint: Callable[..., Path]) -> None:
    for k in range(10):
        paint(tmp_path / f"train/{'ab'[k % 2]}/{k}.png", k)
    data = read_folder(tmp_path)
    assert data.classes == ("a", "b")
    assert np.bincount(data.labels[data.is_test]).tolist() == [1, 1]


def test_a_class_may_be_called_train(tmp_path: Path, paint: Callable[..., Path]) -> None:
    for k in range(5):
        paint(tmp_path / f"train/{k}.png", k)
        paint(tmp_path / f"bus/{k}.png", 9 + k)
    assert read_folder(tmp_path).classes == ("bus", "train")


def test_blanks_at_the_ends_of_a_class_name_do_not_count(tmp_path: Path, paint: Callable[..., Path]) -> None:
    for k, place in enumerate(("train/owl ", "train/kite", "test/owl", "test/\u3000kite", "train/ki\u200bte")):
        paint(tmp_path / place / "1.png", k)
    data = read_folder(tmp_path)
    assert data.classes == ("kite", r"ki\u200bte", "owl")
    assert np.bincount(data.labels).tolist() == [2, 1, 2]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "no class folders in .*found in .*: nothing"),
        (["1.png", "2.png"], "no class folders in .*found in .*: 1.png, 2.png"),
        ([f"{k}.png" for k in range(9)], "found in .*: 0.png, 1.png, 2.png, 3.png, 4.png, 5.png and 3 more"),
        (["a/1.png", "b/readme.gz"], "no images .*in .*b; found in .*b: readme.gz"),
        (["a/deep/1.jpg"], r"at least 2 classes are needed, got 1 \('a'\)"),
        (["a/x/1.jpg", "a/y/2.jpg"], "a holds no images itself, but folders of images, x, y: .*give .*a as `data"),
        (["train/1.jpg", "train/a/2.jpg"], "train holds images, such as 1.jpg, beside folders of images, a: move the"),
        (["train/a/1.png", "bird/a/1.png"], r"holds bird/ beside train/: move its images into train/ or test/"),
        (["train/a/1.png", "Training/a/1.png"], "holds train/ beside Training/: move its images"),
        (["Test/a/1.png", "Test/b/1.png"], "holds Test/ and no training images: put these into folders train/<class>"),
        (["test/a/1.png", "val/b/1.png"], "holds test/, val/ and no training images"),
        (["test/a/1.png", "test/b/1.png", "cat/1.png"], "if it is a split, put all classes into folders train/<class>"),
        (["train/a/1.png", "test/1.png"], "no class folders in .*test; found in .*test: 1.png"),
        ([f"a/{k}.png" for k in range(9)], r"at least 2 classes are needed, got 1 \('a'\)"),
        (["a/1.png", *(f"b/{k}.png" for k in range(9))], "class 'a' has 1 image to carve the test split from"),
        (["a/1.png", "a /2.png", "b/1.png"], "a ' has blanks at its ends, and several folders are called 'a' without"),
        (["train/a/1.png", "train/ a/2.png", "test/a/3.png"], "train/ a' has blanks at its ends, and several"),
        ([" /1.png", "b/1.png"], "/ ' has blanks at its ends, and nothing else; rename it"),
        (["a/1.png", "a/2.png", "b/1.png", "b/2.png"], "holding 1 of 4 .* name the test images yourself"),
    ],
)  # fmt: skip
def test_other_layouts_are_refused(tmp_path: Path, files: list[str], message: str) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(DatasetError, match=message):
        load_dataset("folder", tmp_path)
