"""Counts what a run costs beside its finished trials: how long each stage takes, and the passes that no trial keeps."""

import time
from collections import defaultdict
from typing import TYPE_CHECKING, final

from objectives.results import Extracted
from search.events import (
    BaselineStarted,
    Event,
    FinalEnded,
    FinalStarted,
    GivenBack,
    OnEvent,
    PartStarted,
    Progressed,
    Retried,
    SearchEnded,
    TrialEnded,
    TrialStarted,
)
from search.scheduling.requests import Request, ScreeningRequest

if TYPE_CHECKING:
    from search.database.records import RunCosts

STAGES: dict[type, str] = {
    PartStarted: "screening",
    TrialStarted: "trials",
    FinalStarted: "finals",
    BaselineStarted: "finals",
    SearchEnded: "end",
}
"""The event with which a stage begins. The first stage, "start", begins with the run."""

ORDER = tuple(dict.fromkeys(("start", *STAGES.values())))


@final
class CostCounter:
    """Passes the events of a run on, and counts on the way.

    The stages follow each other, so that their seconds add up to those of the run. began: of the monotonic clock, when
    the run began.
    """

    def __init__(self, on_event: OnEvent, began: float) -> None:
        self.on_event = on_event
        self._began = {"start": began}
        self._stage = "start"
        self._unfinished: defaultdict[Request, int] = defaultdict(int)
        self._screening = self._failed = 0

    def __call__(self, event: Event) -> None:
        """Count an event and pass it on."""
        stage = STAGES.get(type(event), self._stage)
        if ORDER.index(stage) > ORDER.index(self._stage):
            self._stage = stage
            self._began[stage] = time.monotonic()
        match event:
            case Progressed(ScreeningRequest(), Extracted() as report):
                self._screening += report.made
            case Progressed(request, Extracted() as report):
                self._unfinished[request] += report.made
            case TrialEnded(request, state):
                made = self._unfinished.pop(request, 0)
                self._failed += made if state == "failed" else 0
            case Retried(request) | GivenBack(request):
                self._failed += self._unfinished.pop(request, 0)
            case FinalEnded(request):
                self._unfinished.pop(request, None)
        self.on_event(event)

    @property
    def costs(self) -> "RunCosts":
        """The costs of the run if it ends now."""
        from search.database.records import RunCosts

        begins = [*self._began.values(), time.monotonic()]
        seconds = {name: begins[index + 1] - begins[index] for index, name in enumerate(self._began)}
        return RunCosts(seconds, self._screening, self._failed + sum(self._unfinished.values()))
