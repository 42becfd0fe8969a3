"""Assignment of the files of a Hugging Face dataset to splits."""

import json
import re
from pathlib import Path, PurePosixPath

import pytest

from objectives.datasets.layouts import read_huggingface
from objectives.datasets.layouts.huggingface.files import configurations, find_splits, split_and_folder
from spaces.errors import DatasetError
from tests.support.small_archives import huggingface_saved, huggingface_table, save_split


@pytest.mark.parametrize(
    ("name", "split", "folder"),
    [
        ("train.parquet", "train", "."),
        ("Train.PARQUET", "train", "."),
        ("training-0.parquet", "train", "."),
        ("train_0.parquet", "train", "."),
        ("data/train1.parquet", "train", "data"),
        ("my.train.v2.parquet", "train", "."),
        ("data/train-00000-of-00001-a4f.parquet", "train", "data"),
        ("cifar10-train-00000-of-00001.parquet", "train", "."),
        ("train-clean-00000-of-00001.parquet", "train", "."),
        ("train/part-00000-of-00001.parquet", "train", "."),
        ("train.parquet/part-00000-8e.snappy.parquet", "train", "."),
        ("data/train_images/0.parquet", "train", "data"),
        ("default/partial-train/0000.parquet", "train", "default"),
        ("TRAIN/a/b.parquet", "train", "."),
        ("test_runs/train.parquet", "train", "test_runs"),
        ("dev-00000-of-00001.parquet", "validation", "."),
        ("data/val.parquet", "validation", "data"),
        ("default/valid/0000.parquet", "validation", "default"),
        ("Validation-0.parquet", "validation", "."),
        ("eval-00000-of-00001.parquet", "test", "."),
        ("testing.parquet", "test", "."),
        ("evaluation/0.parquet", "test", "."),
        ("train_extra-00000-of-00001.parquet", "", "."),
        ("train.clean.100-00000-of-00001.parquet", "", "."),
        ("extra.parquet", "", "."),
        ("testament.parquet", "", "."),
        ("my_train_test.parquet", "", "."),
        ("contest/0.parquet", "", "contest"),
    ],
)
def test_the_split_that_a_name_says(name: str, split: str, folder: str) -> None:
    assert split_and_folder(PurePosixPath(name)) == (split, folder)


def files(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.mark.parametrize(
    ("names", "train", "left_out"),
    [
        (["b.parquet", "a.parquet", "notes.csv"], ["a.parquet", "b.parquet"], ""),
        (["data/all-00000-of-00001.parquet"], ["data/all-00000-of-00001.parquet"], ""),
        (["train.parquet", "extra.parquet"], ["train.parquet"], "1 Parquet file .*: extra.parquet"),
        (["train.parquet", "a/train.parquet", "b/test.parquet"], ["train.parquet"], "2 Parquet files .*: a/train.par"),
        (["train.parquet", ".git/train.parquet", "__MACOSX/._train.parquet"], ["train.parquet"], ""),
    ],
)
def test_files_outside_the_splits_are_named(tmp_path: Path, names: list[str], train: list[str], left_out: str) -> None:
    splits, phrases = find_splits(files(tmp_path, *names))
    assert splits == {"train": [tmp_path / name for name in train]}
    assert len(phrases) == bool(left_out)
    assert re.search(left_out, " ".join(phrases))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["test.parquet", "extra.parquet"], "no split train; found in .*extra.parquet, test.parquet"),
        (["a-00000-of-00001.parquet", "b-00000-of-00001.parquet"], "no split train"),
        (["a/0.parquet", "b/0.parquet"], "several configurations, a, b: give one of them as `data_root`"),
        (["train-00000-of-00003.parquet", "train-00002-of-00003.parquet"], "has 2 of the 3 files train-.*; fetch"),
        (["train-00000-of-00002-a.parquet", "train-00000-of-00002-b.parquet"], "has 1 of the 2 files train-"),
        (["train-00000-of-00001-a.parquet", "train-00000-of-00001-b.parquet"], "2 files .* numbered as 1; remove"),
        ([f"train-0-of-{'9' * 90}.parquet"], f"has 1 of the {'9' * 90} files"),
        (["cat/0.jpg", "dog/1.JPG"], "no split train; found in .*cat/, dog/; for image files in class folders the d"),
        (["metadata.csv", "0.png"], "the dataset is `folder`, and for those that a table lists it is `csv`"),
    ],
)
def test_folders_without_a_whole_split_train_are_refused(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        find_splits(files(tmp_path, *names))


def test_a_dangling_link_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.parquet").symlink_to(tmp_path / "gone")
    with pytest.raises(DatasetError, match=r"cannot read .*train.parquet: No such file.*; fetch or save it again"):
        read_huggingface(tmp_path)


def saved(root: Path, *names: str) -> Path:
    for k, name in enumerate(names):
        save_split(root / name, [huggingface_table(10 * k, 6)])
    (root / "dataset_dict.json").write_text(json.dumps({"splits": list(names)}), encoding="utf-8")
    return root


def test_saved_splits_have_the_same_names(tmp_path: Path) -> None:
    dataset = read_huggingface(saved(tmp_path / "a", "Train", "dev", "testing"))
    assert dataset.is_test.tolist() == [False] * 12 + [True] * 6
    other = read_huggingface(saved(tmp_path / "b", "train", "test", "extra", "train.clean"))
    assert other.left_out == ("the splits extra, train.clean, which are not train, validation or test",)
    assert len(read_huggingface(saved(tmp_path / "c", "all"))) == 6


DAMAGED = ["[]", "{}", "nothing", '{"splits": null}', '{"splits": 3}', "[" * 100_000, "\xff"]


@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_list_of_splits_is_named(tmp_path: Path, content: str) -> None:
    huggingface_saved(tmp_path)
    (tmp_path / "dataset_dict.json").write_text(content, encoding="latin-1")
    with pytest.raises(
        DatasetError, match=r"dataset_dict.json is not what save_to_disk writes; save the dataset again"
    ):
        read_huggingface(tmp_path)


def test_a_missing_saved_split_is_named(tmp_path: Path) -> None:
    saved(tmp_path, "train", "test")
    (tmp_path / "test" / "state.json").unlink()
    with pytest.raises(DatasetError, match="lists the splits train, test, and the folders of test are missing; copy"):
        read_huggingface(tmp_path)


def test_only_one_configuration_is_at_the_top() -> None:
    names = ["data/train.parquet", "train.parquet", "other/train.parquet"]
    assert configurations(names) == {".": {"train": ["train.parquet"]}}
    assert configurations(names[:1] + names[2:]) == {"data": {"train": ["data/train.parquet"]}}
