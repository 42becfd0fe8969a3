from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from objectives.datasets.catalog import load_dataset
from objectives.datasets.images import FileImages
from objectives.datasets.layouts import read_csv
from spaces.errors import DatasetError
from tests.support import small_archives


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="")
    return path


def test_the_root_may_be_the_file(tmp_path: Path) -> None:
    small_archives.csv_file(tmp_path)
    (tmp_path / "others.csv").write_text("path,label\n", encoding="utf-8")
    dataset = load_dataset("csv", tmp_path / "labels.csv")
    assert dataset.classes == ('Möwe, "Larus"', "red kite")
    assert dataset.is_test.sum() == 4
    with pytest.raises(
        DatasetError, match=r"2 CSV files in .*labels.csv, others.csv; name the file itself as `data_root`"
    ):
        read_csv(tmp_path)


def test_quoting_line_ends_and_a_byte_order_mark(tmp_path: Path) -> None:
    rows = [
        "\ufeffpath, label ,note,split",
        '"a, b.jpg",kite,,train',
        '"say ""hi"".jpg",owl,x,test',
        "",
        '"two\nlines.jpg",kite 10,y,train',
        "z.jpg,kite 2,,val",
    ]
    dataset = read_csv(write(tmp_path / "x.csv", "\r\n".join(rows)))
    assert isinstance(dataset.images, FileImages)
    assert dataset.images.paths[:3] == ("a, b.jpg", 'say "hi".jpg', "two\nlines.jpg")
    assert dataset.classes == ("kite", "kite 2", "kite 10", "owl")
    assert dataset.is_test.tolist() == [False, True, False, False]


def test_without_a_split_column_a_fixed_fifth_tests(tmp_path: Path) -> None:
    write(tmp_path / "x.csv", "path,label\n" + "".join(f"{i}.jpg,{'ab'[i % 2]}\n" for i in range(20)))
    dataset = read_csv(tmp_path)
    assert np.bincount(dataset.labels[dataset.is_test]).tolist() == [2, 2]
    np.testing.assert_array_equal(read_csv(tmp_path / "x.csv").is_test, dataset.is_test)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.csv needs a first line that names each column once, path,label among them; got ''"),
        ("1.jpg,kite\n2.jpg,owl\n", "names each column once, path,label among them; got '1.jpg,kite'"),
        ("path,label,label\n", "names each column once"),
        ("path,label\n", "dataset 'csv' in .* lists no image"),
        ("path,label\n1.jpg\n", "line 2: expected 2 fields .path,label., got 1"),
        (
            "path,label\n1.jpg,kite, red\n",
            "line 2: expected 2 fields .*got 3; put a field that holds a comma in double",
        ),
        ("path,label\n1.jpg,kite\n2.jpg, \n", "line 3: the label is empty"),
        ("path,label\n1.jpg,kite\n1.jpg,kite\n", "1.jpg is listed twice"),
        ("path,label\n1.jpg,kite\n1.jpg,owl\n", "1.jpg is listed twice"),
        ("path,label,split\n1.jpg,kite,dev\n", "line 2: split is one of train, val, validation, test, got 'dev'"),
        ("path,label,split\n1.jpg,kite,\n", "line 2: split is one of .*, got ''"),
        ("path,label\n../1.jpg,kite\n", r"'../1.jpg' is no path of an image below .*without '..'"),
        ("path,label\na/../../1.jpg,kite\n", "is no path of an image below"),
        ("path,label\n/etc/1.jpg,kite\n", "'/etc/1.jpg' is no path of an image below"),
        ("path,label\n,kite\n", "'' is no path of an image below"),
        ('path,label\n"1.jpg,kite\n', "x.csv is no CSV file as RFC 4180 has it"),
    ],
)
def test_files_that_cannot_be_understood(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path / "x.csv", text)
    with pytest.raises(DatasetError, match=message):
        read_csv(tmp_path)


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes("path,label\nMöwe.jpg,kite\n".encode("latin-1"))
    with pytest.raises(DatasetError, match=r"x\.csv is not UTF-8 text"):
        read_csv(tmp_path)


def test_a_missing_file_is_named_and_can_be_skipped(tmp_path: Path, paint: Callable[..., Path]) -> None:
    for i in range(10):
        paint(tmp_path / f"{i}.jpg", i)
    write(tmp_path / "x.csv", "path,label\n" + "".join(f"{i}.jpg,{'ab'[i % 2]}\n" for i in range(11)))
    with pytest.raises(DatasetError, match=r"10.jpg cannot be read: No such file"):
        load_dataset("csv", tmp_path)
    assert load_dataset("csv", tmp_path, skip_unreadable=True).skipped == (str(tmp_path / "10.jpg"),)


def test_a_folder_without_a_csv_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"expected a CSV file.*; 0 CSV files in .*: nothing"):
        read_csv(tmp_path)
