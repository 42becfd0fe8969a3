"""A row of the table of faults, and one case of it: an empty home, a database, and the product as a process."""

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.support.postgresql import Server
from tests.support.processes import child_process

Database = Literal["sqlite", "postgresql"]


class NotTriedError(Exception):
    """This machine does not allow the fault to be made. The text says why."""


class WrongError(Exception):
    """The product did not do what it must. The text says what it did."""


@dataclass
class Case:
    """One try of a fault.

    folder: empty, and removed afterwards. url: of an empty database. server: that of the database, to stop and to
    start; None for SQLite. random: draws when and what to kill; the same for the same seed. variables: of the
    environment. program: Python's arguments for the command line.
    """

    folder: Path
    url: str
    random: random.Random
    server: Server | None = None
    variables: dict[str, str] = field(default_factory=dict)
    program: Sequence[str] = ("-m", "search")

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def command(self, *words: str) -> list[str]:
        """Return `search` with these words, the home and the database of the case."""
        return [sys.executable, *self.program, *words, "--home", str(self.home), "--storage", self.url]

    @contextmanager
    def started(self, *words: str) -> "Iterator[subprocess.Popen[str]]":
        """Start `search` with these words, in a process group of its own. Its output is in `output`."""
        options: dict[str, Any] = {
            "text": True,
            "start_new_session": True,
            "cwd": self.folder,
            "env": self._environment(),
        }
        with (
            (self.folder / "output").open("a") as output,
            child_process(self.command(*words), stdout=output, stderr=output, **options) as process,
        ):
            yield process

    def finished(
        self, *words: str, seconds: float = 300, before: Sequence[str] = ()
    ) -> "subprocess.CompletedProcess[str]":
        """Run `search` with these words to its end, and return its exit status and output.

        before: a program, with its arguments, that starts `search`.
        """
        options: dict[str, Any] = {
            "text": True,
            "cwd": self.folder,
            "env": self._environment(),
            "timeout": seconds,
        }
        return subprocess.run([*before, *self.command(*words)], check=False, capture_output=True, **options)

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "TMPDIR": str(self.folder), **self.variables}

    @property
    def output(self) -> str:
        """What the commands of `started` have written so far."""
        return (self.folder / "output").read_text("utf-8", "replace")


@dataclass(frozen=True)
class Row:
    """A fault. title: what happens, and what must follow. run: makes it once; raises WrongError, or NotTriedError.

    databases: those on which it is tried.
    """

    title: str
    run: Callable[[Case], None]
    databases: Sequence[Database] = ("sqlite", "postgresql")


def demand(condition: bool, otherwise: str) -> None:
    """Raise WrongError unless the condition holds."""
    if not condition:
        raise WrongError(otherwise)
