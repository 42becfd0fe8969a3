"""The layout of a published dataset: its files and folders, their possible places, and its address."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

from spaces.errors import DatasetError

FROM_SYSTEMS = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin"})
"""Files and folders, in any case, that operating systems and network storage write beside images."""

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".zip")


@final
@dataclass(frozen=True)
class Layout:
    """The files and folders of a published dataset.

    title: the dataset's name, as its authors use it.
    page: the dataset's address, and remarks about it.
    folders: the folders below the root that may hold the parts, if the root is the folder above.
    parts: short name → the paths at which a part may lie; folders end in "/", and the first path is the published one.
    """

    title: str
    page: str
    folders: tuple[str, ...]
    parts: Mapping[str, tuple[str, ...]]

    def __str__(self) -> str:
        published = [paths[0] for paths in self.parts.values()]
        above = " (or the folder above it)" if self.folders else ""
        return f"the {self.title} layout: a folder{above} with {listed(published)}"

    def present(self, folder: Path) -> dict[str, Path]:
        """Return the paths of the parts that this folder holds."""
        present = {}
        for part, paths in self.parts.items():
            for relative in paths:
                path = folder / relative
                if path.is_dir() if relative.endswith("/") else path.is_file():
                    present[part] = path
                    break
        return present

    def completeness(self, root: Path) -> int:
        """Return the number of parts in the root, or in the one of its `folders` that holds most."""
        return max(len(self.present(folder)) for folder in self._folders(root))

    def locate(self, root: Path) -> dict[str, Path]:
        """Return the path of every part. root: the folder that holds the parts, or the folder above it.

        Raises DatasetError if a part is missing. The message says which, what the folder holds, and the address.
        """
        folder = max(self._folders(root), key=lambda folder: len(self.present(folder)))  # of equals the first
        present = self.present(folder)
        missing = [paths[0] for part, paths in self.parts.items() if part not in present]
        if missing:
            raise DatasetError(
                f"expected {self}; {listed(missing)} missing; {contents(folder)}; it can be had at {self.page}"
            )
        return present

    def _folders(self, root: Path) -> list[Path]:
        return [root, *(root / name for name in self.folders)]


def folders_in(folder: Path) -> list[Path]:
    """Return the folders in a folder, without hidden ones, in natural order."""
    return [entry for entry in entries(folder) if entry.is_dir()]


def entries(folder: Path) -> list[Path]:
    """Return what a folder holds, in natural order; an empty list if there is no folder.

    Hidden entries and those of operating systems are left out.
    """
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if is_visible(path.name)), key=lambda path: natural(path.name))


def is_visible(name: str) -> bool:
    """Return whether the name is neither hidden nor that of a file or folder of an operating system."""
    return name[0] != "." and name.lower() not in FROM_SYSTEMS


def natural(name: str) -> tuple[list[str | tuple[int, str]], str]:
    """Return a sort key by which numbers inside names sort by value; "1" and "01" sort by the name itself."""
    parts = re.split(r"(\d+)", name)
    return [_by_value(part) if part.isdecimal() else part for part in parts], name


def _by_value(digits: str) -> tuple[int, str]:
    """Return a sort key of a whole number of any length; Python's int refuses thousands of digits."""
    significant = digits.lstrip("0")
    return len(significant), significant


def contents(folder: Path) -> str:
    """Describe what a folder holds, for messages; if there are archives, advise to unpack them."""
    held = entries(folder)
    names = [f"{entry.name}/" if entry.is_dir() else entry.name for entry in held]
    packed = [entry.name for entry in held if entry.name.lower().endswith(ARCHIVES) and entry.is_file()]
    advice = f"; unpack {briefly(packed)} there" if packed else ""
    return f"found in {folder}: {briefly(names)}{advice}"


def briefly(items: Iterable[str], most: int = 6) -> str:
    """List at most `most` names, "a, b and 3 more"; "nothing" if there are none."""
    names = list(items)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "nothing") + more


def listed(items: Iterable[str]) -> str:
    """Join at least one name as "a, b and c"."""
    *most, last = items
    return f"{', '.join(most)} and {last}" if most else last
