"""Looking up a name that a user gave, with an error that lists the names that exist."""

from collections.abc import Collection, Mapping
from typing import TypeVar

from spaces.errors import UnknownNameError

Entry = TypeVar("Entry")


def lookup(kind: str, name: str, table: Mapping[str, Entry]) -> Entry:
    """Return the entry of the table under a name.

    kind: the kind of thing named, as the error says it: "head", "dataset".

    Raises UnknownNameError, which lists the table's names.
    """
    check_name(kind, name, table)
    return table[name]


def check_name(kind: str, name: object, names: Collection[str]) -> None:
    """Raises UnknownNameError, which lists the names that exist, unless the name is one of them."""
    if not isinstance(name, str) or name not in names:
        raise UnknownNameError(kind, name, names)
