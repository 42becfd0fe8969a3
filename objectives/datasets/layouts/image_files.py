"""Finds the image files of folders, and counts and names what it leaves out."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from objectives.datasets.images import are_images
from objectives.datasets.layouts.layout import briefly, is_visible, natural
from spaces.text import escaped

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".tga"}
)
"""Suffixes, in any case, by which a file is an image without a look at its content."""

RAW_SUFFIXES = frozenset(
    {".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef", ".mos", ".mrw"}
    | {".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"}
)
"""Suffixes of cameras' raw images. Pillow takes many of them for TIFF files, and would read their small preview."""

UNREAD_SUFFIXES = RAW_SUFFIXES | frozenset(
    {".heic", ".heif", ".heics", ".hif", ".avif", ".avifs", ".jxl", ".jp2", ".j2k", ".jxr", ".wdp", ".bpg", ".exr"}
    | {".hdr", ".svg", ".svgz", ".eps", ".ai", ".psd", ".psb", ".xcf", ".kra", ".wmf", ".emf"}
)
"""Suffixes of image formats of which Pillow does not read all files."""

NOT_AN_IMAGE = "not an image"
UNREAD_FORMAT = "in an image format that Pillow cannot read (convert to JPEG or PNG)"
EMPTY = "empty"
DANGLING = "a link to nothing"
LOOP = "a link to a folder around it"
SPECIAL = "a device, a pipe or a socket"
OUTSIDE = "outside the class folders"
EMPTY_CLASS = "without a file (add images or remove the folder)"
REPEATED = "the same file as another image of its class"

NAMED = 3
"""Files of each kind that a message names."""


@final
@dataclass
class LeftOut:
    """The files that a reader leaves out: reason → their paths below `root`."""

    root: Path
    files: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, path: Path | str) -> None:
        self.files.setdefault(reason, []).append(escaped(os.path.relpath(path, self.root)))

    def join(self, others: "LeftOut") -> None:
        """Add the files of another one below the same root."""
        for reason, names in others.files.items():
            self.files.setdefault(reason, []).extend(names)

    def phrases(self) -> tuple[str, ...]:
        """Say for each reason how many files there are, and name some of them."""
        return tuple(
            f"{len(names):,} {'class folder' if reason == EMPTY_CLASS else 'file'}{'' if len(names) == 1 else 's'}, "
            f"{reason}: {briefly(names, NAMED)}"
            for reason, names in self.files.items()
        )


def images_in(folder: Path, left_out: LeftOut) -> list[Path]:
    """Return the image files of a folder, in natural order. A file is an image by its suffix, or by its content.

    A camera's raw image is none. A link to nothing with the suffix of an image is an image that cannot be read. Hidden
    files, and those that operating systems write beside images, are passed over. Other files join `left_out`. Raises
    OSError if the folder cannot be read.
    """
    return _images_and_folders(folder, left_out)[0]


def images_below(folder: Path, left_out: LeftOut) -> list[Path]:
    """Return the image files of a folder, then those of its subfolders at all depths, as `images_in` does.

    Links to folders are followed; one to a folder around it joins `left_out`.
    """
    return list(_walk(folder, left_out, frozenset()))


def _walk(folder: Path, left_out: LeftOut, around: frozenset[tuple[int, int]]) -> Iterator[Path]:
    status = folder.stat()
    here = (status.st_dev, status.st_ino)
    if here in around:
        left_out.add(LOOP, folder)
        return
    images, folders = _images_and_folders(folder, left_out)
    yield from images
    for inner in folders:
        yield from _walk(inner, left_out, around | {here})


def _images_and_folders(folder: Path, left_out: LeftOut) -> tuple[list[Path], list[Path]]:
    is_image: dict[Path, bool] = {}
    unsure: list[Path] = []
    folders: list[Path] = []
    with os.scandir(folder) as listing:  # knows files from folders without a look at each
        visible = [entry for entry in listing if is_visible(entry.name)]
    for entry in sorted(visible, key=lambda entry: natural(entry.name)):
        path = folder / entry.name
        linked = entry.is_symlink()
        if path.is_dir() if linked else entry.is_dir():
            folders.append(path)
            continue
        is_file = path.is_file() if linked else entry.is_file()
        is_image[path] = path.suffix.lower() in SUFFIXES and (is_file or not path.exists())
        if is_file and not is_image[path] and path.suffix.lower() not in RAW_SUFFIXES:
            unsure.append(path)
    is_image.update(zip(unsure, are_images(unsure), strict=True))
    for path, sure in is_image.items():
        if not sure:
            left_out.add(_reason(path), path)
    return [path for path, sure in is_image.items() if sure], folders


def _reason(file: Path) -> str:
    if not file.exists():
        return DANGLING
    if not file.is_file():
        return SPECIAL
    if not file.stat().st_size:
        return EMPTY
    return UNREAD_FORMAT if file.suffix.lower() in UNREAD_SUFFIXES else NOT_AN_IMAGE
