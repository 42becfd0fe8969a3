"""Says which of several studies a command answers with."""

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from spaces import StorageError

if TYPE_CHECKING:
    from search.database.records import StudySummary
    from search.database.store import Store

NAMED = 5
"""Other studies that a sentence names."""


def named_studies(store: "Store", name: str) -> "list[StudySummary]":
    """Return the study of a name, or else those of a dataset. Raises StorageError where there is none."""
    if name not in store.names():
        with suppress(StorageError):
            return store.find_studies(dataset=name)
    return store.find_studies(name=name)


def choice_sentence(studies: "Sequence[StudySummary]", dataset: str | None) -> str | None:
    """Say which study is used and which others fit; None where there is one alone.

    studies: as `Store.find_studies` returns them. dataset: the dataset that was named, if any.
    """
    chosen, *others = studies
    if not others:
        return None
    if dataset is None:
        return f"study {_facts(chosen)} is used, the last that ran; `search status` lists all {len(studies)} studies"
    named = ", ".join(map(_facts, others[:NAMED]))
    more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
    return f"study {_facts(chosen)} is used; others of dataset {dataset}: {named}{more}"


def _facts(study: "StudySummary") -> str:
    trials = f"{study.finished} finished trial{'' if study.finished == 1 else 's'}"
    facts = [trials if study.complete else "no complete trial", "tested" if study.tested else "not tested"]
    return f"{study.name} ({', '.join([*facts, *(['running now'] if study.at_work else [])])})"
