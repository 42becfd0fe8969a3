"""The events of a run, from its start to its report. A function that gets them can show or log the run.

A run sends `RunPrepared`; then, if anything is missing, `SearchStarted`, the events of its screening, trials and
finals, and `SearchEnded`; then `RunFinished`. A `Notice` may come at any time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from objectives.results import StudyResults
from search.scheduling.events import (
    BaselineEnded,
    BaselineStarted,
    FinalEnded,
    FinalsPlanned,
    FinalStarted,
    GivenBack,
    PartEnded,
    PartStarted,
    Paused,
    Progressed,
    Resumed,
    Retried,
    ScreeningPlanned,
    TrialEnded,
    TrialEvent,
    TrialStarted,
)
from search.workload import Workload

__all__ = [
    "BaselineEnded",
    "BaselineStarted",
    "Event",
    "FinalEnded",
    "FinalStarted",
    "FinalsPlanned",
    "GivenBack",
    "Notice",
    "OnEvent",
    "PartEnded",
    "PartStarted",
    "Paused",
    "Progressed",
    "Resumed",
    "Retried",
    "RunFinished",
    "RunPrepared",
    "ScreeningPlanned",
    "SearchEnded",
    "SearchStarted",
    "TrialEnded",
    "TrialStarted",
]


@dataclass(frozen=True, slots=True)
class RunPrepared:
    """The options are checked, every image is hashed and the study exists.

    study: its name. dataset: what a person calls it. images, classes: of the dataset, how many. counts: images by
    "train", "validation", "test". folds: of the cross-validation, if there is one. left_out: what was left out of the
    dataset, in words. settings: of the space, how many. workers: of the run, how many. notes: sentences about options
    that change nothing any more.
    """

    study: str
    dataset: str
    images: int
    classes: int
    counts: Mapping[str, int]
    folds: int | None
    left_out: tuple[str, ...]
    settings: int
    workers: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchStarted:
    """Trials or finals are missing, and the workers start.

    results: where the study stands. trials: its goal. plan: the forward passes and bytes at most, in words. workload:
    what the run is expected to do. seconds_left: until the run ends by its time limit; None without one.
    """

    results: StudyResults
    trials: int
    plan: str
    workload: Workload
    seconds_left: float | None = None


@dataclass(frozen=True, slots=True)
class SearchEnded:
    """No worker runs any more, whether all went well or not."""


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The study has its trials and its finals, and the report is written. reason: why no further trial is tried."""

    results: StudyResults
    reason: str
    report: Path


@dataclass(frozen=True, slots=True)
class Notice:
    """A line for whoever runs the search, such as that the database does not answer. It comes at any time."""

    text: str


Event = RunPrepared | SearchStarted | TrialEvent | SearchEnded | RunFinished | Notice

OnEvent = Callable[[Event], None]
"""Called from the thread that runs the search. An exception that it raises ends the run."""
