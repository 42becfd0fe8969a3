"""Folders of Hugging Face's `datasets` library: Parquet files as on its hub, or what `save_to_disk` writes."""

import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Self, final

import numpy as np
from PIL import Image

from objectives.datasets.dataset import Dataset
from objectives.datasets.images import decode
from objectives.datasets.layouts.layout import briefly, contents
from objectives.datasets.splits import carve_test
from spaces.errors import DatasetError

HUGGINGFACE_LAYOUT = (
    "a hub's dataset, OWNER/NAME, or a folder of Hugging Face datasets: Parquet files called <split>-*.parquet or "
    "<split>/*.parquet, in it, in its data/ or in its one other folder, or what save_to_disk wrote"
)
_SPLITS = {"train": "train", "validation": "validation", "val": "validation", "valid": "validation", "test": "test"}
_SHARD = re.compile(r"(.*)-\d+-of-(\d+)")
_LABELS = ("label", "labels", "fine_label")


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
        return f"{self.files[file]}, row {row + 1}"

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


def read_huggingface(root: Path) -> Dataset:
    """Read images and labels from a Hugging Face dataset's folder. Parquet is read into memory, Arrow files are mapped.

    The image column is the one whose feature is an Image. The label column is the only ClassLabel; of several, the one
    called label, labels or fine_label. The test split is test. If test is absent or has no labels (all -1), it is
    validation, which otherwise trains. Without either, a fixed stratified fifth is carved.
    Raises DatasetError if there is no such folder or column, if there are several configurations, if files are missing,
    if images are not embedded, or if a label is out of range.
    """
    parts = _files(root)
    if "train" not in parts:
        raise DatasetError(f"expected {HUGGINGFACE_LAYOUT}; no split train; {contents(root)}")
    tables = {split: [(file, _table(file)) for file in files] for split, files in parts.items()}
    image, label, names = _columns(*tables["train"][0])

    values = {split: [_labels(file, table, label) for file, table in read] for split, read in tables.items()}
    if "test" in tables and all((labels == -1).all() for labels in values["test"]):
        del tables["test"], values["test"]
    test_split = next((split for split in ("test", "validation") if split in tables), None)

    order = [split for split in ("train", "validation", "test") if split in tables]
    files = [file for split in order for file, _ in tables[split]]
    columns = [_embedded(file, table, image) for split in order for file, table in tables[split]]
    given = np.concatenate([labels for split in order for labels in values[split]])
    classes = names or tuple(str(name) for name in np.unique(given))
    labels = given.astype(np.int64) if names else np.searchsorted(np.unique(given), given).astype(np.int64)
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
        raise DatasetError(
            f"{root} holds labels {labels.min()} to {labels.max()}, expected 0 to {len(classes) - 1}; "
            "give each image the number of one of its class names"
        )

    is_test = np.repeat([split == test_split for split in order], [sum(map(len, values[split])) for split in order])
    return Dataset(
        name="huggingface",
        classes=classes,
        images=ArrowImages(
            tuple(map(str, files)),
            tuple(columns),
            tuple((file, row) for file, column in enumerate(columns) for row in range(len(column))),
        ),
        labels=labels,
        is_test=is_test if test_split else carve_test(labels, classes),
    )


