"""Events of a running screening, trials, finals and baselines, for the code that shows or logs them.

Every request that was started ends, unless the run itself ends first; between the two come its progress reports. A
request that is tried again ends with `Retried`, and starts again.
"""

from collections.abc import Callable
from dataclasses import dataclass

from objectives.results import Epoch, Evaluation, Extracted, Final, Reevaluation, Rung, Scored, TrialState
from search.scheduling.requests import BaselineRequest, FinalRequest, Request, ScreeningRequest, TrialRequest


@dataclass(frozen=True, slots=True)
class ScreeningPlanned:
    """The screening scores `settings` settings in all, as far as is known now. Each round of it may add some."""

    settings: int


@dataclass(frozen=True, slots=True)
class PartStarted:
    """A worker began a part of the screening."""

    request: ScreeningRequest


@dataclass(frozen=True, slots=True)
class PartEnded:
    """All settings of a part of the screening are scored."""

    request: ScreeningRequest


@dataclass(frozen=True, slots=True)
class TrialStarted:
    """A worker began a trial."""

    request: TrialRequest


@dataclass(frozen=True, slots=True)
class FinalsPlanned:
    """All trials are done; `count` evaluations under other seeds follow. Each round of them is planned anew.

    test: whether they test the answer; otherwise they compare the candidates for it. later: the most evaluations of
    all further rounds.
    """

    count: int
    test: bool = True
    later: int = 0


@dataclass(frozen=True, slots=True)
class FinalStarted:
    """A worker began to evaluate a setting under another seed."""

    request: FinalRequest


@dataclass(frozen=True, slots=True)
class Progressed:
    """A part of the screening, a trial or a final reported how far it is."""

    request: Request
    report: Extracted | Scored | Epoch | Rung


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
class Retried:
    """A request ended without a result, and not because of its setting. It is tried again.

    reason: one line, e.g. that its worker process was killed. attempt: the attempt of this run that follows, at least
    2. A trial that follows has a number of its own.
    """

    request: Request
    reason: str
    attempt: int


@dataclass(frozen=True, slots=True)
class GivenBack:
    """A request ended without a result, since the run has no time left for it. The next run tries it first."""

    request: Request


@dataclass(frozen=True, slots=True)
class Paused:
    """The run begins nothing until it is resumed. What runs already goes on."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The run goes on after a pause."""


@dataclass(frozen=True, slots=True)
class FinalEnded:
    """A setting was evaluated under another seed; a Final was tested too."""

    request: FinalRequest
    final: Final | Reevaluation


@dataclass(frozen=True, slots=True)
class BaselineStarted:
    """A worker began a trivial classifier, which will stand beside the answer."""

    request: BaselineRequest


@dataclass(frozen=True, slots=True)
class BaselineEnded:
    """A trivial classifier is made, or cannot be made."""

    request: BaselineRequest


TrialEvent = (
    ScreeningPlanned
    | PartStarted
    | PartEnded
    | TrialStarted
    | Progressed
    | TrialEnded
    | Retried
    | GivenBack
    | Paused
    | Resumed
    | FinalsPlanned
    | FinalStarted
    | FinalEnded
    | BaselineStarted
    | BaselineEnded
)

OnTrialEvent = Callable[[TrialEvent], None]
"""Called from the thread that runs the search."""
