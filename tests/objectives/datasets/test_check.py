import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from objectives.datasets.catalog import load_dataset, load_with_sizes
from objectives.datasets.check import ClassCount, Duplicate, Spread, check
from objectives.datasets.splits import split
from spaces import DatasetError

Paint = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, paint: Paint) -> Path:
    """Train and test folders of `many` (12 and 2 images), `few` (3 and 1) and `untested` (10 and 0), all different."""
    for c, (name, train, test) in enumerate([("many", 12, 2), ("few", 3, 1), ("untested", 10, 0)]):
        for k in range(train):
            paint(tmp_path / "train" / name / f"{k}.png", 100 * c + k)
        for k in range(test):
            paint(tmp_path / "test" / name / f"{k}.png", 1000 + 100 * c + k)
    return tmp_path


def test_counts_sizes_and_classes(folder: Path) -> None:
    dataset, sizes = load_with_sizes("folder", folder)
    checked = check(dataset, sizes)
    assert (checked.dataset, checked.train, checked.test) == ("folder", 25, 3)
    assert checked.fingerprint == dataset.fingerprint
    assert checked.classes == (ClassCount("few", 3, 1), ClassCount("many", 12, 2), ClassCount("untested", 10, 0))
    assert checked.train_per_class == Spread(3, 10.0, 12)
    assert checked.test_per_class == Spread(0, 1.0, 2)
    assert checked.shorter_side == Spread(16, 16.0, 16)
    assert [count.name for count in checked.small] == ["few"]
    assert [count.name for count in checked.untested] == ["untested"]
    assert not checked.unreadable
    assert not checked.duplicates


def test_names_of_classes_that_differ_in_case_alone_are_found(folder: Path) -> None:
    assert check(*load_with_sizes("folder", folder)).same_but_case == ()
    (folder / "test/many").rename(folder / "test/Many")
    checked = check(*load_with_sizes("folder", folder))
    assert checked.same_but_case == (("Many", "many"),)
    assert checked.no_split == (
        "class 'Many' has no training image, only 2 test images; did you mean 'many'? add training images of it, or "
        "remove the class from the data"
    )


def test_the_shorter_side_is_taken_of_each_image(folder: Path) -> None:
    from PIL import Image

    Image.new("L", (7, 300)).save(folder / "train/few/0.png")
    Image.new("L", (400, 90)).save(folder / "train/few/1.png")
    assert check(*load_with_sizes("folder", folder)).shorter_side == Spread(7, 16.0, 90)


def test_a_check_does_not_open_images_again(folder: Path) -> None:
    loaded = load_with_sizes("folder", folder)
    before = check(*loaded)
    shutil.rmtree(folder / "train")
    assert check(*loaded) == before


def test_unreadable_files_are_listed_and_not_counted(folder: Path) -> None:
    broken = folder / "train/many/0.png"
    broken.write_bytes(broken.read_bytes()[:40])
    checked = check(*load_with_sizes("folder", folder, skip_unreadable=True))
    assert checked.unreadable == (str(broken),)
    assert checked.train == 24
    assert checked.classes[1] == ClassCount("many", 11, 2)


@pytest.mark.parametrize(
    ("copies", "classes", "leaks", "contradicts"),
    [
        (["train/many/copy.png"], ("many",), False, False),
        (["train/few/copy.png"], ("few", "many"), False, True),
        (["test/many/copy.png"], ("many",), True, False),
        (["test/few/copy.png"], ("few", "many"), True, True),
        (["test/many/copy.png", "train/many/copy.png", "train/few/copy.png"], ("few", "many"), True, True),
    ],
)
def test_duplicates_are_leaks_or_contradictions(
    folder: Path, copies: list[str], classes: tuple[str, ...], leaks: bool, contradicts: bool
) -> None:
    for copy in copies:
        shutil.copyfile(folder / "train/many/0.png", folder / copy)
    checked = check(*load_with_sizes("folder", folder))
    everywhere = {str(folder / name) for name in ["train/many/0.png", *copies]}
    (group,) = checked.duplicates
    assert set(group.train) | set(group.test) == everywhere
    assert all("/test/" in name for name in group.test)
    assert all("/train/" in name for name in group.train)
    assert group.classes == classes
    assert checked.leaks == ((group,) if leaks else ())
    assert checked.contradictions == ((group,) if contradicts else ())


def test_images_of_one_content_form_a_group(folder: Path) -> None:
    for k in (0, 1):
        shutil.copyfile(folder / f"train/many/{k}.png", folder / f"train/many/copy{k}.png")
    checked = check(*load_with_sizes("folder", folder))
    assert checked.duplicates == tuple(
        Duplicate((str(folder / f"train/many/{k}.png"), str(folder / f"train/many/copy{k}.png")), (), ("many",))
        for k in (0, 1)
    )


def test_images_in_memory_are_checked_too() -> None:
    checked = check(*load_with_sizes("digits", None))
    assert checked.train + checked.test == 1797
    assert checked.shorter_side == Spread(8, 8.0, 8)
    assert not checked.small
    assert not checked.duplicates


@pytest.mark.parametrize(
    ("images", "problem"),
    [
        ({"a": 1, "b": 9}, "class 'a' has 1 image to carve the test split from, and needs at least 2"),
        ({str(c): 2 for c in range(12)}, "holding 5 of 24 images for the test split leaves one side"),
        ({"a": 9}, "at least 2 classes are needed, got 1 .'a'."),
        ({"train/a": 9, "train/b": 1, "test/a": 1}, "class 'b' has 1 image to carve the validation split from"),
        ({"train/a": 9, "test/a": 9}, "at least 2 classes are needed"),
    ],
)
def test_images_that_no_search_can_split_are_counted_and_refused_by_a_run(
    tmp_path: Path, paint: Paint, images: dict[str, int], problem: str
) -> None:
    for folder, number in images.items():
        for k in range(number):
            paint(tmp_path / folder / f"{k}.png", k)
    checked = check(*load_with_sizes("folder", tmp_path))
    assert checked.train + checked.test == sum(images.values())
    assert checked.no_split is not None
    assert re.search(problem, checked.no_split)
    with pytest.raises(DatasetError, match=problem):
        split(load_dataset("folder", tmp_path), seed=0)


def test_only_test_images_are_counted_too(tmp_path: Path, paint: Paint) -> None:
    for k in range(6):
        paint(tmp_path / f"{k}.png", k)
    (tmp_path / "list.csv").write_text("path,label,split\n" + "".join(f"{k}.png,{k % 2},test\n" for k in range(6)))
    checked = check(*load_with_sizes("csv", tmp_path))
    assert (checked.train, checked.test) == (0, 6)
    assert checked.no_split == (
        "csv has no training images, all 6 are test images; mark images of each class as train (in the column split of "
        "a CSV file, or by a folder train)"
    )
