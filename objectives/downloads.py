"""Fetches published files: resumes interrupted downloads, and accepts a file only if its digest is right."""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, final

from filelock import FileLock, Timeout

from objectives.sizes import size_in_words
from spaces.errors import SearchError, first_line
from spaces.files import check_ends

log = logging.getLogger(__name__)


class DownloadListener(Protocol):
    """Receives reports of downloads, for example to show them."""

    def begins(self, line: str) -> None:
        """Report that something begins that may take long. line: a description for people."""
        ...

    def progresses(self, name: str, done: int, total: int) -> None:
        """Report progress: `done` of `total` bytes of the file `name` are downloaded or unpacked."""
        ...


@final
class DownloadLog:
    """The default listener, which logs what begins at level INFO."""

    def begins(self, line: str) -> None:
        log.info("%s", line)

    def progresses(self, name: str, done: int, total: int) -> None:
        pass


_LISTENER: ContextVar[DownloadListener] = ContextVar("download listener", default=DownloadLog())  # noqa: B039 - no state


def listener() -> DownloadListener:
    """Return the listener for downloads of this thread."""
    return _LISTENER.get()


@contextmanager
def reporting_to(listener: DownloadListener) -> Iterator[None]:
    """Report downloads of this thread to the listener while the context lasts, and then to the one before it."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


@final
@dataclass(frozen=True)
class Content:
    """The content of a file. sha256: in hexadecimal. size: in bytes."""

    sha256: str
    size: int


@final
@dataclass(frozen=True)
class Kind:
    """A kind of download: the words and the error class of its messages.

    noun: the kind of thing, such as "dataset". part: its published form, such as "archive". error: class of errors.
    """

    noun: str
    part: str
    error: type[SearchError]


def is_hub_id(text: str) -> bool:
    """Return whether a text has the form owner/name. A path may have it too, so look for a folder first."""
    owner, _, name = text.partition("/")
    return bool(owner and name) and "/" not in name and not text.startswith((".", "~"))


@contextmanager
def claim(kind: Kind, name: str, folder: Path) -> Iterator[None]:
    """Lock `name` in `folder`, so that no other process makes the same thing while the context lasts.

    The folder is created. The lock ends with the process. Raises `kind.error` if the folder cannot be created or
    written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            listener().begins(f"{name}: another process is preparing it; waiting")
            lock.acquire()
    except OSError as error:
        raise kind.error(f"cannot keep {kind.noun} {name} in {folder}: {error}") from error
    try:
        yield
    finally:
        lock.release()


def check_placed(kind: Kind, name: str, content: Content, placed: Path) -> None:
    """Raises `kind.error` if a file that a person placed differs from the published one."""
    digest = sha256(placed)
    if digest != content.sha256:
        raise kind.error(
            f"{placed} is not the {kind.part} of {name}: its sha256 is {digest}, not {content.sha256}; "
            "replace it, or remove it to have it downloaded"
        )


def part_of(placed: Path) -> Path:
    """Return the path of the unfinished download next to `placed`: `x.part.tgz` for `x.tgz`."""
    return placed.with_suffix(f".part{placed.suffix}")


def download(kind: Kind, name: str, url: str, content: Content, placed: Path) -> Path:
    """Download a file to `part_of(placed)`, check its digest, and return its path; the caller moves or removes it.

    The download resumes after the bytes that are there. placed: the path at which a person may put the file instead.
    Raises `kind.error` if the server cannot be reached or ends the connection for good (the bytes are kept), or if the
    file has another digest (it is removed).
    """
    from huggingface_hub.file_download import http_get

    part = part_of(placed)
    try:
        if part.exists() and part.stat().st_size > content.size:
            part.unlink()
        with part.open("ab") as file:
            begun = file.tell()
            going_on = f", going on from {size_in_words(begun)}" if begun else ""
            listener().begins(f"{name}: downloading {size_in_words(content.size)} from {url}{going_on}")
            http_get(
                url,
                file,
                resume_size=begun,
                headers={"Accept-Encoding": "identity"},  # a range of a compressed response is no range of the file
                expected_size=content.size,
                displayed_filename=placed.name,
                tqdm_class=_reporting_bar(placed.name, content.size),
            )
    except Exception as error:  # huggingface_hub's HTTP client, and so its errors, differ between versions
        kept = part.stat().st_size if part.exists() else 0
        raise kind.error(
            f"{kind.noun} {name} cannot be downloaded from {url}: {first_line(error)}; the same command goes on from "
            f"the {kept:,} of {content.size:,} bytes that are there, or download it by hand and place it at {placed}"
        ) from error
    digest = sha256(part)
    if digest != content.sha256:
        part.unlink()
        raise kind.error(
            f"the file from {url} is not the {kind.part} of {name}: its sha256 is {digest}, not {content.sha256}; it "
            "was removed, and the same command downloads it anew"
        )
    return part


def _reporting_bar(name: str, total: int) -> type[Any]:
    """Make a progress bar for `http_get` that only reports bytes: `total` bytes of the file `name` are expected."""
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]  # documented, and not declared

    class ReportingBar(tqdm):
        def __init__(self, *_: Any, initial: float = 0, **__: Any) -> None:
            """Start at `initial` bytes, which is 0 if the server sends the whole file instead of the missing range."""
            super().__init__(disable=True)  # type: ignore[no-untyped-call]
            self.bytes_there = int(initial)

        def update(self, n: float | None = 1) -> None:
            self.bytes_there += int(n or 0)
            if self.bytes_there > total:  # it may never end
                raise ValueError(f"the server sends more than the {total:,} bytes of the published file")
            listener().progresses(name, self.bytes_there, total)

    return ReportingBar


def sha256(path: Path) -> str:
    """Return the sha256 hex of a file's bytes. Raises OSError if it cannot be read, or is a pipe or a device."""
    check_ends(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
