"""Keeps the result of a function for each study, since every table, figure and sentence of a report asks for it."""

import weakref
from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from objectives.results import StudyResults

T = TypeVar("T")


def remembered(compute: Callable[[StudyResults], T]) -> Callable[[StudyResults], T]:
    """Make a function compute its result once for each study. It forgets the result when the study is freed.

    Results of a study never change, and neither do those of the function.
    """
    results: dict[int, T] = {}  # by the identity of the study: its fields cannot be hashed

    @wraps(compute)
    def remembering(study: StudyResults) -> T:
        key = id(study)
        if key not in results:
            results[key] = compute(study)
            weakref.finalize(study, results.pop, key, None)
        return results[key]

    return remembering
