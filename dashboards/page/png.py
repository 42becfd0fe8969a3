"""Figures as PNG files, drawn by the machine's Chrome or Chromium."""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from spaces import SearchError

WIDTH = 720  # CSS pixels: a column of a paper at 100 dots an inch
SCALE = 2

NO_NETWORK = "127.0.0.1:9"
"""A proxy that is not there: all that is drawn is here, but a browser calls its maker unasked."""


def write_pictures(figures: Mapping[str, go.Figure], folder: Path, stem: str) -> list[Path]:
    """STEM-NAME.png of each, which is whole or not there at all; no network is asked. Raises SearchError where no
    browser starts, and where they cannot be written."""
    from kaleido.errors import BrowserFailedError, ChromeNotFoundError

    paths = [folder / f"{stem}-{name}.png" for name in figures]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".png-") as made:
            for path, content in zip(paths, asyncio.run(_drawn([*figures.values()])), strict=True):
                (Path(made) / path.name).write_bytes(content)
            for path in paths:
                (Path(made) / path.name).replace(path)
    except OSError as error:
        raise SearchError(f"the pictures cannot be written to {folder}: {error.strerror or error}") from None
    except (ChromeNotFoundError, BrowserFailedError):
        raise SearchError(
            "PNG files are drawn by Chrome or Chromium, and none was found that starts; install one, or open the page"
        ) from None
    return paths


async def _drawn(figures: Sequence[go.Figure]) -> list[bytes]:
    from kaleido import Kaleido

    async with Kaleido(mathjax=False, proxy_server=NO_NETWORK) as browser:
        return [await browser.calc_fig(figure.to_dict(), _size(figure)) for figure in figures]


def _size(figure: go.Figure) -> dict[str, Any]:
    size = {"width": figure.layout.width or WIDTH, "height": figure.layout.height}
    return {"format": "png", "scale": SCALE, **size}