def configurations(names: Iterable[str]) -> dict[str, dict[str, list[str]]]:
    """Sort file names into configurations: folder → split → its Parquet files in order.

    names: paths relative to a dataset's folder, with "/". The files of a split are called <split>-*.parquet or lie in a
    folder <split>. Folders without a split train are left out. If there are such files at the top (".") or else in
    data, they are the only configuration.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for name in sorted(names):
        path = PurePosixPath(name)
        if path.suffix != ".parquet" or any(part.startswith(".") for part in path.parts):
            continue
        if path.parent.name in _SPLITS:  # as the hub itself converts datasets: default/train/0000.parquet
            split, folder = _SPLITS[path.parent.name], path.parent.parent
        else:
            split, folder = _SPLITS.get(path.stem.partition("-")[0], ""), path.parent
        if split:
            found.setdefault(str(folder), {}).setdefault(split, []).append(name)
    found = {folder: parts for folder, parts in found.items() if "train" in parts}
    return next(({folder: found[folder]} for folder in (".", "data") if folder in found), found)


def _files(root: Path) -> dict[str, list[Path]]:
    """Return the files of each split, in order."""
    found = configurations(file.relative_to(root).as_posix() for file in root.rglob("*.parquet"))
    if len(found) > 1:
        raise DatasetError(
            f"{root} holds several configurations, {briefly(found)}: give one of them as `data_root`, such as "
            f"{root / next(iter(found))}"
        )
    for parts in found.values():
        for names in parts.values():
            _check_whole(root, names)
        return {split: [root / name for name in names] for split, names in parts.items()}
    if (root / "state.json").is_file():
        return {"train": _saved(root)}
    return {split: _saved(root / name) for name, split in _SPLITS.items() if (root / name / "state.json").is_file()}


def _check_whole(root: Path, names: Sequence[str]) -> None:
    """Raise DatasetError if shards are missing that other names count, as in train-00000-of-00003.parquet."""
    shards = Counter(match.groups() for match in map(_SHARD.match, names) if match)
    for (series, count), present in shards.items():
        if present < int(count):
            raise DatasetError(
                f"{root} has {present} of the {int(count)} files {series}-*.parquet; fetch the others too"
            )


def _saved(folder: Path) -> list[Path]:
    """Return the Arrow files of one split that save_to_disk wrote, in the order of its state.json."""
    try:
        names = [entry["filename"] for entry in json.loads((folder / "state.json").read_bytes())["_data_files"]]
        return [folder / Path(name).name for name in names]  # the bare name, so that no path leaves the folder
    except (ValueError, TypeError, KeyError) as error:
        raise DatasetError(
            f"{folder / 'state.json'} is not what save_to_disk writes; save the dataset again"
        ) from error


def _table(file: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if file.suffix == ".parquet":
            return pq.ParquetFile(file).read()
        with pa.memory_map(str(file)) as source:
            return pa.ipc.open_stream(source).read_all()
    except pa.ArrowInvalid as error:
        raise DatasetError(f"{file} cannot be read ({error}); fetch or save it again") from error


def _columns(file: Path, table: Any) -> tuple[str, str, tuple[str, ...]]:
    """Return the image column, the label column and the class names; no names if the labels themselves are names."""
    metadata = (table.schema.metadata or {}).get(b"huggingface", b"{}")
    features = json.loads(metadata).get("info", {}).get("features", {})
    kinds = {name: feature.get("_type") for name, feature in features.items() if isinstance(feature, dict)}
    images = [name for name in table.column_names if kinds.get(name) == "Image"]
    labels = [name for name in table.column_names if kinds.get(name) == "ClassLabel"]
    if len(labels) != 1:
        labels = [name for name in _LABELS if name in (labels or table.column_names)][:1]
    if len(images) != 1 or not labels:
        there = briefly(f"{name} ({kinds.get(name, 'untyped')})" for name in table.column_names)
        raise DatasetError(
            f"{file} needs one Image column and a ClassLabel or one of {', '.join(_LABELS)}; it has {there}"
        )
    return images[0], labels[0], tuple(features.get(labels[0], {}).get("names") or ())


def _labels(file: Path, table: Any, label: str) -> np.ndarray:
    column = table[label]
    if column.null_count:
        raise DatasetError(
            f"{file} lacks the labels of {column.null_count} images; give each image a label, or remove the image"
        )
    values: np.ndarray = column.to_numpy()
    if values.dtype.kind not in "iuOU":
        raise DatasetError(f"{file}: labels in column {label!r} are whole numbers or text, got {values.dtype}")
    return values


def _embedded(file: Path, table: Any, image: str) -> Any:
    import pyarrow.compute as pc

    column = pc.struct_field(table[image], "bytes")
    if column.null_count:
        raise DatasetError(
            f"{file} lacks the bytes of {column.null_count} images, and only names their files; "
            "save the dataset with its images embedded"
        )
    return column
