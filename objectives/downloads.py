"""One way to fetch a published file: resumed where it broke off, and taken only where its digest is the known one."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import final

from filelock import FileLock, Timeout
from rich.console import Console

from spaces.errors import SearchError


@final
@dataclass(frozen=True)
class Content:
    """sha256: hex of a file's bytes. size: their number."""

    sha256: str
    size: int


@final
@dataclass(frozen=True)
class Kind:
    """How messages speak of what is fetched: `noun` is what is named, `part` what is published of it. error: raised."""

    noun: str
    part: str
    error: type[SearchError]


def is_hub_id(text: str) -> bool:
    """Has it the form owner/name, which a path may have too: whoever asks looks for a folder first."""
    owner, _, name = text.partition("/")
    return bool(owner and name) and "/" not in name and not text.startswith((".", "~"))


@contextmanager
def claim(kind: Kind, name: str, folder: Path) -> Iterator[None]:
    """Within, no other process makes the same thing in `folder`, which is made; a lock ends with its process.

    Raises `kind.error` where the folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say(f"{name}: another process is making it ready; waiting")
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
    """Where the bytes that were downloaded so far lie, beside `placed`: `x.part.tgz` for `x.tgz`."""
    return placed.with_suffix(f".part{placed.suffix}")


def download(kind: Kind, name: str, url: str, content: Content, placed: Path) -> Path:
    """The whole file, its digest checked, at `part_of(placed)`; whoever takes it moves or removes it.

    Goes on from the bytes that lie there. placed: where a person may put the file instead. Raises `kind.error` where
    the server is away or breaks off for good (what came stays), or gives another file (which is removed).
    """
    from huggingface_hub.file_download import http_get

    part = part_of(placed)
    try:
        if part.exists() and part.stat().st_size > content.size:
            part.unlink()
        with part.open("ab") as file:
            begun = file.tell()
            going_on = f", going on from {begun / 1e6:,.0f} MB" if begun else ""
            say(f"{name}: downloading {content.size / 1e6:,.0f} MB from {url}{going_on}")
            # Resumes, tries again, and draws a bar on a terminal alone; downloads from the hub look the same.
            http_get(
                url,
                file,
                resume_size=begun,
                headers={"Accept-Encoding": "identity"},  # a range of a compressed answer is no range of the file
                expected_size=content.size,
                displayed_filename=placed.name,
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


def sha256(path: Path) -> str:
    """sha256 hex of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def say(line: str) -> None:
    """Tell a person what is going on, apart from a command's output."""
    Console(stderr=True).print(line, markup=False, highlight=False, soft_wrap=True)
