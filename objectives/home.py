"""The home folder, in which everything is kept that a run writes."""

import os
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_data_path


@dataclass(frozen=True, slots=True)
class Home:
    """folder: the home folder itself."""

    folder: Path

    @classmethod
    def at(cls, folder: Path | None) -> "Home":
        """The home in the given folder, else in the one that SEARCH_HOME names, else in the platform's data folder."""
        named = folder or (Path(os.environ["SEARCH_HOME"]) if os.environ.get("SEARCH_HOME") else None)
        return cls((named or user_data_path("diffusion-feature-search", appauthor=False)).expanduser().absolute())

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def datasets(self) -> Path:
        """The folder of fetched datasets, each in a folder of its own."""
        return self.folder / "datasets"

    @property
    def reports(self) -> Path:
        return self.folder / "reports"

    @property
    def classifiers(self) -> Path:
        return self.folder / "classifiers"

    @property
    def storage(self) -> str:
        """The URL of the study database, where no other is named."""
        return f"sqlite:///{self.folder / 'studies.db'}"
