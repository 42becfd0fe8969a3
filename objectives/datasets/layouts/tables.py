"""Reads tables of images from text and CSV files, and builds a dataset from their rows."""

import csv
import io
import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from objectives.datasets.dataset import Dataset
from objectives.datasets.images import FileImages
from objectives.datasets.layouts.image_files import REPEATED, LeftOut
from spaces.errors import DatasetError
from spaces.files import check_ends
from spaces.text import decoded, escaped

SEPARATORS = ",;\t"
"""Separators of the fields in a line. Spreadsheets write semicolons where a comma is the decimal mark."""

Row = tuple[str, int, bool]  # path below the dataset's folder, label, whether it is a test image


def normalized(name: str) -> str:
    """Return what makes a class of a name: its Unicode composed form (NFC), without blanks at its ends."""
    return unicodedata.normalize("NFC", name.strip())


def class_name(name: str) -> str:
    """Return a class name as stored and shown: `normalized`, with `escaped` characters."""
    return escaped(normalized(name))


def distinct_names(source: Path, names: Iterable[str]) -> tuple[str, ...]:
    """Return names as `class_name` does. Raises DatasetError, which names `source`, if two classes have one name."""
    spelled = tuple(map(class_name, names))
    repeated = [name for name, times in Counter(spelled).items() if times > 1]
    if repeated:
        raise DatasetError(f"{source} has two classes called {repeated[0]}; give each class a name of its own")
    return spelled


def dataset_of(
    name: str, folder: Path, classes: Sequence[str], rows: Iterable[Row], left_out: LeftOut | None = None
) -> Dataset:
    """Build a dataset of the image files that `rows` list, in their order, without checking that the files exist.

    classes: their names, which `class_name` spells anew. If links give a file a second path in its class and split,
    the file counts once, and the second path joins `left_out`. Raises DatasetError if there are no rows, a path is
    listed twice, a path would leave the folder, two classes have one name, or a file has two paths in different classes
    or splits.
    """
    left_out = LeftOut(folder) if left_out is None else left_out
    classes = distinct_names(folder, classes)
    kept: list[Row] = []
    first_of: dict[object, Row] = {}
    for row in rows:
        path, label, test = row
        check_inside(folder, path)
        first = first_of.setdefault(_identity(folder, path), row)
        if first is row:
            kept.append(row)
        elif os.path.normpath(first[0]) == os.path.normpath(path):
            also = "" if first[0] == path else f" (as {first[0]} and {path})"
            raise DatasetError(f"{folder / path} is listed twice{also} (for dataset {name!r}); list each image once")
        elif first[1:] == (label, test):
            left_out.add(REPEATED, folder / path)
        else:
            raise DatasetError(
                f"{folder / first[0]} and {path} are the same file, as {_place(classes, first)} and as "
                f"{_place(classes, row)}; an image has one class and one split, so remove one of the two"
            )
    if not kept:
        raise DatasetError(f"dataset {name!r} in {folder} lists no image; expected at least one")
    return Dataset(
        name=name,
        classes=classes,
        images=FileImages(folder, tuple(path for path, _, _ in kept)),
        labels=np.array([label for _, label, _ in kept], np.int64),
        is_test=np.array([test for _, _, test in kept], bool),
        left_out=left_out.phrases(),
    )


def _identity(folder: Path, path: str) -> object:
    """Return what two paths of one file have in common: links, and names on disks that ignore case, lead to one file.

    Size and time are part of it, because some network disks repeat the numbers of files. Raises DatasetError for a pipe
    or a device, which reading might never end.
    """
    try:
        status = os.stat(f"{folder}/{path}")  # noqa: PTH116 - making a Path takes longer than the look at the file
    except OSError:  # a missing file is named when it is read
        return os.path.normpath(path)
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        raise DatasetError(f"{folder / path} is a pipe, a socket or a device, not a file; list image files only")
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _place(classes: Sequence[str], row: Row) -> str:
    return f"{'a test' if row[2] else 'a training'} image of class {classes[row[1]]!r}"


