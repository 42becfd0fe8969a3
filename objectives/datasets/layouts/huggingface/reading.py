"""Reads the tables of a Hugging Face dataset."""

import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, final

import numpy as np
from PIL import Image

from objectives.datasets.dataset import Dataset
from objectives.datasets.images import decode
from objectives.datasets.layouts.huggingface.columns import (
    NO_LABEL,
    Columns,
    Labels,
    class_names,
    find_columns,
    image_bytes,
    read_labels,
)
from objectives.datasets.layouts.huggingface.files import find_splits
from objectives.datasets.layouts.layout import briefly, natural
from objectives.datasets.layouts.tables import class_name
from objectives.datasets.splits import with_test_split
from spaces.errors import DatasetError, first_line, shown
from spaces.files import check_ends
from spaces.text import escaped

_ORDER = ("train", "validation", "test")
_STREAM_END = b"\xff\xff\xff\xff\0\0\0\0"
_GIT_LFS = b"version https://git-lfs"


@final
@dataclass(frozen=True, eq=False)
class ArrowImages:
    """Encoded images in columns of Arrow binaries, one column per file. A digest is that of the encoded bytes.

    rows: for each image, the index of its file and its row there.
    """

    files: tuple[str, ...]
    columns: tuple[Any, ...]
    rows: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        return len(self.rows)

    def name(self, i: int) -> str:
        file, row = self.rows[i]
        return f"{escaped(self.files[file])}, row {row + 1}"

    def digest(self, i: int) -> str:
        return hashlib.sha256(self._content(i)).hexdigest()

    def read(self, i: int) -> Image.Image:
        return decode(io.BytesIO(self._content(i)), self.name(i))

    def keep(self, indices: Iterable[int]) -> Self:
        return type(self)(self.files, self.columns, tuple(self.rows[i] for i in indices))

    @property
    def in_memory(self) -> bool:
        return False

    def _content(self, i: int) -> bytes:
        file, row = self.rows[i]
        content: bytes = self.columns[file][row].as_py()
        return content


@final
@dataclass(frozen=True, eq=False)
class _Part:
    """The images and labels of one file of a split."""

    split: str
    file: Path
    images: Any
    labels: Labels


def read_huggingface(root: Path) -> Dataset:
    """Read images and labels from a Hugging Face dataset's folder. Parquet is read into memory, Arrow files are mapped.

    Columns are found as `find_columns` says, in the first file of the split train that has rows. Images without a label
    (none, or -1) are left out. The test split is test. If test has no labelled images, it is validation, which
    otherwise trains. Without either, a fixed stratified fifth is carved.
    Raises DatasetError if there is no such folder or column, if there are several configurations, if files are missing
    or damaged, if images are not embedded, or if labels are of another kind or out of range.
    """
    splits, outside = find_splits(root)
    files = [(split, file) for split in _ORDER for file in splits.get(split, [])]
    schemas = {file: schema for _, file in files if (schema := _schema(file)) is not None}
    first = next((file for split, file in files if split == "train" and file in schemas), None)
    if first is None:
        raise DatasetError(f"the split train of {root} has no rows; fetch or save it again")
    with _named_errors(first):
        columns = find_columns(first, schemas[first])
    names = _agreed_names({file: class_names(file, schema, columns.label) for file, schema in schemas.items()})
    for file, schema in schemas.items():
        _check_columns(file, schema, columns)
    parts = [_read(split, file, columns, bool(names)) for split, file in files if file in schemas]
    parts, classes = _labelled(parts, columns.label, names)

    counts = {split: sum(part.labels.present.sum() for part in parts if part.split == split) for split in _ORDER}
    if not counts["train"]:
        raise DatasetError(f"no image of the split train of {root} has a label in column {columns.label!r}; label it")
    test_split = next((split for split in ("test", "validation") if counts[split]), None)
    labels = np.concatenate([part.labels.values[part.labels.present] for part in parts])
    is_test = np.concatenate([np.repeat(part.split == test_split, part.labels.present.sum()) for part in parts])
    dataset = Dataset(
        name="huggingface",
        classes=classes,
        images=ArrowImages(
            tuple(str(part.file) for part in parts),
            tuple(part.images for part in parts),
            tuple((i, row) for i, part in enumerate(parts) for row in np.flatnonzero(part.labels.present).tolist()),
        ),
        labels=labels,
        is_test=is_test,
        left_out=(*outside, *_unlabelled(parts)),
    )
    return dataset if test_split else with_test_split(dataset)


def _schema(file: Path) -> Any:
    """Return the schema of a file; None if the file has no rows."""
    import pyarrow.parquet as pq

    check_ends(file)
    with _named_errors(file):
        if file.suffix == ".arrow":
            table = _mapped(file)
            schema, rows = table.schema, len(table)
        else:
            with pq.ParquetFile(file) as parquet:
                schema, rows = parquet.schema_arrow, parquet.metadata.num_rows
        _ = schema.names  # raises for a name that is not UTF-8
        return schema if rows else None


def _check_columns(file: Path, schema: Any, columns: Columns) -> None:
    """Raise DatasetError unless the file has the image column, and the label column at most once."""
    if schema.names.count(columns.image) != 1 or schema.names.count(columns.label) > 1:
        raise DatasetError(
            f"{file} needs one column {columns.image!r} and at most one column {columns.label!r}, as the first file of "
            f"the split train has; it has {briefly(map(escaped, schema.names))}; rename its columns"
        )


