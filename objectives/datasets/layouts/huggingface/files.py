"""Sorts the files of a Hugging Face dataset into splits by their names, as the `datasets` library does."""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from objectives.datasets.layouts.image_files import SUFFIXES
from objectives.datasets.layouts.layout import briefly, contents, folders_in
from objectives.datasets.layouts.split_words import SPLIT_OF_WORD, split_in
from spaces.errors import DatasetError
from spaces.text import escaped

HUGGINGFACE_LAYOUT = (
    "a hub's dataset, OWNER/NAME, or a folder of Hugging Face datasets: Parquet files called <split>-*.parquet or "
    "<split>/*.parquet, in it, in its data/ or in its one other folder, or what save_to_disk wrote"
)
_SHARD = re.compile(r"(?P<series>.*)-(?P<number>\d+)-of-(?P<count>\d+)")

Splits = dict[str, list[Path]]
"""Split → its files in order."""


def configurations(names: Iterable[str]) -> dict[str, dict[str, list[str]]]:
    """Sort file names into configurations: folder → split → its Parquet files in order.

    names: paths relative to a dataset's folder, with "/". Hidden files and other kinds of files are left out. If no
    name has a word for a split, the files of a folder are its split train. Folders without a split train are left out.
    If there are such files at the top (".") or else in data, they are the only configuration.
    """
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    files = _parquet(names)
    for name in files:
        split, folder = split_and_folder(PurePosixPath(name))
        if split:
            found[folder][split].append(name)
    if not found and not any(split_in(part) in ("validation", "test") for name in files for part in name.split("/")):
        found = _without_splits(files)
    trained = {folder: dict(parts) for folder, parts in found.items() if "train" in parts}
    return next(({folder: trained[folder]} for folder in (".", "data") if folder in trained), trained)


def outside(names: Iterable[str], read: Iterable[str]) -> tuple[str, ...]:
    """Return a phrase for `Dataset.left_out` about the Parquet files among `names` that are not `read`, or none."""
    others = sorted(set(_parquet(names)) - set(read))
    if not others:
        return ()
    number = "1 Parquet file" if len(others) == 1 else f"{len(others):,} Parquet files"
    return (f"{number} outside the splits train, validation and test: {briefly(map(escaped, others))}",)


def find_splits(root: Path) -> tuple[Splits, tuple[str, ...]]:
    """Find the files of each split, in order, and phrases for `Dataset.left_out` about the others.

    Raises DatasetError if there is no split train, if there are several configurations, or if files are missing.
    """
    names = [file.relative_to(root).as_posix() for file in root.rglob("*") if not file.is_dir()]
    found = configurations(names)
    if len(found) > 1:
        raise DatasetError(
            f"{root} holds several configurations, {briefly(found)}: give one of them as `data_root`, such as "
            f"{root / next(iter(found))}"
        )
    for parts in found.values():
        read = [name for files in parts.values() for name in files]
        _check_whole(root, read)
        return {split: [root / name for name in files] for split, files in parts.items()}, outside(names, read)
    splits, others = _saved_splits(root)
    if "train" not in splits:
        raise DatasetError(f"expected {HUGGINGFACE_LAYOUT}; no split train; {contents(root)}{_other_kinds(names)}")
    return splits, others


def _parquet(names: Iterable[str]) -> list[str]:
    """Return the names of Parquet files, sorted, without hidden files and what macOS adds to archives."""
    paths = [PurePosixPath(name) for name in sorted(names)]
    return [
        str(path)
        for path in paths
        if path.suffix.lower() == ".parquet" and not any(part.startswith((".", "__MACOSX")) for part in path.parts)
    ]