def check_inside(folder: Path, path: str) -> None:
    """Raise DatasetError for a path that is not relative, or that would leave the folder by '..'."""
    relative = Path(path)
    if relative.anchor or ".." in relative.parts or not relative.parts:
        raise DatasetError(
            f"{path!r} is no path of an image below {folder}; give it relative to that folder, without '..'"
        )


def _text(path: Path) -> str:
    check_ends(path)
    try:
        return decoded(path.read_bytes())
    except ValueError as error:
        raise DatasetError(f"{path} is not UTF-8 text ({error}); save it as UTF-8") from error


def text_lines(path: Path) -> list[tuple[int, str]]:
    """Read the lines of a text file that are not empty, stripped, each with its number from 1.

    Raises DatasetError if the file is not UTF-8 or has no such line.
    """
    split = re.split(r"\r\n|\r|\n", _text(path))
    lines = [(number, line.strip()) for number, line in enumerate(split, start=1) if line.strip()]
    if not lines:
        raise DatasetError(f"{path} is empty; take it from the published archive again")
    return lines


def text_table(path: Path) -> dict[str, str]:
    """Read lines of the form "<id> <value>", in order. Values may contain spaces.

    Raises DatasetError for a line of another form, or an id that is listed twice.
    """
    table: dict[str, str] = {}
    for number, line in text_lines(path):
        key, value = [*line.split(maxsplit=1), ""][:2]
        if not value:
            raise DatasetError(f"{path}, line {number}: expected '<id> <value>', got {line!r}")
        if key in table:
            raise DatasetError(f"{path}, line {number}: id {key} is listed twice; list each id once")
        table[key] = value
    return table


def csv_rows(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of an RFC 4180 file with a header, each with its line number; further columns are allowed.

    The header tells whether commas, semicolons or tabs part the fields. Columns are called as in `columns` and
    `optional`, in any case.
    Raises DatasetError if one of `columns` is missing, a row has more or fewer fields than the header, or the file is
    not UTF-8 or not CSV.
    """
    text = _text(path)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=_separator(text, columns))
    try:
        header = _header(next(reader, []), (*columns, *optional))
        missing = [name for name in columns if name not in header]
        if missing or len(set(header)) < len(header):
            raise DatasetError(
                f"{path} needs a first line that names each column once, {','.join(columns)} among them; "
                f"got {','.join(header)!r}"
            )
        for fields in reader:
            if not fields:
                continue
            if len(fields) != len(header):
                raise DatasetError(
                    f"{path}, line {reader.line_num}: expected {len(header)} fields ({','.join(header)}), "
                    f"got {len(fields)}; put a field that holds a comma in double quotes"
                )
            yield reader.line_num, dict(zip(header, fields, strict=True))
    except csv.Error as error:
        raise DatasetError(
            f"{path} is no CSV file as RFC 4180 has it: line {reader.line_num}: {error}; correct that line"
        ) from error


def _separator(text: str, columns: Sequence[str]) -> str:
    """Return what parts the fields of the first line, so that it names all columns; a comma if nothing does."""
    for mark in SEPARATORS:
        with suppress(csv.Error):
            fields = next(csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=mark), [])
            if set(columns) <= set(_header(fields, columns)):
                return mark
    return ","


def _header(fields: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the names of the columns; one that differs from a name of `names` by case alone gets that name."""
    header = [field.strip() for field in fields]
    for name in names:
        spelled = [i for i, field in enumerate(header) if field.lower() == name.lower()]
        if name not in header and len(spelled) == 1:
            header[spelled[0]] = name
    return header


def zero_based(path: Path, item: str, numbers: Iterable[object], count: int) -> list[int]:
    """Convert numbers from 1 to indices from 0. item: what a number stands for, for messages.

    Raises DatasetError for a number outside 1 to `count`.
    """
    indices = []
    for entry, number in enumerate(numbers, start=1):
        text = str(number).removesuffix(".0")  # MATLAB stores numbers as floats by default
        if not text.isdecimal() or not 1 <= int(text) <= count:
            raise DatasetError(f"{path}, entry {entry}: expected the number of {item}, 1 to {count}, got {text}")
        indices.append(int(text) - 1)
    return indices
