"""The stages of a run beside its trials: the screening before them, the finals in rounds, and the baselines."""

import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import final

from objectives.results import Baseline, Final, Reevaluation, ScreenedPart
from search.scheduling.events import (
    BaselineEnded,
    BaselineStarted,
    FinalEnded,
    FinalsPlanned,
    FinalStarted,
    OnTrialEvent,
    PartEnded,
    PartStarted,
)
from search.scheduling.requests import BaselineRequest, FinalRequest, NoTrialYet, ScreeningRequest
from search.scheduling.stages import Baselines, Control, Finals, Screening
from spaces import SearchError
from spaces.errors import first_line

log = logging.getLogger(__name__)


@final
class ScreeningStage:
    """Gives out the parts of the screening, as long as the control leaves time for them."""

    def __init__(self, screening: Screening | None, control: Control, on_event: OnTrialEvent) -> None:
        self.source, self._control, self.on_event = screening, control, on_event  # source: None when it has ended
        self._left: deque[ScreeningRequest] = deque()

    def next_request(self) -> ScreeningRequest | NoTrialYet | None:
        """Return the next part; NoTrialYet where it depends on parts that run; None where there is none."""
        if self.source is not None and (self._control.skips_screening or self._control.why_no_trial()):
            self.source = None  # the trials begin, or the run ends, without it
            self._left.clear()
        answer: ScreeningRequest | NoTrialYet | None = self._left.popleft() if self._left else None
        if answer is None and self.source is not None:
            answer = self.source.next_request()
        if answer is None:
            self.source = None
        elif isinstance(answer, ScreeningRequest):
            self.on_event(PartStarted(answer))
        return answer

    def keep(self, request: ScreeningRequest, part: ScreenedPart) -> None:
        """Take the result of a part."""
        if self.source is not None:
            self.source.keep(part)
        self.on_event(PartEnded(request))

    def try_again(self, request: ScreeningRequest) -> None:
        """Give out a part once more."""
        self._left.append(request)


@final
class FinalStage:
    """Gives out the finals. A round follows from the results of the one before, so it waits for them.

    on_cut: called with the reason, in words, where the control lets no further final begin.
    """

    def __init__(self, finals: Finals, control: Control, on_event: OnTrialEvent, on_cut: Callable[[str], None]) -> None:
        self.source, self._control, self.on_event, self._on_cut = finals, control, on_event, on_cut
        self._left: list[FinalRequest] = []
        self._rounds = 0
        self._error: SearchError | None = None  # of a final that was given up
        self.are_done = False

    def next_request(self, is_running: bool) -> FinalRequest | None:
        """Return the next final; None where there is none now.

        is_running: whether a final runs. Raises SearchError where a final of the last round was given up.
        """
        if not self._left and not self.are_done and not is_running:
            self._begin_round()
        if self._left and (why := self._control.why_not(self._left[0])):
            is_test, self._left = self._left[0].test, []
            if not is_test:  # the next round is that of the tests
                return self.next_request(is_running)
            self.are_done = True
            self._on_cut(why)
        if not self._left:
            return None
        request = self._left.pop(0)
        self.on_event(FinalStarted(request))
        return request

    def _begin_round(self) -> None:
        if self._error is not None:
            raise self._error
        self._left = list(self.source.next_round())
        self.are_done = not self._left
        self._rounds += 1
        if self._left or self._rounds == 1:
            test = all(request.test for request in self._left)
            later = self.source.most_later() if self._left and not test else 0
            self.on_event(FinalsPlanned(len(self._left), test, later))

    def keep(self, request: FinalRequest, result: Final | Reevaluation) -> None:
        """Save a result."""
        self.source.keep(result)
        self.on_event(FinalEnded(request, result))

    def try_again(self, request: FinalRequest, at_once: bool) -> None:
        """Give out a final once more, before the others or after them."""
        self._left.insert(0 if at_once else len(self._left), request)

    def give_up(self, error: SearchError) -> None:
        """End the run with an error after this round: no candidate may drop out without evidence.

        The other finals of the round are made before, so that the next run need not make them.
        """
        self._error = error


@final
class BaselineStage:
    """Gives out the baselines. After an error the report lacks them, and nothing else ends."""

    def __init__(self, baselines: Baselines | None, control: Control, on_event: OnTrialEvent) -> None:
        self.source, self._control, self.on_event = baselines, control, on_event
        self._left: deque[BaselineRequest] = deque()

    def next_request(self, answer_is_tested: bool) -> BaselineRequest | None:
        """Return the next baseline; None where there is none. answer_is_tested: whether all finals are done."""
        request = self._left.popleft() if self._left else None
        with self._doing_without():
            if request is None and self.source is not None:
                request = self.source.next_request(answer_is_tested)
            if request is not None and self._control.why_not(request):
                self.source = request = None
        if request is not None:
            self.on_event(BaselineStarted(request))
        return request

    def keep(self, request: BaselineRequest, baseline: Baseline) -> None:
        """Save a result."""
        with self._doing_without():
            if self.source is not None:
                self.source.keep(baseline)
        self.on_event(BaselineEnded(request))

    def try_again(self, request: BaselineRequest) -> None:
        """Give out a baseline once more."""
        self._left.append(request)

    def drop(self, request: BaselineRequest, reason: str) -> None:
        """Do without a baseline, and log why."""
        what = "the pixels" if request.setting is None else f"{request.setting}"
        log.warning("the report will lack a baseline, that of %s: %s", what, reason)
        self.on_event(BaselineEnded(request))

    @contextmanager
    def _doing_without(self) -> Iterator[None]:
        """Log an error, and make no further baseline."""
        try:
            yield
        except Exception as error:
            self.source = None
            log.warning("the report will lack baselines: %s", first_line(error))