def _read(split: str, file: Path, columns: Columns, named: bool) -> _Part:
    """Read the two columns of a file. named: whether labels that are numbers stand for class names."""
    import pyarrow.parquet as pq

    with _named_errors(file):
        wanted = [columns.image, columns.label]
        if file.suffix == ".arrow":
            table = _mapped(file)
        else:
            with pq.ParquetFile(file) as parquet:
                table = parquet.read(columns=wanted)
        table = table.select([name for name in wanted if name in table.column_names])
        table.validate(full=True)  # a damaged Arrow file may say that its values lie outside the file
        images = image_bytes(file, table, columns.image)
        return _Part(split, file, images, read_labels(file, table, columns.label, named))


def _mapped(file: Path) -> Any:
    """Map an Arrow file into memory. Raises ArrowInvalid if it is cut, even between two batches."""
    import pyarrow as pa

    with pa.memory_map(str(file)) as source:
        table = pa.ipc.open_stream(source).read_all()
        source.seek(source.size() - len(_STREAM_END))
        if source.read() != _STREAM_END:
            raise pa.ArrowInvalid("its end is missing")
        return table


@contextmanager
def _named_errors(file: Path) -> Iterator[None]:
    """Turn errors about a file's content into a DatasetError that names the file."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno:
            problem = os.strerror(error.errno)
        elif file.is_dir():
            problem = "it is a folder"
        elif _begins_with(file, _GIT_LFS):
            problem = "it is a Git LFS pointer, not the file itself"
        else:
            problem = escaped(first_line(error))
        raise DatasetError(f"cannot read {file}: {problem}; fetch or save it again") from error


def _begins_with(file: Path, start: bytes) -> bool:
    with file.open("rb") as content:
        return content.read(len(start)) == start


def _agreed_names(names_of: Mapping[Path, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the class names that all files with names have. Raises DatasetError if they differ."""
    named = {file: names for file, names in names_of.items() if names}
    first = next(iter(named), None)
    for file, names in named.items():
        if first and names != named[first]:
            raise DatasetError(
                f"{file} numbers its classes otherwise than {first}: {briefly(names)} and {briefly(named[first])}; "
                "save both again with the same ClassLabel"
            )
    return named[first] if first else ()


def _labelled(parts: Sequence[_Part], column: str, names: tuple[str, ...]) -> tuple[list[_Part], tuple[str, ...]]:
    """Turn the labels of files into indices of classes, and return the classes, too.

    names: of a ClassLabel. Numbers are indices into them, and text is one of them. Without names, the classes are the
    texts in natural order, or the numbers in ascending order. -1 is no label, except for a class without a name that
    stands beside other negative numbers, or beside 1 alone.
    """
    used = [part for part in parts if part.labels.present.any()]
    texts = [part for part in used if part.labels.values.dtype == object]
    if texts and len(texts) < len(used):
        numbers = next(part for part in used if part.labels.values.dtype != object)
        raise DatasetError(
            f"the labels of {texts[0].file} are text, and those of {numbers.file} are numbers; "
            "save both again with labels of one kind"
        )
    distinct = np.unique(np.concatenate([part.labels.values[part.labels.present] for part in used] or [[NO_LABEL]]))
    if texts:
        return _labelled_by_text(parts, column, names, distinct)
    named = bool(names)
    unlabelled = named or (distinct[0] == NO_LABEL and distinct.tolist() != [NO_LABEL, 1])
    if unlabelled:
        distinct = distinct[distinct != NO_LABEL]
    if named and len(distinct) and not 0 <= distinct[0] <= distinct[-1] < len(names):
        wrong = distinct[0] if distinct[0] < 0 else distinct[-1]
        file = next(part.file for part in used if wrong in part.labels.values[part.labels.present])
        raise DatasetError(
            f"{file} holds the label {wrong}, expected 0 to {len(names) - 1}; "
            "give each image the number of one of its class names"
        )

    def indexed(labels: Labels) -> Labels:
        present = labels.present & (labels.values != NO_LABEL) if unlabelled else labels.present
        values = labels.values[present]
        indices = np.zeros(len(present), np.int64)
        indices[present] = values if named else np.searchsorted(distinct, values)
        return Labels(indices, present)

    classes = names if named else tuple(str(label) for label in distinct)
    return [replace(part, labels=indexed(part.labels)) for part in parts], classes


def _labelled_by_text(
    parts: Sequence[_Part], column: str, names: tuple[str, ...], distinct: np.ndarray
) -> tuple[list[_Part], tuple[str, ...]]:
    """Do what `_labelled` does, for text. distinct: each text once.

    Raises DatasetError for a text that is none of the names, if there are names.
    """
    classes = names or tuple(class_name(text) for text in sorted(distinct, key=natural))
    numbers = {name: number for number, name in enumerate(classes)}
    index_of = {text: numbers[class_name(text)] for text in distinct if class_name(text) in numbers}

    def indexed(part: _Part) -> Labels:
        values, present = part.labels.values, part.labels.present
        others = [text for text in values[present] if text not in index_of]
        if others:
            raise DatasetError(
                f"{part.file} holds the label {shown(others[0])} in column {column!r}, which is none of the "
                f"column's class names, {briefly(map(repr, names))}; correct the label, or save the column without "
                "ClassLabel"
            )
        indices = np.zeros(len(values), np.int64)
        indices[present] = [index_of[text] for text in values[present]]
        return Labels(indices, present)

    return [replace(part, labels=indexed(part)) for part in parts], classes


def _unlabelled(parts: Sequence[_Part]) -> Iterator[str]:
    """Yield a phrase for `Dataset.left_out` about the images of each split that have no label."""
    for split in _ORDER:
        count = sum(int((~part.labels.present).sum()) for part in parts if part.split == split)
        if count:
            yield f"{count:,} {'image' if count == 1 else 'images'} of split {split} without a label"
