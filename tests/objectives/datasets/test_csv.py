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


@pytest.mark.parametrize(
    ("splits", "is_test"),
    [
        ("train Train TEST", [False, False, True]),
        ("training valid testing", [False, False, True]),
        ("train dev eval", [False, False, True]),
        ("train val val", [False, True, True]),
        ("Training train VALIDATION", [False, False, True]),
        ("train train train", [False, False, False]),
    ],
)
def test_splits_have_any_usual_name(tmp_path: Path, splits: str, is_test: list[bool]) -> None:
    rows = "".join(f"{i}.jpg,a,{split}\n" for i, split in enumerate(splits.split()))
    assert read_csv(write(tmp_path / "x.csv", f"path,label,split\n{rows}")).is_test.tolist() == is_test


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
        ("path,label,split\n1.jpg,kite,extra\n", "line 2: split is one of train, training, .*, test, .*, got 'extra'"),
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


ROWS = [
    "path,label,split",
    "Möwe 1.jpg,kite,train",
    "2.jpg,猫,train",
    '"two\nlines.jpg",kite,test',
    "3.jpg,Mo\u0308we,train",
]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("line_ends", ["\n", "\r\n", "\r", "\n\r\n", "\r\r\n"])
def test_a_table_as_spreadsheets_and_editors_save_it(tmp_path: Path, encoding: str, line_ends: str) -> None:
    (tmp_path / "x.csv").write_bytes(line_ends.join([*ROWS, ""]).encode(encoding))
    dataset = read_csv(tmp_path)
    assert isinstance(dataset.images, FileImages)
    assert dataset.images.paths == ("Möwe 1.jpg", "2.jpg", "two\nlines.jpg", "3.jpg")
    assert dataset.classes == ("M\u00f6we", "kite", "猫")
    assert dataset.is_test.tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    ("content", "position"),
    [
        ("path,label\nMöwe.jpg,kite\n".encode("latin-1"), "line 2, column 2: byte 0xf6 is not UTF-8"),
        ("path,label\r1.jpg,kite\rx.jpg,Möwe\r".encode("cp1252"), "line 3, column 8: byte 0xf6 is not UTF-8"),
        ("path,label\n猫.jpg,kite\n".encode("shift-jis"), "line 2, column 2: byte 0x94 is not UTF-8|line 2, column 1"),
        ("path,label\n1.jpg,kite\n".encode("utf-16-le"), "line 1, column 2: a NUL character"),
        ("path,label\n1.jpg,kite\n".encode("utf-16")[:-1], "line 3, column 1: byte|line 2, column 11: byte"),
        (b"path,label\n1.jpg,kite\n2.jpg,ow\0l\n", "line 3, column 9: a NUL character"),
        (b"path,label\n" + b"1.jpg,kite\n" * 1000 + b"\xff", "line 1002, column 1: byte 0xff"),
    ],
)
def test_what_is_no_text_is_refused_with_its_position(tmp_path: Path, content: bytes, position: str) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(DatasetError, match=rf"x\.csv is not UTF-8 text \(({position}).*\); save it as UTF-8"):
        read_csv(tmp_path)


@pytest.mark.parametrize(
    "label", ["9" * 5000, "-" + "9" * 5000, "inf", "nan", "1e400", "-0", "0", "00", "1" + "0" * 400, "٣", "²", "0x10"]
)
def test_labels_that_look_like_numbers_are_names(tmp_path: Path, label: str) -> None:
    rows = "".join(f"{i}.jpg,{('2', '10', label)[i % 3]}\n" for i in range(18))
    dataset = read_csv(write(tmp_path / "x.csv", f"path,label\n{rows}"))
    assert set(dataset.classes) == {"2", "10", label}
    assert dataset.classes.index("2") < dataset.classes.index("10")
    assert np.bincount(dataset.labels).tolist() == [6, 6, 6]


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


@pytest.mark.parametrize(
    "text",
    [
        "Path,Label,Split\n1.jpg,kite,train\n2.jpg,owl,train\n3.jpg,owl,test\n",
        "PATH;LABEL;SPLIT\n1.jpg;kite;train\n2.jpg;owl;train\n3.jpg;owl;test\n",
        "path\tlabel\tsplit\n1.jpg\tkite\ttrain\n2.jpg\towl\ttrain\n3.jpg\towl\ttest\n",
        " path , label , split \n 1.jpg , kite , train \n2.jpg , owl , train\n 3.jpg,owl,test\n",
        '"path";"note, if any";"label";"split"\n1.jpg;"a;b";kite;train\n2.jpg;,;owl;train\n3.jpg;;owl;test\n',
        "label;path;Path;split\nkite;1.jpg;x;train\nowl;2.jpg;x;train\nowl;3.jpg;x;test\n",
    ],
)
def test_tables_as_other_programs_save_them(tmp_path: Path, text: str) -> None:
    dataset = read_csv(write(tmp_path / "x.csv", text))
    assert isinstance(dataset.images, FileImages)
    assert dataset.images.paths == ("1.jpg", "2.jpg", "3.jpg")
    assert dataset.classes == ("kite", "owl")
    assert dataset.labels.tolist() == [0, 1, 1]
    assert dataset.is_test.tolist() == [False, False, True]


def test_a_name_that_ends_in_a_space_is_that_file(tmp_path: Path, paint: Callable[..., Path]) -> None:
    paint(tmp_path / "1.png").rename(tmp_path / "1.png ")
    paint(tmp_path / "2.png")
    dataset = read_csv(write(tmp_path / "x.csv", "path,label,split\n1.png ,a,train\n 2.png ,b,test\n"))
    assert isinstance(dataset.images, FileImages)
    assert dataset.images.paths == ("1.png ", "2.png")
