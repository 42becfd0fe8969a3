"""Every error that a user can cause or mend. Each message says the rule, what came, and what would do.

SearchError                the base; exit code 1
  UsageError               what was typed cannot be done; exit code 2
    UnknownNameError            a name that nothing goes by; lists what exists
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


class SearchError(Exception):
    exit_code: ClassVar[int] = 1


class UsageError(SearchError):
    exit_code: ClassVar[int] = 2


class UnknownNameError(UsageError):
    """`UnknownNameError("head", "mpl", HEADS)` → "unknown head 'mpl'; did you mean 'mlp'? known: linear, mlp"."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        self._parts = kind, name, names
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        super().__init__(f"unknown {kind} {name!r}; {hint}known: {', '.join(names) or 'none'}")

    def __reduce__(self) -> tuple[type[Self], tuple[str, str, list[str]]]:
        """So that a worker can send it: pickle would call the class with the message alone."""
        return type(self), self._parts


class InvalidSpaceError(UsageError):
    pass


class DatasetError(SearchError):
    pass


class BackboneError(SearchError):
    pass


class ClassifierError(SearchError):
    pass


class CacheError(SearchError):
    pass


class StorageError(SearchError):
    pass
