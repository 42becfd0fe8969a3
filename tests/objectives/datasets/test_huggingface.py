"""Folders of Hugging Face datasets: Parquet as on the hub, and what save_to_disk writes."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from objectives.datasets.catalog import load_dataset
from objectives.datasets.layouts import read_huggingface
from spaces.errors import DatasetError
from tests.support.small_archives import (
    encoded,
    huggingface_parquet,
    huggingface_saved,
    huggingface_table,
    save_split,
)


@pytest.mark.parametrize("build", [huggingface_parquet, huggingface_saved])
def test_both_forms_give_the_same_images(tmp_path: Path, build: Callable[[Path], None]) -> None:
    build(tmp_path)
    dataset = load_dataset("huggingface", tmp_path)
    assert dataset.classes == ("kite", "Möwe")
    assert dataset.labels.tolist() == [0, 1] * 6
    assert dataset.is_test.tolist() == [False] * 8 + [True] * 4
    for i in range(12):
        image = dataset.images.read(i)
        assert (image.mode, image.size) == ("RGB", (20, 16))
    assert Path(dataset.images.name(5)).name.startswith(("train-00001-of-00002.parquet, row 2", "data-00001-of-00002"))


def test_all_forms_have_one_fingerprint_which_survives_pickling_and_storing(tmp_path: Path) -> None:
    for name, build in (("a", huggingface_parquet), ("b", huggingface_saved)):
        (tmp_path / name).mkdir()
        build(tmp_path / name)
    parquet, saved = read_huggingface(tmp_path / "a"), read_huggingface(tmp_path / "b")
    assert parquet.fingerprint == saved.fingerprint
    kept = pickle.loads(pickle.dumps(saved.images)).keep([7, 2])
    assert [kept.digest(i) for i in range(len(kept))] == [parquet.images.digest(7), parquet.images.digest(2)]
    np.testing.assert_array_equal(np.asarray(kept.read(1)), np.asarray(parquet.images.read(2)))


def write(root: Path, **tables: Any) -> None:
    for split, table in tables.items():
        pq.write_table(table, root / f"{split}-00000-of-00001.parquet")


def relabelled(table: Any, labels: Any) -> Any:
    changed = table.set_column(table.column_names.index("label"), "label", labels)
    return changed.replace_schema_metadata(table.schema.metadata)


def test_validation_images_train_beside_a_test_split_and_otherwise_are_the_test_split(tmp_path: Path) -> None:
    write(tmp_path, train=huggingface_table(0, 4), validation=huggingface_table(4, 2), test=huggingface_table(6, 2))
    assert read_huggingface(tmp_path).is_test.tolist() == [False] * 6 + [True] * 2
    write(tmp_path, test=relabelled(huggingface_table(6, 2), pa.array([-1, -1])))  # as ImageNet's are
    assert read_huggingface(tmp_path).is_test.tolist() == [False] * 4 + [True] * 2


def test_a_single_saved_split_is_carved(tmp_path: Path) -> None:
    save_split(tmp_path / "all", [huggingface_table(0, 20)])
    dataset = read_huggingface(tmp_path / "all")
    assert np.bincount(dataset.labels[dataset.is_test]).tolist() == [2, 2]


def test_labels_that_are_text_name_their_classes(tmp_path: Path) -> None:
    features = {"image": {"_type": "Image"}, "label": {"dtype": "string", "_type": "Value"}}
    for split, names in (("train", ["owl", "kite", "owl"]), ("test", ["kite", "owl", "kite"])):
        write(tmp_path, **{split: relabelled(huggingface_table(0, 3, features), pa.array(names))})
    dataset = read_huggingface(tmp_path)
    assert dataset.classes == ("kite", "owl")
    assert dataset.labels.tolist() == [1, 0, 1, 0, 1, 0]


def test_the_finer_of_two_labels(tmp_path: Path) -> None:
    fine = {"names": ["apple", "bear"], "_type": "ClassLabel"}
    coarse = {"names": ["thing"], "_type": "ClassLabel"}
    features = {"image": {"_type": "Image"}, "fine_label": fine, "coarse_label": coarse}
    table = huggingface_table(0, 4).rename_columns(["image", "fine_label"])
    table = table.append_column("coarse_label", pa.array([0] * 4))
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    write(tmp_path, train=table, test=table)
    assert read_huggingface(tmp_path).classes == ("apple", "bear")


def without_bytes(table: Any) -> Any:
    images = pa.array([{"bytes": None, "path": "1.jpg"}, {"bytes": encoded(1), "path": "2.jpg"}])
    return table.set_column(0, "image", images).replace_schema_metadata(table.schema.metadata)


PLAIN = huggingface_table(0, 2)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (without_bytes(PLAIN), "parquet lacks the bytes of 1 images, .*; save the dataset with its"),
        (relabelled(PLAIN, pa.array([0, 2])), "parquet holds the label 2, expected 0 to 1; give each image"),
        (relabelled(PLAIN, pa.array([0, -2])), "parquet holds the label -2, expected 0 to 1; give each image"),
        (relabelled(PLAIN, pa.array([0.5, 1.0])), "labels in column 'label' are whole numbers or text, got double"),
        (relabelled(PLAIN, pa.nulls(2)), "no image of the split train .* has a label in column 'label'; label it"),
        (PLAIN.slice(0, 0), "the split train of .* has no rows"),
        (pa.table({}), "the split train of .* has no rows"),
        (PLAIN.rename_columns(["image", "kind"]), r"needs a column of labels, .*; it has image \(.*\), kind \(int64\)"),
        (PLAIN.drop_columns(["image"]), r"needs one column of enc.*; it has label \(ClassLabel, int64\); save"),
    ],
)  # fmt: skip
def test_unusable_tables_are_refused(tmp_path: Path, table: Any, message: str) -> None:
    write(tmp_path, train=table, validation=table)
    with pytest.raises(DatasetError, match=message):
        read_huggingface(tmp_path)


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"expected a hub's dataset, OWNER/NAME, or a folder .*; no split train; found in"
    ):
        read_huggingface(tmp_path)
    (tmp_path / "train-0.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DatasetError, match=r"cannot read .*train-0.parquet: .*; fetch"):
        read_huggingface(tmp_path)


def test_one_of_several_configurations_must_be_chosen(tmp_path: Path) -> None:
    for name in ("small", "very large"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, train=PLAIN, test=PLAIN)
    with pytest.raises(
        DatasetError, match=r"several configurations, small, very large: give one .*`data_root`, such as .*/small"
    ):
        read_huggingface(tmp_path)
    assert len(read_huggingface(tmp_path / "very large")) == 4


@pytest.mark.parametrize("folder", [".", "data", "default"])
def test_missing_files_that_the_tables_list_are_named(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(exist_ok=True)
    for name in ("train-00000-of-00001", "test-00000-of-00003-5e", "test-00001-of-00003-07"):
        pq.write_table(PLAIN, tmp_path / folder / f"{name}.parquet")
    with pytest.raises(DatasetError, match=r"has 2 of the 3 files .*test-\*.parquet; fetch the others too"):
        read_huggingface(tmp_path)


@pytest.mark.parametrize("state", ["{}", "[]", "not JSON", '{"_data_files": 3}'])
def test_a_damaged_state_is_named(tmp_path: Path, state: str) -> None:
    huggingface_saved(tmp_path)
    (tmp_path / "train" / "state.json").write_text(state, encoding="utf-8")
    with pytest.raises(DatasetError, match=r"state.json' is not what save_to_disk|state.json is not what save_to_disk"):
        read_huggingface(tmp_path)


def test_a_state_never_names_files_elsewhere(tmp_path: Path) -> None:
    huggingface_saved(tmp_path)
    state = {"_data_files": [{"filename": "../test/data-00000-of-00001.arrow"}]}
    (tmp_path / "train" / "state.json").write_text(json.dumps(state), encoding="utf-8")
    with pytest.raises(DatasetError, match=r"cannot read .*train/data-00000-of-00001.arrow"):
        load_dataset("huggingface", tmp_path)


def test_a_saved_file_that_is_cut_anywhere_is_refused(tmp_path: Path) -> None:
    huggingface_saved(tmp_path)
    file = tmp_path / "test" / "data-00000-of-00001.arrow"
    content = file.read_bytes()
    between_batches = content.rindex(b"\xff\xff\xff\xff", 0, -8)
    for size in (0, 7, 100, between_batches, len(content) // 2, len(content) - 8, len(content) - 1):
        file.write_bytes(content[:size])
        with pytest.raises(DatasetError, match=r"cannot read .*data-00000-of-00001.arrow: .*; fetch or save it again"):
            read_huggingface(tmp_path)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "file size is 0"),
        (b"PAR1PAR1", "smaller than"),
        (b"version https://git-lfs.github.com/spec/v1\n", "LFS p"),
    ],
)
def test_a_damaged_parquet_file_is_named(tmp_path: Path, content: bytes, problem: str) -> None:
    write(tmp_path, train=PLAIN)
    (tmp_path / "test.parquet").write_bytes(content)
    with pytest.raises(DatasetError, match=rf"cannot read .*test.parquet: .*{problem}.*; fetch"):
        read_huggingface(tmp_path)


def test_empty_shards_do_not_matter(tmp_path: Path) -> None:
    huggingface_parquet(tmp_path)
    wanted = read_huggingface(tmp_path).fingerprint
    pq.write_table(pa.table({"image": pa.nulls(0)}), tmp_path / "data" / "train-0.parquet")
    pq.write_table(pa.table({}), tmp_path / "data" / "validation-0.parquet")
    assert read_huggingface(tmp_path).fingerprint == wanted
