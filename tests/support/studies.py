"""Small studies: their results, and the type of the fixture that makes their records."""

from collections.abc import Callable
from typing import Any

from objectives.results import Final, StudyResults, Trial
from search.database.records import StudyRecord
from tests.support.architectures import SMALL

MakeRecord = Callable[..., StudyRecord]
"""Makes the record of a study; keyword arguments replace its fields."""


def small_results(trials: tuple[Trial, ...] = (), finals: tuple[Final, ...] = (), **changes: Any) -> StudyResults:
    """Return the results of a study of two classes, 80 training, 20 validation and 50 test images."""
    fields: dict[str, Any] = {
        "name": "digits-1",
        "dataset": "digits",
        "backbone": "bundled",
        "architecture": SMALL,
        "preset": "default",
        "space_size": 9,
        "classes": ("zero", "one"),
        "counts": {"train": 80, "validation": 20, "test": 50},
        "provenance": {},
        "wall_seconds": 1.0,
    }
    return StudyResults(trials=trials, finals=finals, **(fields | changes))
