"""Finds the images and the labels among the columns of a Hugging Face table, and reads the labels."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from objectives.datasets.layouts.layout import briefly
from objectives.datasets.layouts.tables import class_name, normalized
from spaces.errors import DatasetError, first_line, shown
from spaces.text import escaped

_IMAGES = ("image", "img")
_LABELS = ("label", "labels", "fine_label", "class", "category", "target")
NO_LABEL = -1
"""The number that stands for no label, as in a ClassLabel."""


@final
@dataclass(frozen=True)
class Columns:
    """The columns of a dataset. names: of the classes; empty if the labels themselves are names."""

    image: str
    label: str
    names: tuple[str, ...]


@final
@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of n rows. values: whole numbers int64 (n,), or text, object (n,). present: bool (n,)."""

    values: np.ndarray
    present: np.ndarray


def find_columns(file: Path, schema: Any) -> Columns:
    """Find the columns of images and labels in an Arrow schema.

    The image column is the only Image, or else the only column of binaries; of several, the one called image or img.
    The label column is the only ClassLabel, or else the first of `_LABELS`. Raises DatasetError if there are none.
    """
    kinds = _kinds(file, schema)
    unique = [name for name, count in Counter(schema.names).items() if count == 1]
    label = _label_column(unique, kinds)
    image = _image_column([name for name in unique if name != label], schema, kinds)
    kinds_of = [f"{kinds[name]}, " if name in kinds else "" for name in schema.names]
    types = [_briefly_typed(schema.field(i).type) for i in range(len(schema.names))]
    there = briefly(
        escaped(f"{name} ({kind}{type_})") for name, kind, type_ in zip(schema.names, kinds_of, types, strict=True)
    )
    if image is None:
        raise DatasetError(
            f"{file} needs one column of encoded images, of type binary or struct<bytes, path> (of several the one "
            f"called {' or '.join(_IMAGES)}); it has {there}; save the dataset with embedded images, as feature Image"
        )
    if label is None:
        raise DatasetError(
            f"{file} needs a column of labels, a ClassLabel (of several, and without any, one called "
            f"{', '.join(_LABELS)}); it has {there}; call the column of the labels label"
        )
    return Columns(image, label, class_names(file, schema, label))


def class_names(file: Path, schema: Any, label: str) -> tuple[str, ...]:
    """Return the class names of a ClassLabel; none for other columns.

    Names are a list, or a dictionary of the numbers from 0: number → name. Raises DatasetError for names of another
    form, and if two classes have one name.
    """
    feature = _features(file, schema).get(label)
    names = feature.get("names") if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" else None
    if names is None:
        return ()
    if isinstance(names, dict) and set(names) == {str(number) for number in range(len(names))}:
        names = [names[str(number)] for number in range(len(names))]
    if not isinstance(names, list) or not all(isinstance(name, str | int) for name in names):
        raise DatasetError(
            f"{file}: the names of column {label!r} are a list of texts, or a dictionary from 0, 1, ... to texts, got "
            f"{shown(names)}; save the dataset again with a ClassLabel"
        )
    texts = tuple(class_name(str(name)) for name in names)
    twice = [name for name, count in Counter(texts).items() if count > 1]
    if twice:
        raise DatasetError(
            f"{file} calls several classes of column {label!r} {briefly(map(repr, twice))}; name each class otherwise"
        )
    return texts


