"""Every error that a user can cause or mend. Each message says the rule, what was given, and what would be valid.

SearchError                the base; exit code 1
  UsageError               a command or an option that cannot be carried out; exit code 2
    UnknownNameError            a name that does not exist; lists those that do
    InvalidSpaceError           a space or setting that cannot exist
  DatasetError             images or labels that cannot be read or split
  BackboneError            a network that cannot be loaded, or whose weights are damaged
  ClassifierError          a saved classifier that cannot be written, read or rebuilt
  CacheError               the feature cache cannot be written
  StorageError             the study database cannot be reached or understood
"""

import difflib
from collections.abc import Iterable
from typing import ClassVar, Self

from spaces.text import one_line

LONGEST = 100
"""Characters of a value that an error shows."""


class SearchError(Exception):
    """The base of all errors that a user can cause or mend."""

    exit_code: ClassVar[int] = 1

    def __str__(self) -> str:
        """Return the message on one line, safe to print, whatever the names and values in it."""
        return one_line(super().__str__())


class UsageError(SearchError):
    """A command or an option that cannot be carried out."""

    exit_code: ClassVar[int] = 2


class UnknownNameError(UsageError):
    """A name that does not exist.

    `UnknownNameError("head", "mpl", HEADS)` says "unknown head 'mpl'; did you mean 'mlp'? known: linear, mlp".
    """

    def __init__(self, kind: str, name: object, known: Iterable[str]) -> None:
        names = sorted(known)
        self._parts = kind, name, names
        hint = did_you_mean(name, names) if isinstance(name, str) else ""
        super().__init__(f"unknown {kind} {shown(name)}; {hint}known: {', '.join(names) or 'none'}")

    def __reduce__(self) -> tuple[type[Self], tuple[str, object, list[str]]]:
        """Let a worker send the error: pickle would call the class with the message alone."""
        return type(self), self._parts


class InvalidSpaceError(UsageError):
    """A space or setting that cannot exist."""


class DatasetError(SearchError):
    """Images or labels that cannot be read or split."""


class BackboneError(SearchError):
    """A network that cannot be loaded, or whose weights are damaged."""


class ClassifierError(SearchError):
    """A saved classifier that cannot be written, read or rebuilt."""


class CacheError(SearchError):
    """A feature cache that cannot be written."""


class StorageError(SearchError):
    """A study database that cannot be reached or understood."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return "did you mean 'mlp'? " for the closest of the known names; an empty text where none is close.

    A name that differs in case alone is the closest.
    """
    names = sorted(known)
    same = [other for other in names if other.casefold() == name.casefold()]
    close = same or difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}? " if close else ""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class if there is no message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def shown(value: object) -> str:
    """Return a value as an error shows it: as Python spells it, shortened where it is long."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to spell such a number
        return "a number of thousands of digits"
    except RecursionError:
        return "a value that is nested thousands of times"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
