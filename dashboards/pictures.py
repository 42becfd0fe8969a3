"""Figures as PNG files, drawn by the machine's Chrome or Chromium."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import plotly.graph_objects as go
import plotly.io

from spaces import SearchError

WIDTH = 720  # CSS pixels: a column of a paper at 100 dots an inch
SCALE = 2


def write_pictures(figures: Mapping[str, go.Figure], folder: Path, stem: str) -> list[Path]:
    """STEM-NAME.png of each, which is whole or not there at all. Raises SearchError where no browser starts, and where
    they cannot be written."""
    paths = [folder / f"{stem}-{name}.png" for name in figures]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".png-") as made:
            drawn = [Path(made) / path.name for path in paths]
            widths = [figure.layout.width or WIDTH for figure in figures.values()]
            heights = [figure.layout.height for figure in figures.values()]
            plotly.io.write_images([*figures.values()], drawn, width=widths, height=heights, scale=SCALE)
            for part, path in zip(drawn, paths, strict=True):
                part.replace(path)
    except OSError as error:
        raise SearchError(f"the pictures cannot be written to {folder}: {error.strerror or error}") from None
    except RuntimeError:  # what kaleido raises where there is none, and where one does not start
        raise SearchError(
            "PNG files are drawn by Chrome or Chromium, and none was found that starts; install one, or open the page"
        ) from None
    return paths
