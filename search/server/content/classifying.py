"""Classifies uploaded images in a process of its own: it loads torch and the network, and decodes what others sent."""

import asyncio
import io
import multiprocessing
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from search.server.problems import ProblemError
from spaces import SearchError
from spaces.text import one_line

SECONDS = 300.0
"""Longest time for one request: the first one loads the network."""

MOST_WAITING = 8
"""Requests that wait for the process. Further ones are refused."""

MOST_LOADED = 2
"""Classifiers that stay loaded."""

Upload = tuple[str, bytes]
"""The name and the bytes of an image."""

_loaded: "OrderedDict[tuple[str, int], Any]" = OrderedDict()


class Classifying:
    """The process that classifies images. It is started by the first request."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._pool: ProcessPoolExecutor | None = None
        self._turn = asyncio.Lock()
        self.waiting = 0

    def check_free(self) -> None:
        """Raise ProblemError where too many requests wait for the process."""
        if self.waiting >= MOST_WAITING:
            raise ProblemError(503, "unavailable", "too many images are being classified", {"Retry-After": "5"})

    async def classify(self, file: Path, uploads: Sequence[Upload], top: int, most_pixels: int) -> list[dict[str, Any]]:
        """Return for each image its most probable classes, or the error why it has none.

        Raises SearchError where the classifier cannot be loaded, and ProblemError where the process is busy or dies.
        """
        self.check_free()
        self.waiting += 1
        try:
            async with self._turn:
                return await self._run(file, uploads, top, most_pixels)
        finally:
            self.waiting -= 1

    async def _run(self, file: Path, uploads: Sequence[Upload], top: int, most_pixels: int) -> list[dict[str, Any]]:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
        work = asyncio.get_running_loop().run_in_executor(
            self._pool, classify_uploads, file, self._cache, [*uploads], top, most_pixels
        )
        try:
            return await asyncio.wait_for(work, SECONDS)
        except BrokenProcessPool:
            self.close()
            raise ProblemError(503, "unavailable", "the process that classifies images died; try again") from None
        except TimeoutError:
            self.close()
            raise ProblemError(503, "unavailable", f"the images were not classified within {SECONDS:.0f} s") from None

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            for process in list((self._pool._processes or {}).values()):
                process.kill()
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


def classify_uploads(
    file: Path, cache: Path, uploads: Sequence[Upload], top: int, most_pixels: int
) -> list[dict[str, Any]]:
    """Classify images in this process; see `Classifying.classify`."""
    classifier = _classifier(file, cache)
    answers: list[dict[str, Any]] = [_refusal(*upload, most_pixels) or {} for upload in uploads]
    with TemporaryDirectory(prefix="search-uploads-") as folder:
        paths = {}
        for number, (answer, (_, content)) in enumerate(zip(answers, uploads, strict=True)):
            if not answer:
                paths[number] = Path(folder, str(number))
                paths[number].write_bytes(content)
        for (number, path), row in zip(paths.items(), classifier.answers([*paths.values()]), strict=True):
            if isinstance(row, SearchError):
                answers[number] = {"error": str(row).replace(str(path), one_line(uploads[number][0]))}
            else:
                order = (-row).argsort(kind="stable")[:top].tolist()
                classes = [{"class": classifier.classes[label], "probability": float(row[label])} for label in order]
                answers[number] = {"classes": classes}
    return [{"image": one_line(name), **answer} for (name, _), answer in zip(uploads, answers, strict=True)]


def _classifier(file: Path, cache: Path) -> Any:
    """Return a classifier, which stays loaded until its file changes or `MOST_LOADED` others were used since."""
    from objectives.classifier import Classifier

    key = str(file), file.stat().st_mtime_ns
    if key not in _loaded:
        _loaded[key] = Classifier.load(file, cache=cache)
    _loaded.move_to_end(key)
    while len(_loaded) > MOST_LOADED:
        _loaded.popitem(last=False)
    return _loaded[key]


def _refusal(name: str, content: bytes, most_pixels: int) -> dict[str, Any] | None:
    """Return the error of an upload that is no image or has too many pixels, before anything is decoded."""
    import warnings

    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content)) as image:
                width, height = image.size
    except Image.DecompressionBombError:
        return {"error": f"{one_line(name)} has more than {most_pixels:,} pixels"}
    except Exception:  # a file of others can make the reader raise nearly anything
        return {"error": f"{one_line(name)} is no image that can be read"}
    if width * height > most_pixels:
        return {"error": f"{one_line(name)} has {width:,} x {height:,} pixels, more than {most_pixels:,}"}
    return None
