"""The columns of Hugging Face tables: their kinds, their names, and labels of every type."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from objectives.datasets.catalog import load_dataset
from objectives.datasets.dataset import Dataset
from objectives.datasets.layouts import read_huggingface
from objectives.datasets.layouts.layout import natural
from objectives.datasets.layouts.tables import class_name
from spaces.errors import DatasetError
from tests.support.small_archives import encoded, save_split

COUNT = 12
CLASS_LABEL = {"names": ["kite", "owl"], "_type": "ClassLabel"}
FILES = pa.array([encoded(i) for i in range(COUNT)])
STRUCTS = pa.array([{"bytes": encoded(i), "path": f"{i}.jpg"} for i in range(COUNT)])
ALTERNATING = [0, 1] * (COUNT // 2)


def table(images: Any = STRUCTS, labels: Any = None, features: Any = None, **others: Any) -> Any:
    """Make a table of 12 images. features: of the columns, in the form of the `datasets` library."""
    columns = {"image": images, "label": pa.array(ALTERNATING) if labels is None else labels, **others}
    made = pa.table({name: column for name, column in columns.items() if column is not False})
    if features is None:
        return made
    return made.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def read(root: Path, train: Any, **splits: Any) -> Dataset:
    for name, content in {"train": train, **splits}.items():
        pq.write_table(content, root / f"{name}-00000-of-00001.parquet")
    return load_dataset("huggingface", root)


NUMBERS = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64, np.float16, np.float32]
TEXT = ["owl", "kite"] * (COUNT // 2)
LABELS = {
    **{np.dtype(kind).name: (pa.array(np.array(ALTERNATING, kind)), ("0", "1")) for kind in NUMBERS},
    "double": (pa.array([2.0, 7.0] * 6), ("2", "7")),
    "negative zero": (pa.array([-0.0, 1.0] * 6), ("0", "1")),
    "decimal": (pa.array([Decimal("2.0"), Decimal("7.0")] * 6), ("2", "7")),
    "decimal256": (pa.array([Decimal("2.0"), Decimal("7.0")] * 6, pa.decimal256(40, 2)), ("2", "7")),
    "bool": (pa.array([False, True] * 6), ("False", "True")),
    "negative": (pa.array([-2, -1] * 6), ("-2", "-1")),
    "-1 and 1": (pa.array([-1, 1] * 6), ("-1", "1")),
    "string": (pa.array(TEXT), ("kite", "owl")),
    "large string": (pa.array(TEXT, pa.large_string()), ("kite", "owl")),
    "string view": (pa.array(TEXT, pa.string_view()), ("kite", "owl")),
    "bytes of text": (pa.array([name.encode() for name in TEXT]), ("kite", "owl")),
    "dictionary": (pa.array(TEXT).dictionary_encode(), ("kite", "owl")),
    "dictionary of numbers": (pa.array([2, 7] * 6).dictionary_encode(), ("2", "7")),
    "text that ends in NUL": (pa.array(["a", "a\0"] * 6), ("a", "a\\x00")),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_every_type_are_read(tmp_path: Path, kind: str) -> None:
    labels, classes = LABELS[kind]
    dataset = read(tmp_path, table(labels=labels))
    assert dataset.classes == classes
    assert len(set(dataset.labels[::2])) == len(set(dataset.labels[1::2])) == 1
    assert not dataset.left_out
    save_split(tmp_path / "saved", [table(labels=labels)])
    assert read_huggingface(tmp_path / "saved").fingerprint == dataset.fingerprint


LIKE_NAMES = {
    "text": (["owl", "kite"], ["kite", "owl"]),
    "not in alphabetical order": (["wren", "owl"], ["wren", "owl"]),
    "blanks at the ends": (["owl ", "\tkite"], [" kite", "owl"]),
    "digits that are names": (["0", "1"], ["1", "0"]),
    "composed and decomposed": (["M\u00f6we", "owl"], ["Mo\u0308we", "owl"]),
}


@pytest.mark.parametrize("kind", LIKE_NAMES)
@pytest.mark.parametrize("encode", [pa.array, lambda labels: pa.array(labels).dictionary_encode()])
def test_text_that_is_one_of_the_class_names_keeps_their_order(tmp_path: Path, kind: str, encode: Any) -> None:
    labels, names = LIKE_NAMES[kind]
    dataset = read(tmp_path, table(labels=encode(labels * 6), features={"label": CLASS_LABEL | {"names": names}}))
    assert dataset.classes == tuple(class_name(name) for name in names)
    assert [dataset.classes[label] for label in dataset.labels[:2]] == [class_name(label) for label in labels]


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("labels", [[0, 2] * 6, ["kite", "wren"] * 6], ids=["numbers", "text"])
def test_class_names_without_an_image_are_left_out_and_named(tmp_path: Path, labels: list[Any], split: str) -> None:
    features = {"label": CLASS_LABEL | {"names": ["kite", "owl", "wren", "gull"]}}
    used = table(labels=pa.array(labels), features=features)
    dataset = read(tmp_path, **{"train": used, split: used})
    assert dataset.classes == ("kite", "wren")
    assert dataset.labels.tolist()[:4] == [0, 1, 0, 1]
    assert dataset.left_out == ("2 class names without an image: owl, gull",)


def test_a_class_with_images_in_one_split_only_stays(tmp_path: Path) -> None:
    features = {"label": CLASS_LABEL | {"names": ["kite", "owl", "wren"]}}
    dataset = read(tmp_path, table(features=features), test=table(labels=pa.array([0, 2] * 6), features=features))
    assert dataset.classes == ("kite", "owl", "wren")
    assert not dataset.left_out


def test_class_names_may_be_numbered(tmp_path: Path) -> None:
    names = {"1": "owl", "0": "kite"}
    dataset = read(tmp_path, table(features={"label": CLASS_LABEL | {"names": names}}))
    assert dataset.classes == ("kite", "owl")
    assert dataset.labels.tolist() == ALTERNATING


@pytest.mark.parametrize(
    "labels", [["10", "9"], ["img10", "img2"], ["b", "a 10", "a 9"], ["01", "1"], ["Owl", "kite"], ["Z", "é"]]
)
def test_labels_of_text_have_the_order_of_folders_and_csv_files(
    tmp_path: Path, labels: list[str], paint: Callable[..., Path]
) -> None:
    labels = labels * 12
    from_table = read(tmp_path, table(labels=pa.array(labels[:COUNT])))
    rows = [f"{paint(tmp_path / f'{i}.png', i).name},{label}" for i, label in enumerate(labels)]
    (tmp_path / "x.csv").write_text("\n".join(["path,label", *rows]), "utf-8")
    assert load_dataset("csv", tmp_path).classes == from_table.classes
    assert list(from_table.classes) == sorted(from_table.classes, key=natural)


def test_labels_that_differ_in_blanks_at_the_ends_are_one_class(tmp_path: Path) -> None:
    dataset = read(tmp_path, table(labels=pa.array([" owl", "kite", "owl\n", "kite\u3000"] * 3)))
    assert dataset.classes == ("kite", "owl")
    assert dataset.labels.tolist() == [1, 0] * 6


def test_labels_of_blanks_are_no_labels(tmp_path: Path) -> None:
    dataset = read(tmp_path, table(labels=pa.array([*TEXT[:10], "  ", "\t"])))
    assert dataset.left_out == ("2 images of split train without a label",)


@pytest.mark.parametrize(
    "labels",
    [
        pa.array([0, 1, 0, 1, 0, 1, 0, 1, 0, 1, -1, -1]),
        pa.array([0, 1, 0, 1, 0, 1, 0, 1, 0, 1, None, -1]),
        pa.array([0.0, 1, 0, 1, 0, 1, 0, 1, 0, 1, None, float("nan")]),
        pa.array(np.array([0, 1, 0, 1, 0, 1, 0, 1, 0, 1, np.nan, -1], np.float16)),
        pa.array(["0", "1", "0", "1", "0", "1", "0", "1", "0", "1", None, ""]),
        pa.array([False, True, False, True, False, True, False, True, False, True, None, None]),
        pa.array([0, 1, 0, 1, 0, 1, 0, 1, 0, 1, None, None]).dictionary_encode(),
    ],
    ids=lambda labels: str(labels.type)[:20],
)
@pytest.mark.parametrize("features", [None, {"label": CLASS_LABEL | {"names": ["0", "1"]}}])
def test_images_without_a_label_are_left_out_and_counted(tmp_path: Path, labels: Any, features: Any) -> None:
    dataset = read(tmp_path, table(labels=labels, features=features))
    assert dataset.labels.tolist() == [0, 1] * 5
    assert dataset.left_out == ("2 images of split train without a label",)
    assert Path(dataset.images.name(9)).name == "train-00000-of-00001.parquet, row 10"


def test_a_dictionary_may_contain_no_label(tmp_path: Path) -> None:
    labels = pa.DictionaryArray.from_arrays(pa.array([0, 1] * 5 + [2, 2]), pa.array(["a", "b", None]))
    save_split(tmp_path / "all", [table(labels=labels)])
    dataset = read_huggingface(tmp_path / "all")
    assert (dataset.classes, len(dataset)) == (("a", "b"), 10)


@pytest.mark.parametrize("labels", [False, pa.nulls(COUNT), pa.array([-1] * COUNT), pa.array([""] * COUNT)])
def test_a_test_split_without_labels_is_left_out_and_counted(tmp_path: Path, labels: Any) -> None:
    kind = table(labels=pa.array(TEXT)) if labels is not False and labels.type == pa.string() else table()
    dataset = read(tmp_path, kind, validation=kind, test=table(labels=labels))
    assert dataset.is_test.tolist() == [False] * COUNT + [True] * COUNT
    assert dataset.left_out == ("12 images of split test without a label",)


NESTED = {"image": {"_type": "Image"}, "label": {"feature": CLASS_LABEL, "_type": "Sequence"}, "x": [CLASS_LABEL]}


@pytest.mark.parametrize(
    "metadata",
    [
        b"", b"[]", b"{}", b"null", b"3", b'"text"', b"{", b"\xff\xfe", b'{"info": null}', b'{"info": []}',
        b'{"info": {"features": null}}', b'{"info": {"features": []}}', b'{"info": {"features": {"label": null}}}',
        b'{"info": {"features": {"label": {"_type": null}, "image": {"_type": {"a": 1}}}}}', b"[" * 100_000,
        b'{"info": {"features": {"label": {"_type": "ClassLabel", "names": null}}}}',
        b'{"info": {"features": {"label": {"_type": "ClassLabel", "names": []}}}}',
        json.dumps({"info": {"features": NESTED}}).encode(),
    ],
    ids=range(18),
)  # fmt: skip
def test_metadata_of_other_shapes_count_as_none(tmp_path: Path, metadata: bytes) -> None:
    dataset = read(tmp_path, table().replace_schema_metadata({b"huggingface": metadata}))
    assert dataset.classes == ("0", "1")


def test_saved_features_beside_the_table_count_too(tmp_path: Path) -> None:
    save_split(tmp_path / "all", [table()])
    (tmp_path / "all" / "dataset_info.json").write_text(json.dumps({"features": {"label": CLASS_LABEL}}), "utf-8")
    assert read_huggingface(tmp_path / "all").classes == ("kite", "owl")


@pytest.mark.parametrize(
    "images",
    [
        FILES,
        FILES.cast(pa.large_binary()),
        FILES.cast(pa.binary_view()),
        pc.make_struct(FILES, field_names=["bytes"]),
        pc.make_struct(pa.nulls(COUNT), FILES.cast(pa.large_binary()), field_names=["path", "bytes"]),
    ],
    ids=lambda images: str(images.type).replace("\n", " "),
)
def test_encoded_images_of_every_type_are_read(tmp_path: Path, images: Any) -> None:
    wanted = read(tmp_path, table())
    assert read(tmp_path, table(images=images)).fingerprint == wanted.fingerprint


IMAGE = {"_type": "Image"}


@pytest.mark.parametrize(
    "columns",
    [
        {"image": False, "img": STRUCTS},
        {"image": False, "Image": STRUCTS, "thumbnail": STRUCTS.take(pa.array(range(COUNT)[::-1]))},
        {"image": False, "pixel_values": FILES},
        {"mask": STRUCTS.take(pa.array(range(COUNT)[::-1]))},
        {"id": pa.array(range(COUNT)), "nested": pa.array([[{"bytes": b"x"}]] * COUNT)},
        {"label": False, "LABELS": pa.array(ALTERNATING)},
        {"label": False, "fine_label": pa.array(ALTERNATING), "coarse_label": pa.array([0] * COUNT)},
        {"label": False, "Class": pa.array(ALTERNATING)},
        {"label": False, "category": pa.array(ALTERNATING).cast(pa.string()).cast(pa.binary())},
        {"a.b": pa.array([1] * COUNT)},
    ],
    ids=",".join,
)
def test_columns_of_other_names_are_found(tmp_path: Path, columns: dict[str, Any]) -> None:
    images, labels = columns.pop("image", STRUCTS), columns.pop("label", None)
    wanted = read(tmp_path, table())
    assert read(tmp_path, table(images=images, labels=labels, **columns)).fingerprint == wanted.fingerprint


PATHS = pa.array([f"{i}.jpg" for i in range(COUNT)])
NAMED = {"label": CLASS_LABEL}
UNCLEAR: list[Any] = [
    {"a": 0},
    {"1": "a", "2": "b"},
    {"0": "a", "2": "b"},
    {"0": None, "1": "b"},
    "kite",
    2,
    [["a"], ["b"]],
]
TWICE = pa.Table.from_arrays([STRUCTS, pa.array(ALTERNATING), pa.array(ALTERNATING)], ["image", "label", "label"])


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (table(images=PATHS), r"parquet needs one column of encoded images.*image \(string\), label \(int64\); s"),
        (table(images=pc.make_struct(PATHS, field_names=["path"])), r"image \(struct<path: string>\)"),
        (table(images=pa.array([[b"1"]] * COUNT)), r"image \(list<element: binary>\)"),
        (table(images=pa.array([[[1, 2]]] * COUNT)), r"image \(list<element: list<element: int64>>\)"),
        (table(images=False, a=STRUCTS, b=STRUCTS), r"a \(struct<.*>\), b \(struct<.*>\)"),
        (table(images=PATHS, features={"image": IMAGE}), "column 'image' holds encoded images.*got string; save"),
        (table(images=pa.array([None] * 2 + [b"x"] * 10)), "lacks the bytes of 2 images"),
        (table(labels=False, id=pa.array(ALTERNATING)), r"needs a column of labels.*id \(int64\); call"),
        (TWICE, r"needs a column of labels.*label \(int64\), label \(int64\)"),
        (table(labels=pa.array([[0], [1]] * 6)), r"'label' .* got list<element: int64> \(several labels, or n"),
        (table(labels=pa.array([{"a": 1}] * COUNT)), "got struct<a: int64>"),
        (table(labels=pa.array([0.5, 1.0] * 6)), "got double .*0.5"),
        (table(labels=pa.array([Decimal("0.5")] * COUNT)), "got decimal"),
        (table(labels=pa.array([2**64 - 1] * COUNT, pa.uint64())), "got uint64 .*18446744073709551615"),
        (table(labels=pa.array([float("inf")] * COUNT)), "got double"),
        (table(labels=pa.array([b"\xff"] * COUNT)), "got binary .*UTF8"),
        (table(labels=pa.array([1] * COUNT, pa.timestamp("s"))), "got timestamp"),
        (table(labels=pa.array(["a"] * COUNT)), r"at least 2 classes are needed, got 1 \('a'\)"),
        (table(labels=pa.array(["owl"] * COUNT), features=NAMED), r"at least 2 classes are needed, got 1 \('owl'\)"),
        (table(labels=pa.array(["owl", "wren"] * 6), features=NAMED), "'wren' .*none .* 'kite', 'owl'; c"),
        (table(labels=pa.array(["0", "1"] * 6), features=NAMED), "holds the label '0' in column 'label'.*'kite'"),
        (table(labels=pa.array(["owl", "-1"] * 6), features=NAMED), "holds the label '-1' in column 'label'"),
        (table(labels=pa.array(["Owl", "kite"] * 6), features=NAMED), "holds the label 'Owl' in column 'label'"),
        (table(labels=pa.array(["owl\u200b", "kite"] * 6), features=NAMED), r"holds the label 'owl\\u200b'"),
        (table(features={"label": CLASS_LABEL | {"names": ["a", "a "]}}), "calls several classes .*'label' 'a'; name"),
        *((table(features={"label": CLASS_LABEL | {"names": names}}), "names .*'label' .*got") for names in UNCLEAR),
        (table(features={"label": CLASS_LABEL | {"names": ["a", "a"]}}), "calls several classes .*'label' 'a'; name"),
        (table(features={"label": CLASS_LABEL | {"names": ["a"]}}), "holds the label 1, expected 0 to 0; give"),
    ],
    ids=range(27 + len(UNCLEAR)),
)  # fmt: skip
def test_what_has_no_clear_meaning_is_refused_in_a_line(tmp_path: Path, train: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message) as refused:
        read(tmp_path, train)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("test", "message"),
    [
        (table(features={"label": CLASS_LABEL | {"names": ["owl", "kite"]}}), "test-.* numbers its classes otherwise"),
        (table(labels=pa.array(TEXT)), "labels of .*test-.* are text, and those of .*train-.* are numbers; save"),
        (table(images=False, img=STRUCTS), "test-.* needs one column 'image' .*it has label, img; rename"),
        (TWICE, "test-.* needs one column 'image' and at most one column 'label'"),
    ],
    ids=range(4),
)
def test_splits_that_differ_are_refused(tmp_path: Path, test: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read(tmp_path, table(features={"label": CLASS_LABEL}), test=test)
