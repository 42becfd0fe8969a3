"""Events of running trials and finals, for the code that shows or logs them.

Every request that was started ends, unless the run itself ends first; between the two come its progress reports.
"""

from collections.abc import Callable
from dataclasses import dataclass

from objectives.results import Epoch, Evaluation, Extracted, Final, Reevaluation, Rung, TrialState
from search.scheduling.requests import FinalRequest, TrialRequest


@dataclass(frozen=True, slots=True)
class TrialStarted:
    """A worker began a trial."""

    request: TrialRequest


@dataclass(frozen=True, slots=True)
class FinalsPlanned:
    """All trials are done; `count` evaluations under other seeds follow. Each round of them is planned anew.

    test: whether they test the answer; otherwise they compare the candidates for it.
    """

    count: int
    test: bool = True


@dataclass(frozen=True, slots=True)
class FinalStarted:
    """A worker began to evaluate a setting under another seed."""

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
    """A setting was evaluated under another seed; a Final was tested too."""

    request: FinalRequest
    final: Final | Reevaluation


TrialEvent = TrialStarted | Progressed | TrialEnded | FinalsPlanned | FinalStarted | FinalEnded

OnTrialEvent = Callable[[TrialEvent], None]
"""Called from the thread that runs the search."""
