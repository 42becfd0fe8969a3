"""The events of a run, from its start to its report. A function that gets them can show or log the run.

A run sends `RunPrepared`, then `ScreeningProgressed`, if it screens; then `SearchStarted`, the events of its
trials and finals and `SearchEnded`, if any are missing; then `RunFinished`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from objectives.results import StudyResults
from search.scheduling.events import (
    FinalEnded,
    FinalsPlanned,
    FinalStarted,
    Progressed,
    TrialEnded,
    TrialEvent,
    TrialStarted,
)

if TYPE_CHECKING:
    from search.prepare import PreparedRun

__all__ = [
    "Event",
    "FinalEnded",
    "FinalStarted",
    "FinalsPlanned",
    "OnEvent",
    "Progressed",
    "RunFinished",
    "RunPrepared",
    "ScreeningProgressed",
    "SearchEnded",
    "SearchStarted",
    "TrialEnded",
    "TrialStarted",
]


@dataclass(frozen=True, slots=True)
class RunPrepared:
    """The options are checked, every image is hashed and the study exists. study: its name."""

    run: "PreparedRun"
    study: str


@dataclass(frozen=True, slots=True)
class ScreeningProgressed:
    """A screening has made `done` of at most `total` forward passes."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class SearchStarted:
    """Trials or finals are missing, and the workers start. results: where the study stands. trials: its goal."""

    results: StudyResults
    trials: int


@dataclass(frozen=True, slots=True)
class SearchEnded:
    """No worker runs any more, whether all went well or not."""


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The study has its trials and its finals, and the report is written. reason: why no further trial is tried."""

    results: StudyResults
    reason: str
    report: Path


Event = RunPrepared | ScreeningProgressed | SearchStarted | TrialEvent | SearchEnded | RunFinished

OnEvent = Callable[[Event], None]
"""Called from the thread that runs the search. An exception that it raises ends the run."""
