"""The home folder, which holds everything that a run writes."""

import os
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_data_path

from spaces import UsageError

PROGRAM = "diffusion-feature-search"
"""Name of the home folder within the platform's data folder."""


@dataclass(frozen=True, slots=True)
class Home:
    """The home folder and the paths within it."""

    folder: Path

    @classmethod
    def at(cls, folder: str | Path | None) -> "Home":
        """Return the home in the given folder, else in SEARCH_HOME, else in the platform's data folder.

        Raises UsageError where there is no such folder: for a user without a home directory, and for a file.
        """
        if folder == "":
            raise UsageError("`home` must name a folder, got ''")
        named = folder or os.environ.get("SEARCH_HOME")
        path = Path(os.path.expanduser(named or user_data_path(PROGRAM, appauthor=False)))  # noqa: PTH111  keeps ./~
        if str(path).startswith("~"):
            what = f"`home` {named} names no user's folder" if named else "this user has no home directory"
            raise UsageError(f"{what}; name a folder with `home` or in the environment variable SEARCH_HOME")
        if os.path.lexists(path) and not os.path.isdir(path):  # noqa: PTH112  also where it may not be looked at
            raise UsageError(f"`home` must be a folder, got {path}, which is none")
        return cls(path.absolute())

    @property
    def is_default(self) -> bool:
        """Whether a command uses this folder when no other is named."""
        try:
            return self == Home.at(None)
        except UsageError:
            return False

    def check_writable(self) -> None:
        """Raise UsageError where this process cannot write into the folder, or cannot make it."""
        existing = next(path for path in (self.folder, *self.folder.parents) if os.path.exists(path))  # noqa: PTH110
        if not may_write(existing):
            raise UsageError(
                f"the home folder {self.folder} cannot be written by this user; name another with `home` or in the "
                "environment variable SEARCH_HOME"
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
    def storage(self) -> Path:
        """The file of the default study database."""
        return self.folder / "studies.db"


def may_write(path: Path) -> bool:
    """Return whether this process may write a file or into a folder."""
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)
