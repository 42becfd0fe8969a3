"""Figures as PNG files, drawn by the Chrome or Chromium that is installed."""

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
"""A proxy that does not exist. The figures need no network, but a browser contacts its vendor unasked."""


def write_pictures(figures: Mapping[str, go.Figure], folder: Path, stem: str) -> list[Path]:
    """Write each figure to `folder`/STEM-NAME.png, all of them or none, without any network, and return the paths.

    Raises SearchError if no browser starts, or if the files cannot be written.
    """
    from kaleido.errors import BrowserFailedError, ChromeNotFoundError

    paths = [folder / f"{stem}-{name}.png" for name in figures]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".png-") as temporary:
            for path, content in zip(paths, asyncio.run(_draw([*figures.values()])), strict=True):
                (Path(temporary) / path.name).write_bytes(content)
            for path in paths:
                (Path(temporary) / path.name).replace(path)
    except OSError as error:
        raise SearchError(f"cannot write the PNG files to {folder}: {error.strerror or error}") from None
    except (ChromeNotFoundError, BrowserFailedError):
        raise SearchError(
            "PNG files need Chrome or Chromium, and none was found that starts; install one, or open the HTML page"
        ) from None
    return paths


async def _draw(figures: Sequence[go.Figure]) -> list[bytes]:
    from kaleido import Kaleido

    async with Kaleido(mathjax=False, proxy_server=NO_NETWORK) as browser:
        return [await browser.calc_fig(figure.to_dict(), _size(figure)) for figure in figures]


def _size(figure: go.Figure) -> dict[str, Any]:
    size = {"width": figure.layout.width or WIDTH, "height": figure.layout.height}
    return {"format": "png", "scale": SCALE, **size}
