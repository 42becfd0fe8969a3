"""The home folder, which holds everything that a run writes."""

import os
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_data_path


@dataclass(frozen=True, slots=True)
class Home:
    """The home folder and the paths within it."""

    folder: Path

    @classmethod
    def at(cls, folder: Path | None) -> "Home":
        """Return the home in the given folder, else in SEARCH_HOME, else in the platform's data folder."""
        named = folder or (Path(os.environ["SEARCH_HOME"]) if os.environ.get("SEARCH_HOME") else None)
        return cls((named or user_data_path("diffusion-feature-search", appauthor=False)).expanduser().absolute())

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
    def storage(self) -> str:
        """The default URL of the study database."""
        return f"sqlite:///{self.folder / 'studies.db'}"
