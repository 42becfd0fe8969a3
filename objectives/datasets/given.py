"""Writes a dataset that a caller hands over as objects to a folder, where workers and later commands find it."""

import csv
import hashlib
import os
import secrets
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from objectives.datasets.given_images import ACCEPTED, GivenImages, image_source
from objectives.datasets.images import FileImages, ImageSource
from spaces.errors import DatasetError, shown

ACCEPTED_DATASET = (
    f"a name, or (images, labels) or (images, labels, splits): images are {ACCEPTED}, labels texts or whole numbers, "
    "splits train, val or test"
)


def write_given(dataset: Any, folder: Path) -> Path:
    """Write images with their labels as a dataset of the layout "csv" below a folder; return the dataset's own folder.

    dataset: (images, labels) or (images, labels, splits). Files are linked where the disk can do so, else copied, and
    pixels become PNG files. The name of the folder follows from the content, so the same dataset is written once.
    Raises DatasetError, in one line, for anything else.
    """
    if not isinstance(dataset, tuple) or len(dataset) not in (2, 3):
        raise DatasetError(f"`dataset` must be {ACCEPTED_DATASET}; got {shown(dataset)}")
    source = image_source(dataset[0])
    columns = [
        _texts(values, name, len(source)) for values, name in zip(dataset[1:], ("labels", "splits"), strict=False)
    ]
    digest = hashlib.sha256(repr(columns).encode())
    for i in range(len(source)):
        digest.update(source.digest(i).encode())
    target = folder / f"given-{digest.hexdigest()[:12]}"
    if target.exists():
        return target
    unfinished = folder / f".{target.name}-{secrets.token_hex(4)}"
    unfinished.mkdir(parents=True)
    try:
        with (unfinished / "images.csv").open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["path", "label", "split"][: 1 + len(columns)])
            for i in range(len(source)):
                rows.writerow([_write(source, i, unfinished), *(column[i] for column in columns)])
        with suppress(OSError):  # another process was faster
            unfinished.rename(target)
    except OSError as error:
        raise DatasetError(f"cannot write the images to {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target


def _texts(values: Any, name: str, images: int) -> list[str]:
    """Return labels or splits as texts. Raises DatasetError where there are not as many as images."""
    values = values.tolist() if hasattr(values, "tolist") else values
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != images:
        got = f"{len(values):,}" if isinstance(values, Sequence) and not isinstance(values, str) else shown(values)
        raise DatasetError(f"{name} are one for each of the {images:,} images, got {got}")
    for value in values:
        if not isinstance(value, (str, int)):
            raise DatasetError(f"{name} are texts or whole numbers, got {shown(value)}")
    return [str(value) for value in values]


def _write(source: ImageSource, i: int, folder: Path) -> str:
    """Write image i into a folder, and return the name of its file."""
    path = _path(source, i)
    if path is None:
        picture = source.read(i)
        picture.save(folder / (name := f"{i:07d}.png"), compress_level=1)
        return name
    name = f"{i:07d}{path.suffix}"
    try:
        os.link(path.resolve(), folder / name)
    except OSError:
        shutil.copyfile(path, folder / name)
    return name


def _path(source: ImageSource, i: int) -> Path | None:
    """Return the file of an image; None for pixels."""
    if isinstance(source, FileImages):
        return source.root / source.paths[i]
    item = source.items[i] if isinstance(source, GivenImages) else None
    return Path(item) if isinstance(item, (str, Path)) else None
