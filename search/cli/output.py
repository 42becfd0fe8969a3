"""Standard output of the command line: what cannot be written there is an error of one line."""

import errno
import json
import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from io import BufferedWriter, FileIO, TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from spaces import SearchError
from spaces.text import one_line

if TYPE_CHECKING:
    from search.database.store import Store


def print_lines(*lines: str) -> None:
    """Print lines. A line end within one, as a folder's name may have, is printed as an escape."""
    typer.echo("\n".join(map(one_line, lines)))


def print_log(text: str, aside: bool = False) -> None:
    """Print a part of a log, which may end within a line. Its control characters are printed as escapes.

    aside: on standard error, beside a result.
    """
    typer.echo("\n".join(map(one_line, text.split("\n"))), nl=False, err=aside)


def print_fields(*fields: str) -> None:
    """Print a line of fields with tabs between them."""
    typer.echo("\t".join(map(one_line, fields)))


def print_aside(*lines: str) -> None:
    """Print lines on standard error: notes, warnings and whatever is not the result."""
    typer.echo("\n".join(map(one_line, lines)), err=True)


def print_goes_on(job: int, words: Sequence[str]) -> None:
    """Print on standard error that a job goes on, and how to follow it. words: of a command line, say where it is."""
    print_aside(f"job {job} goes on; `{shlex.join(['search', 'logs', str(job), '-f', *words])}` follows it")


def print_left_out(phrases: Iterable[str]) -> None:
    """Print on standard error what was left out, a line for each phrase."""
    for phrase in phrases:
        print_aside(f"left out: {phrase}")


def print_json(value: Any, indent: int | None = 2) -> None:
    """Print JSON-ready values, in which a path may be a Path.

    Control characters of a name are spelled as on every page. Those of a path are escaped as JSON does, so that a
    program reads the path as it is.
    """
    typer.echo(json.dumps(_spelled(value), indent=indent))


def _spelled(value: Any) -> Any:
    match value:
        case str():
            return one_line(value)
        case Path():
            return str(value)
        case dict():
            return {_spelled(key): _spelled(item) for key, item in value.items()}
        case list() | tuple():
            return [_spelled(item) for item in value]
        case _:
            return value


def chosen_study(store: "Store", dataset: str | None, study: str | None) -> str:
    """Return the name of the study that a command answers with; say which on standard error, where others fit too.

    Raises StorageError where there is none.
    """
    from search.study.choice import choice_sentence

    found = store.find_studies(dataset, study)
    sentence = choice_sentence(found, dataset)
    if sentence is not None:
        print_aside(f"{sentence}; --study NAME takes another")
    return found[0].name


class OutputError(SearchError):
    """Standard output that cannot be written, such as a file on a full disk."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"cannot write to standard output: {reason}")


class _StandardOutput(FileIO):
    def write(self, content: Any) -> int:
        """Write bytes. Raises OutputError, but BrokenPipeError for a reader that has ended, which is no fault."""
        try:
            return super().write(content)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            raise OutputError(error.strerror or str(error)) from None


def open_standard_output() -> None:
    """Let everything that is printed pass through `_StandardOutput`. Raises OutputError where the stream is closed."""
    if sys.stdout is None:
        raise OutputError("it is closed")
    if sys.stdout is sys.__stdout__ and isinstance(sys.stdout, TextIOWrapper):
        raw = _StandardOutput(sys.stdout.fileno(), "wb", closefd=False)
        lines = sys.stdout.line_buffering
        sys.stdout = TextIOWrapper(BufferedWriter(raw), sys.stdout.encoding, sys.stdout.errors, line_buffering=lines)


def discard_output() -> None:
    """Let what is still to be printed go nowhere, so that the end of the process does not fail for it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