def split_and_folder(path: PurePosixPath) -> tuple[str, str]:
    """Return the split of a file and the folder of its configuration; "" for no split.

    A folder called like a split comes first, as in default/train/0000.parquet, which the hub's conversion writes. Then
    comes the file's own name; that of a shard is <split>-00000-of-00001 or <dataset>-<split>-00000-of-00001, so that
    train_extra-00000-of-00001 is another split. Last come words in the names of folders, nearest first.
    """
    if split := SPLIT_OF_WORD.get(path.parent.name.lower()):
        return split, str(path.parent.parent)
    shard = _SHARD.match(path.name)
    parts = (shard["series"] if shard else path.stem).lower().split("-")
    split = SPLIT_OF_WORD.get(parts[0]) or (SPLIT_OF_WORD.get(parts[-1], "") if shard else split_in(path.stem))
    if split:
        return split, str(path.parent)
    for folder in path.parents:
        if split := split_in(folder.name):
            return split, str(folder.parent)
    return "", str(path.parent)


def _without_splits(files: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    """Make the files of each folder its split train, unless they are shards of several splits with other names."""
    folders: dict[str, list[str]] = defaultdict(list)
    for name in files:
        folders[str(PurePosixPath(name).parent)].append(name)
    return {
        folder: {"train": names}
        for folder, names in folders.items()
        if len({match["series"] for match in map(_SHARD.match, names) if match}) <= 1
    }


def _check_whole(root: Path, names: Sequence[str]) -> None:
    """Raise DatasetError unless names such as train-00000-of-00003.parquet have each number once, up to their count."""
    shards: dict[tuple[str, str], list[int]] = defaultdict(list)
    for match in map(_SHARD.match, names):
        if match:
            shards[match["series"], match["count"]].append(int(match["number"]))
    for (series, count), numbers in shards.items():
        present = len(set(numbers))
        if present < int(count):
            raise DatasetError(
                f"{root} has {present} of the {int(count)} files {series}-*.parquet; fetch the others too"
            )
        if present < len(numbers):
            raise DatasetError(
                f"{root} has {len(numbers)} files {series}-*.parquet that are numbered as {present}; "
                "remove those of an older version"
            )


def _saved_splits(root: Path) -> tuple[Splits, tuple[str, ...]]:
    """Return the files of each split that save_to_disk wrote, and phrases about its other splits."""
    if (root / "state.json").is_file():
        return {"train": _saved(root)}, ()
    names = [folder.name for folder in folders_in(root) if (folder / "state.json").is_file()]
    index = root / "dataset_dict.json"
    if index.is_file():
        listed = _read_json(index, lambda content: [str(name) for name in content["splits"]])
        missing = [name for name in listed if name not in names]
        if missing:
            raise DatasetError(
                f"{index} lists the splits {briefly(listed)}, and the folders of {briefly(missing)} are missing; "
                "copy or save the dataset again"
            )
    of_names: Mapping[str, str] = {name: SPLIT_OF_WORD.get(name.lower(), "") for name in names}
    if len(names) == 1 and not of_names[names[0]]:
        of_names = {names[0]: "train"}
    splits: Splits = {}
    for name, split in of_names.items():
        if split:
            splits.setdefault(split, []).extend(_saved(root / name))
    others = [name for name, split in of_names.items() if not split]
    return splits, (f"the splits {briefly(others)}, which are not train, validation or test",) if others else ()


def _saved(folder: Path) -> list[Path]:
    """Return the Arrow files of one split that save_to_disk wrote, in the order of its state.json."""
    state = folder / "state.json"
    names = _read_json(state, lambda content: [Path(entry["filename"]).name for entry in content["_data_files"]])
    if not names:
        raise DatasetError(f"{state} lists no files; save the dataset again")
    _check_whole(folder, names)
    return [folder / name for name in names]  # bare names, so that no path leaves the folder


def _read_json(file: Path, names_in: Callable[[Any], list[str]]) -> list[str]:
    try:
        return names_in(json.loads(file.read_bytes()))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DatasetError(f"{file} is not what save_to_disk writes; save the dataset again") from error


def _other_kinds(names: Iterable[str]) -> str:
    """Return an advice for folders of image files, which are datasets of other names here."""
    if not any(PurePosixPath(name).suffix.lower() in SUFFIXES for name in names):
        return ""
    return "; for image files in class folders the dataset is `folder`, and for those that a table lists it is `csv`"
