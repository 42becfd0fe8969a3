"""A published layout: which files and folders it consists of, where they may lie, and where they can be had."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

from spaces.errors import DatasetError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm"})
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".zip")


@final
@dataclass(frozen=True)
class Layout:
    """What a published dataset consists of.

    title: as its authors call it. page: the address at which it can be had, and what to know of it. folders: where the
    parts lie below the root, in case the root is the folder above them. parts: under a short name each, the places in
    which a part may lie, folders ending in "/"; the first is the published one.
    """

    title: str
    page: str
    folders: tuple[str, ...]
    parts: Mapping[str, tuple[str, ...]]

    def __str__(self) -> str:
        published = [places[0] for places in self.parts.values()]
        above = " (or the folder above it)" if self.folders else ""
        return f"the {self.title} layout: a folder{above} with {listed(published)}"

    def found(self, folder: Path) -> dict[str, Path]:
        """The parts that lie in this very folder."""
        there = {}
        for part, places in self.parts.items():
            for place in places:
                path = folder / place
                if path.is_dir() if place.endswith("/") else path.is_file():
                    there[part] = path
                    break
        return there

    def completeness(self, root: Path) -> int:
        """How many parts lie in the root, or in the folder below it that holds most."""
        return max(len(self.found(folder)) for folder in self._folders(root))

    def locate(self, root: Path) -> dict[str, Path]:
        """Every part's path; root is the folder that holds them, or the one above.

        Raises DatasetError where a part is missing: what is, what lies there instead, and where it can be had.
        """
        folder = max(self._folders(root), key=lambda each: len(self.found(each)))  # the first of equals
        there = self.found(folder)
        missing = [places[0] for part, places in self.parts.items() if part not in there]
        if missing:
            raise DatasetError(
                f"expected {self}; {listed(missing)} missing; {contents(folder)}; it can be had at {self.page}"
            )
        return there

    def _folders(self, root: Path) -> list[Path]:
        return [root, *(root / name for name in self.folders)]


def folders_in(folder: Path) -> list[Path]:
    return [entry for entry in entries(folder) if entry.is_dir()]


def images_in(folder: Path) -> list[Path]:
    return [entry for entry in entries(folder) if entry.suffix.lower() in SUFFIXES and entry.is_file()]


def images_below(folder: Path) -> list[Path]:
    """Those of the folder, then those of each folder in it and so on; links to folders are not followed.

    Raises OSError where a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise error

    found: list[Path] = []
    for place, folders, _ in os.walk(folder, onerror=refuse):
        folders[:] = sorted((name for name in folders if not name.startswith(".")), key=natural)
        found += images_in(Path(place))
    return found


def entries(folder: Path) -> list[Path]:
    """What is not hidden, in natural order; nothing where there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted((e for e in folder.iterdir() if not e.name.startswith(".")), key=lambda entry: natural(entry.name))


def natural(name: str) -> tuple[list[str | int], str]:
    """Sorts numbers inside names by value; the name itself settles "1" against "01"."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)], name


def contents(folder: Path) -> str:
    """What lies in a folder, for messages; archives among it are what a person has most likely forgotten."""
    there = entries(folder)
    names = [f"{entry.name}/" if entry.is_dir() else entry.name for entry in there]
    packed = [entry.name for entry in there if entry.name.lower().endswith(ARCHIVES) and entry.is_file()]
    advice = f"; unpack {briefly(packed)} there" if packed else ""
    return f"found in {folder}: {briefly(names)}{advice}"


def briefly(items: Iterable[str], most: int = 6) -> str:
    names = list(items)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "nothing") + more


def listed(items: Iterable[str]) -> str:
    """ "a, b and c"."""
    *most, last = items
    return f"{', '.join(most)} and {last}" if most else last