def image_bytes(file: Path, table: Any, image: str) -> Any:
    """Return the column of encoded images. Raises DatasetError if it has no bytes, or if images have none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column, kind = table[image], table.schema.field(image).type
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        column = pc.struct_field(column, "bytes")
    if not _is_binary(column.type):
        raise DatasetError(
            f"{file}: column {image!r} holds encoded images, as binaries or as struct<bytes, path>, got "
            f"{_briefly_typed(kind)}; save the dataset with its images embedded, as feature Image"
        )
    if column.null_count:
        raise DatasetError(
            f"{file} lacks the bytes of {column.null_count} images, and only names their files; "
            "save the dataset with its images embedded"
        )
    return column


def read_labels(file: Path, table: Any, label: str, named: bool) -> Labels:
    """Read the labels of a table; none has a label if there is no such column.

    named: whether whole numbers stand for class names. Raises DatasetError for labels of another kind.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import types

    if label not in table.column_names or types.is_null(table[label].type):
        return Labels(np.full(len(table), NO_LABEL), np.zeros(len(table), bool))
    column, kind = table[label], table[label].type
    try:
        if types.is_dictionary(kind):
            column = column.cast(kind.value_type)
        if _is_text(column.type) or _is_binary(column.type):
            distinct, inverse = np.unique(
                column.cast(pa.large_binary()).cast(pa.large_string()).fill_null("").to_numpy(), return_inverse=True
            )
            text = np.array([normalized(name) for name in distinct], object)[inverse]
            return Labels(text, text != "")
        if types.is_boolean(column.type) and not named:
            text = pc.if_else(column, "True", "False").fill_null("").to_numpy()
            return Labels(text, text != "")
        if types.is_floating(column.type):
            column = pc.if_else(pc.is_nan(column), None, column)
        if types.is_integer(column.type) or types.is_floating(column.type) or _is_exact(column.type):
            numbers = column.cast(pa.int64())
            return Labels(numbers.fill_null(NO_LABEL).to_numpy(), numbers.is_valid().to_numpy())
        problem = "several labels, or none, for an image" if types.is_nested(column.type) else "not the name of a class"
    except pa.ArrowException as error:
        problem = escaped(first_line(error))
    raise DatasetError(
        f"{file}: labels in column {label!r} are whole numbers or text, got {_briefly_typed(kind)} ({problem}); "
        "save the dataset with one label for each image"
    )


def _label_column(names: Sequence[str], kinds: Mapping[str, str]) -> str | None:
    typed = [name for name in names if kinds.get(name) == "ClassLabel"]
    return typed[0] if len(typed) == 1 else _called(_LABELS, typed or names)


def _image_column(names: Sequence[str], schema: Any, kinds: Mapping[str, str]) -> str | None:
    typed = [name for name in names if kinds.get(name) == "Image"]
    encoded = typed or [name for name in names if _holds_bytes(schema.field(name).type)]
    return encoded[0] if len(encoded) == 1 else _called(_IMAGES, encoded)


def _called(wanted: Iterable[str], names: Sequence[str]) -> str | None:
    """Return the first wanted name that is there, in any case; the exact name first. None if there is none."""
    return next((name for want in wanted for name in (want, *names) if name in names and name.lower() == want), None)


def _holds_bytes(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        return _is_binary(kind.field("bytes").type)
    return _is_binary(kind)


def _is_binary(kind: Any) -> bool:
    from pyarrow import types

    tests = (types.is_binary, types.is_large_binary, types.is_binary_view, types.is_fixed_size_binary)
    return any(test(kind) for test in tests)


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    return any(test(kind) for test in (types.is_string, types.is_large_string, types.is_string_view))


def _is_exact(kind: Any) -> bool:
    from pyarrow import types

    return any(test(kind) for test in (types.is_boolean, types.is_decimal))


def _briefly_typed(kind: Any) -> str:
    text = " ".join(str(kind).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _kinds(file: Path, schema: Any) -> dict[str, str]:
    """Return the features of columns by their names, such as Image or ClassLabel."""
    kinds = {
        name: feature.get("_type") for name, feature in _features(file, schema).items() if isinstance(feature, dict)
    }
    return {name: kind for name, kind in kinds.items() if isinstance(kind, str)}


def _features(file: Path, schema: Any) -> dict[str, Any]:
    """Return the features that the `datasets` library wrote into the schema, or beside an Arrow file; else nothing.

    Other programs write files without features, or features of other shapes; then the columns' types have to do.
    """
    written = _at(_parsed((schema.metadata or {}).get(b"huggingface", b"")), "info", "features")
    beside = file.parent / "dataset_info.json"
    if not written and file.suffix == ".arrow" and beside.is_file():
        written = _at(_parsed(beside.read_bytes()), "features")
    return written if isinstance(written, dict) else {}


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _at(content: Any, *keys: str) -> Any:
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content
