"""Events of running trials and finals, for the code that shows or logs them.

Every request that was started ends, unless the run itself ends first; between the two come its progress reports.
"""

from collections.abc import Callable
from dataclasses import dataclass

from objectives.results import Epoch, Evaluation, Extracted, Final, Rung, TrialState
from search.scheduling.requests import FinalRequest, TrialRequest


@dataclass(frozen=True, slots=True)
class TrialStarted:
    """A worker began a trial."""

    request: TrialRequest


@dataclass(frozen=True, slots=True)
class FinalsPlanned:
    """All trials are done; `count` re-evaluations of finalists follow, each under its own seed."""

    count: int


@dataclass(frozen=True, slots=True)
class FinalStarted:
    """A worker began to re-evaluate a finalist under a seed."""

    request: FinalRequest


@dataclass(frozen=True, slots=True)
class Progressed:
    """A trial or a final reported how far it is."""

    request: TrialRequest | FinalRequest
    report: Extracted | Epoch | Rung


@dataclass(frozen=True, slots=True)
class TrialEnded:
    """A trial ended.

    state: "complete", "pruned" or "failed". evaluation: None where the trial failed, or was pruned before it had one.
    reason: one line; None for a complete trial.
    """

    request: TrialRequest
    state: TrialState
    evaluation: Evaluation | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class FinalEnded:
    """A finalist was re-evaluated under a seed, and tested."""

    request: FinalRequest
    final: Final


TrialEvent = TrialStarted | Progressed | TrialEnded | FinalsPlanned | FinalStarted | FinalEnded

OnTrialEvent = Callable[[TrialEvent], None]
"""Called from the thread that runs the search."""
