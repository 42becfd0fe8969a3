"""Fetches published files: resumes a download that broke off, and takes a file only if its digest is the known one."""

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
from spaces.errors import SearchError

log = logging.getLogger(__name__)


class DownloadListener(Protocol):
    """An observer of downloads, which can show them."""

    def begins(self, line: str) -> None:
        """Something begins that may take long. line: says what, for people."""
        ...

    def progresses(self, name: str, done: int, total: int) -> None:
        """done, total: bytes of the file `name`, which is downloaded or unpacked."""
        ...


@final
class DownloadLog:
    """The default observer of downloads: it logs what begins, at level INFO."""

    def begins(self, line: str) -> None:
        log.info("%s", line)

    def progresses(self, name: str, done: int, total: int) -> None:
        pass


_LISTENER: ContextVar[DownloadListener] = ContextVar("download listener", default=DownloadLog())  # noqa: B039 - no state


def listener() -> DownloadListener:
    """Return the observer of the downloads that this thread makes."""
    return _LISTENER.get()


@contextmanager
def reporting_to(listener: DownloadListener) -> Iterator[None]:
    """Report the downloads that this thread makes in the context to an observer."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


@final
@dataclass(frozen=True)
class Content:
    """sha256: hex of a file's bytes. size: their number."""

    sha256: str
    size: int


@final
@dataclass(frozen=True)
class Kind:
    """The words of messages about a kind of download.

    noun: what has a name, such as "dataset". part: what is published of it, such as "archive". error: what is raised.
    """

    noun: str
    part: str
    error: type[SearchError]


def is_hub_id(text: str) -> bool:
    """Whether a text has the form owner/name. A path may have it too, so look for a folder first."""
    owner, _, name = text.partition("/")
    return bool(owner and name) and "/" not in name and not text.startswith((".", "~"))


@contextmanager
def claim(kind: Kind, name: str, folder: Path) -> Iterator[None]:
    """Keep other processes from making the same thing in `folder` during the context. The folder is created. The lock
    ends with the process.

    Raises `kind.error` where the folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            listener().begins(f"{name}: another process is making it ready; waiting")
            lock.acquire()
    except OSError as error:
        raise kind.error(f"cannot keep {kind.noun} {name} in {folder}: {error}") from error
    try:
        yield
    finally:
        lock.release()


def check_placed(kind: Kind, name: str, content: Content, placed: Path) -> None:
    """Raises `kind.error` where a file that a person placed is not the published one."""
    found = sha256(placed)
    if found != content.sha256:
        raise kind.error(
            f"{placed} is not the {kind.part} of {name}: its sha256 is {found}, not {content.sha256}; "
            "replace it, or remove it to have it downloaded"
        )


def part_of(placed: Path) -> Path:
    """The file with the bytes that were downloaded so far, next to `placed`: `x.part.tgz` for `x.tgz`."""
    return placed.with_suffix(f".part{placed.suffix}")


def download(kind: Kind, name: str, url: str, content: Content, placed: Path) -> Path:
    """Download a file to `part_of(placed)`, and check its digest; the caller moves or removes it.

    The download resumes after the bytes that are there. placed: where a person may put the file instead. Raises
    `kind.error` where the server cannot be reached or breaks off for good (what came stays), or where the file is
    another one (it is removed).
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
                headers={"Accept-Encoding": "identity"},  # a range of a compressed answer is no range of the file
                expected_size=content.size,
                displayed_filename=placed.name,
                tqdm_class=_reporting_bar(placed.name, begun, content.size),
            )
    except Exception as error:  # of the HTTP client that huggingface_hub is built on, which differs between versions
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        kept = part.stat().st_size if part.exists() else 0
        raise kind.error(
            f"{kind.noun} {name} cannot be downloaded from {url}: {reason}; the same command goes on from the {kept:,} "
            f"of {content.size:,} bytes that are there, or download it by hand and place it at {placed}"
        ) from error
    found = sha256(part)
    if found != content.sha256:
        part.unlink()
        raise kind.error(
            f"what {url} gave is not the {kind.part} of {name}: its sha256 is {found}, not {content.sha256}; it has "
            "been removed, and the same command downloads it anew"
        )
    return part


def _reporting_bar(name: str, begun: int, total: int) -> type[Any]:
    """A progress bar for `http_get` that draws nothing and reports the bytes. begun: bytes that were there before."""
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]  # documented, and not declared

    class ReportingBar(tqdm):
        done = begun

        def __init__(self, *_: Any, **__: Any) -> None:
            super().__init__(disable=True)  # type: ignore[no-untyped-call]

        def update(self, n: float | None = 1) -> None:
            ReportingBar.done += int(n or 0)
            listener().progresses(name, ReportingBar.done, total)

    return ReportingBar


def sha256(path: Path) -> str:
    """sha256 hex of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
