"""Passes requests and results between the workers' scheduler and the study driver. It does not know Ray."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Literal, Protocol

from objectives.results import (
    Baseline,
    Epoch,
    Evaluation,
    Extracted,
    Final,
    Reevaluation,
    Rung,
    Scored,
    ScreenedPart,
    TrialState,
)
from search.scheduling.driver import NoMoreTrials, NoTrialYet, StudyDriver
from search.scheduling.events import (
    BaselineEnded,
    BaselineStarted,
    FinalEnded,
    FinalsPlanned,
    FinalStarted,
    OnTrialEvent,
    PartEnded,
    PartStarted,
    Progressed,
    TrialEnded,
    TrialStarted,
)
from search.scheduling.requests import BaselineRequest, FinalRequest, Request, ScreeningRequest, TrialRequest
from search.scheduling.signals import at_first_signal
from search.scheduling.trial_timer import TrialTimer
from spaces import SearchError, StorageError
from spaces.errors import first_line

log = logging.getLogger(__name__)

STALL_SECONDS = 600
"""A run in which nothing runs and nothing happens for this long is stuck, and ends."""

START_SECONDS = 180
"""A run none of whose worker processes starts within this time ends."""

WAIT_SECONDS = 0.2
"""Pause before the driver is asked again after it had no trial yet."""


class Finals(Protocol):
    """The evaluations under other seeds that follow the trials. They come in rounds."""

    def next_round(self) -> Sequence[FinalRequest]:
        """Return what the next round still lacks, given all results so far; nothing after the last round."""
        ...

    def most_later(self) -> int:
        """Return the most evaluations of all rounds after the one that comes next."""
        ...

    def keep(self, final: Final | Reevaluation) -> None:
        """Save a result."""
        ...


class Baselines(Protocol):
    """The trivial classifiers that stand beside the answer. A run ends well without them."""

    def next_request(self, answer_is_tested: bool) -> BaselineRequest | None:
        """Return a baseline to be made; None if there is none. answer_is_tested: whether all finals are done."""
        ...

    def keep(self, baseline: Baseline) -> None:
        """Save a result."""
        ...


class Screening(Protocol):
    """The screening that comes before the trials."""

    def next_request(self) -> ScreeningRequest | NoTrialYet | None:
        """Return the next part; NoTrialYet where it depends on parts that are still running; None after the last."""
        ...

    def keep(self, part: ScreenedPart) -> None:
        """Take the result of a part."""
        ...


class Coordinator:
    """Answers the scheduler of the workers by asking the driver, and sends an event for everything that happens.

    Its methods never raise into the scheduler, which would end the run unexplained. They keep the error, `stop` becomes
    True, and `raise_error` raises it at the end. Trials are known here by the scheduler's own ids.
    """

    def __init__(
        self,
        driver: StudyDriver,
        finals: Finals,
        on_event: OnTrialEvent,
        screening: Screening | None = None,
        baselines: Baselines | None = None,
    ) -> None:
        self.driver = driver
        self.finals = finals
        self.on_event = on_event
        self.screening = screening  # None when it has ended
        self.baselines = baselines
        self.running: dict[str, Request] = {}
        self.timers: dict[str, TrialTimer] = {}
        self.reason: str | None = None  # why no further trial is made
        self.error: BaseException | None = None
        self.worker: Literal["started", "ready"] | None = None  # how far any worker of this run has come
        self._first_request: float | None = None
        self.last_event = time.monotonic()
        self._finals_left: list[FinalRequest] = []
        self._rounds = 0
        self._finals_done = False
        self._wait_until = 0.0

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing: Ray Tune pickles this object for a restore that is never made."""
        return {}

    def next_request(self, trial_id: str) -> Request | NoTrialYet | NoMoreTrials:
        """Return what the scheduler shall run next under this id: the screening, trials, then finals and baselines."""
        if time.monotonic() < self._wait_until and not self.error:
            return NoTrialYet()
        answer: Request | NoTrialYet | NoMoreTrials = NoMoreTrials("stopped")
        with self._keeping_errors():
            if self.reason is None and self.error is None:
                answer = self._next_screening() or self.driver.next_trial()
            if isinstance(answer, ScreeningRequest):
                self.on_event(PartStarted(answer))
            if isinstance(answer, TrialRequest):
                self.on_event(TrialStarted(answer))
            if isinstance(answer, NoMoreTrials) and self.reason is None and self.error is None:
                self.reason = answer.reason
            if self.reason is not None and self.error is None:
                answer = self._next_final()
        if isinstance(answer, Request):
            self.running[trial_id] = answer
            self.timers[trial_id] = TrialTimer()
            self._first_request = self._first_request or time.monotonic()
        elif isinstance(answer, NoTrialYet):
            self._wait_until = time.monotonic() + WAIT_SECONDS
        return answer

    def _next_screening(self) -> ScreeningRequest | NoTrialYet | None:
        answer = self.screening.next_request() if self.screening else None
        if answer is None:
            self.screening = None
        return answer

    def _next_final(self) -> FinalRequest | BaselineRequest | NoTrialYet | NoMoreTrials:
        """Return the next final or baseline. A round follows from the results of the one before, so it waits for them.

        A worker that waits makes a baseline.
        """
        if not self._finals_left and not self._finals_done:
            if any(isinstance(request, FinalRequest) for request in self.running.values()):
                return self._next_baseline(answer_is_tested=False) or NoTrialYet()
            self._finals_left = list(self.finals.next_round())
            self._finals_done = not self._finals_left
            self._rounds += 1
            if self._finals_left or self._rounds == 1:
                test = all(request.test for request in self._finals_left)
                later = self.finals.most_later() if self._finals_left and not test else 0
                self.on_event(FinalsPlanned(len(self._finals_left), test, later))
        if not self._finals_left:
            return self._next_baseline(answer_is_tested=True) or NoMoreTrials("all finals are done")
        request = self._finals_left.pop(0)
        self.on_event(FinalStarted(request))
        return request

    def _next_baseline(self, answer_is_tested: bool) -> BaselineRequest | None:
        request = None
        with self._doing_without_baselines():
            request = self.baselines.next_request(answer_is_tested) if self.baselines else None
        if request is not None:
            self.on_event(BaselineStarted(request))
        return request

    def handle_result(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Take one message of a worker. Return whether the trial shall stop.

        result: has the key "report"; or "worker" with "started" or, when it has built its probe, "ready"; or "unfit"
        with the reason why the worker cannot be used; or "cause" with an error that would fail every other trial too;
        or "error" with one that fails this trial alone, and "by_machine" for whether that is the machine's fault.
        """
        stop = True
        with self._keeping_errors():
            stop = self._handle_result(trial_id, result)
        return stop or self.error is not None

    def _handle_result(self, trial_id: str, result: dict[str, Any]) -> bool:
        request = self.running.get(trial_id)
        if request is None:
            return True
        report, self.worker = result.get("report"), result.get("worker", self.worker)
        if isinstance(report, ScreenedPart):
            del self.running[trial_id]
            self._keep_part(report)
            if isinstance(request, ScreeningRequest):
                self.on_event(PartEnded(request))
        elif isinstance(request, ScreeningRequest):
            if isinstance(report, (Extracted, Scored)):
                self.on_event(Progressed(request, report))
            self._handle_fault(trial_id, request, result)
        elif isinstance(request, BaselineRequest):
            self._handle_baseline_result(trial_id, request, result)
        else:
            return self._handle_trial_result(trial_id, request, result)
        return False

    def _keep_part(self, part: ScreenedPart) -> None:
        self._wait_until = 0.0  # the parts that depend on this one need not wait
        if self.screening is not None:
            self.screening.keep(part)

    def _handle_baseline_result(self, trial_id: str, request: BaselineRequest, result: dict[str, Any]) -> None:
        """Take a message about a baseline. An error of it is logged, and ends nothing else."""
        report = result.get("report")
        if isinstance(report, Baseline):
            del self.running[trial_id]
            with self._doing_without_baselines():
                if self.baselines is not None:
                    self.baselines.keep(report)
            self.on_event(BaselineEnded(request))
        elif reason := next((result[key] for key in ("unfit", "cause", "error") if key in result), None):
            self._drop_baseline(trial_id, request, str(reason))

    def _drop_baseline(self, trial_id: str, request: BaselineRequest, reason: str) -> None:
        del self.running[trial_id]
        what = "the pixels" if request.setting is None else f"{request.setting}"
        log.warning("the report will lack a baseline, that of %s: %s", what, reason)
        self.on_event(BaselineEnded(request))

    def _handle_trial_result(self, trial_id: str, request: TrialRequest | FinalRequest, result: dict[str, Any]) -> bool:
        report = result.get("report")
        if isinstance(report, (Extracted, Epoch, Rung)):
            self.on_event(Progressed(request, report))
        if isinstance(report, Extracted):
            self.timers[trial_id].extract(report)
        elif isinstance(report, Epoch) and isinstance(request, TrialRequest):
            if self.driver.report_epoch(request.number, report.number, report.score):
                evaluation = self.timers[trial_id].evaluation(report)
                reason = f"pruned: behind other trials at epoch {report.number}"
                self._end(trial_id, request, "pruned", evaluation, reason)
                return True
        elif isinstance(report, Rung) and isinstance(request, TrialRequest):
            self.timers[trial_id].report_rung(report)
            if self.driver.report_rung(request.number, result["images"], report.evaluation.score):
                reason = f"pruned: behind other trials on the same {report.images:,} images"
                self._end(trial_id, request, "pruned", report.evaluation, reason)
                return True
        elif isinstance(report, Evaluation) and isinstance(request, TrialRequest):
            self._end(trial_id, request, "complete", report)
        elif isinstance(report, (Final, Reevaluation)) and isinstance(request, FinalRequest):
            del self.running[trial_id]
            self.finals.keep(report)
            self.on_event(FinalEnded(request, report))
        else:
            self._handle_fault(trial_id, request, result)
        return False

    def _handle_fault(self, trial_id: str, request: Request, result: dict[str, Any]) -> None:
        if "unfit" in result:
            self.error = self.error or SearchError(result["unfit"])
        elif "cause" in result:  # the run ends, and the next run tries this setting again
            self.error = self.error or result["cause"]
        elif "error" in result:
            self._fail(trial_id, request, result["error"], result.get("by_machine", False))

    def handle_loss(self, trial_id: str, reason: str) -> None:
        """Fail a trial that ended without a last result, since its process died or was stopped.

        As long as no worker has been ready, the loss is no fault of the setting, and ends the run.
        """
        request = self.running.get(trial_id)
        if isinstance(request, BaselineRequest):
            with self._keeping_errors():
                self._drop_baseline(trial_id, request, reason)
            return
        if request is not None and self.worker != "ready":
            self.error = self.error or SearchError(f"no worker can start: {reason}")
        if request is not None and self.error is None:
            with self._keeping_errors():
                self._fail(trial_id, request, reason, by_machine=True)

    def _fail(self, trial_id: str, request: Request, reason: str, by_machine: bool) -> None:
        match request:
            case TrialRequest():
                self._end(trial_id, request, "failed", reason=reason, by_machine=by_machine)
            case FinalRequest(setting, seed):
                self.error = self.error or SearchError(f"the final of {setting}, seed {seed} failed: {reason}")
            case ScreeningRequest(settings, images):
                self.error = self.error or SearchError(f"screening {settings[0]} on {images:,} images failed: {reason}")

    def _end(
        self,
        trial_id: str,
        request: TrialRequest,
        state: TrialState,
        evaluation: Evaluation | None = None,
        reason: str = "",
        by_machine: bool = False,
    ) -> None:
        del self.running[trial_id]
        if evaluation is None:
            self.driver.fail(request.number, reason or "no reason given", by_machine)
        elif state == "pruned":
            self.driver.prune(request.number, evaluation, reason)
        else:
            self.driver.complete(request.number, evaluation)
        self.on_event(TrialEnded(request, state, evaluation, reason or None))

    @contextmanager
    def _doing_without_baselines(self) -> Iterator[None]:
        """Log an error, and make no further baseline."""
        try:
            yield
        except Exception as error:
            self.baselines = None
            log.warning("the report will lack baselines: %s", first_line(error))

    @contextmanager
    def _keeping_errors(self) -> Iterator[None]:
        self.last_event = time.monotonic()
        try:
            yield
            self.driver.check_file()
        except Exception as error:
            self.error = self.error or error

    @property
    def stop(self) -> bool:
        """Whether the run shall end early. A stuck run ends too, rather than hang."""
        if self.worker is None and self._first_request and time.monotonic() - self._first_request > START_SECONDS:
            self.error = self.error or SearchError(
                f"no worker process started within {START_SECONDS} s, although there is room for one; is the machine "
                "out of memory or of processes?"
            )
        if not self.running and not self.reason and time.monotonic() - self.last_event > STALL_SECONDS:
            self.error = self.error or SearchError(f"nothing happened for {STALL_SECONDS} s; type the command again")
        return self.error is not None

    def handling_signals(self) -> AbstractContextManager[None]:
        """End the run in good order at the first Ctrl-C or SIGTERM. Python handles the second one."""
        return at_first_signal(self._interrupt)

    def _interrupt(self) -> None:
        self.error = self.error or KeyboardInterrupt()
        self.driver.outages.stop()

    def raise_error(self) -> None:
        """Raise the error that ended the run early, if any. The next run tries the unfinished trials again."""
        if self.error is not None:
            with suppress(StorageError):  # the first error says more, and the next run closes the trials
                self.driver.abandon()
            raise self.error
