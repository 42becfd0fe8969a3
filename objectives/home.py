"""The home folder, which holds everything that a run writes."""

import os
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_data_path

from spaces import UsageError
from spaces.errors import shown
from spaces.text import is_utf8

PROGRAM = "diffusion-feature-search"
"""Name of the home folder within the platform's data folder."""

LONGEST_PATH, LONGEST_NAME = 4096, 255
"""Bytes that a path, with its end, and each name in it may have."""


@dataclass(frozen=True, slots=True)
class Home:
    """The home folder and the paths within it."""

    folder: Path

    @classmethod
    def at(cls, folder: str | Path | None) -> "Home":
        """Return the home in the given folder, else in SEARCH_HOME, else in the platform's data folder.

        For a user without a home directory, a folder that was named becomes the home directory of this process: Ray and
        Hugging Face look for one when they are loaded. Raises UsageError where no folder was named for such a user, and
        where the folder is a file.
        """
        if folder == "":
            raise UsageError("`home` must not be empty, got ''; give a value, or leave it out")
        named = folder or os.environ.get("SEARCH_HOME")
        remedy = "name a folder with `home` or in the environment variable SEARCH_HOME"
        try:
            text = os.path.expanduser(named or user_data_path(PROGRAM, appauthor=False))  # noqa: PTH111  keeps ./~
        except RuntimeError:
            raise UsageError(f"this user has no home directory; {remedy}") from None
        if text.startswith("~"):
            raise UsageError(f"`home` begins with ~ and names no user of this machine, got {named}; {remedy}")
        if len(os.fsencode(text)) >= LONGEST_PATH or any(
            len(os.fsencode(name)) > LONGEST_NAME for name in Path(text).parts
        ):
            raise UsageError(
                f"`home` must be a path of fewer than {LONGEST_PATH:,} bytes whose names have at most {LONGEST_NAME}, "
                f"got {shown(text)}"
            )
        if os.path.lexists(text) and not os.path.isdir(text):  # noqa: PTH112  also where it may not be looked at
            raise UsageError(f"`home` must be a folder, got {text}, which is none")
        home = cls(Path(text).absolute())
        if not is_utf8(home.folder):
            raise UsageError(f"`home` must be a path in UTF-8, got {home.folder}; rename the folder, or name another")
        if named and not _has_home_directory():
            os.environ["HOME"] = str(home.folder)
        return home

    @property
    def is_default(self) -> bool:
        """Whether a command uses this folder when no other is named."""
        try:
            return self == Home.at(None)
        except UsageError:
            return False

    def check_writable(self) -> None:
        """Raise UsageError where this process cannot write into the folder and the cache, or cannot make them."""
        for folder in (self.folder, self.cache):
            existing = next(path for path in (folder, *folder.parents) if os.path.exists(path))  # noqa: PTH110
            if not may_write(existing):
                raise UsageError(
                    f"this user cannot write into the home folder: {existing} may only be read; name another home with "
                    "`home` or in the environment variable SEARCH_HOME"
                )

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def datasets(self) -> Path:
        """The folder of fetched datasets. Each dataset has its own folder."""
        return self.folder / "datasets"

    @property
    def reports(self) -> Path:
        return self.folder / "reports"

    @property
    def classifiers(self) -> Path:
        return self.folder / "classifiers"

    @property
    def storage(self) -> str | Path:
        """The default study database: the URL in SEARCH_STORAGE, else a SQLite file in this folder."""
        return os.environ.get("SEARCH_STORAGE") or self.folder / "studies.db"


def may_write(path: Path) -> bool:
    """Return whether this process may write a file or into a folder."""
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _has_home_directory() -> bool:
    """Return whether the user has a home directory. A container's user without a name has none, or the root folder."""
    directory = Path(os.path.expanduser("~"))  # noqa: PTH111  does not raise
    return directory.is_absolute() and (directory.parent != directory or may_write(directory))
