"""The one folder in which everything a run leaves lives."""

import os
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_data_path


@dataclass(frozen=True, slots=True)
class Home:
    folder: Path

    @classmethod
    def at(cls, folder: Path | None) -> "Home":
        """The given folder, else SEARCH_HOME, else the platform's place for a program's data."""
        named = folder or (Path(os.environ["SEARCH_HOME"]) if os.environ.get("SEARCH_HOME") else None)
        return cls((named or user_data_path("diffusion-feature-search", appauthor=False)).expanduser().absolute())

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def datasets(self) -> Path:
        """Where fetched datasets lie, a folder each."""
        return self.folder / "datasets"

    @property
    def reports(self) -> Path:
        return self.folder / "reports"

    @property
    def classifiers(self) -> Path:
        return self.folder / "classifiers"

    @property
    def storage(self) -> str:
        """URL of the study database where none is named."""
        return f"sqlite:///{self.folder / 'studies.db'}"
