"""Passes requests and results between the workers' scheduler and the study driver. It does not know Ray."""

import logging
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Literal

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
from search.database.connection.outages import CONTINUES
from search.scheduling.events import (
    GivenBack,
    OnTrialEvent,
    Paused,
    Progressed,
    Resumed,
    Retried,
    TrialEnded,
    TrialStarted,
)
from search.scheduling.requests import (
    BaselineRequest,
    FinalRequest,
    NoMoreTrials,
    NoTrialYet,
    Request,
    ScreeningRequest,
    TrialRequest,
)
from search.scheduling.run_stages import BaselineStage, FinalStage, ScreeningStage
from search.scheduling.signals import at_first_signal
from search.scheduling.stages import Baselines, Control, Finals, Screening, Unlimited
from search.scheduling.trials.driver import StudyDriver
from search.scheduling.trials.retries import MAX_ATTEMPTS
from search.scheduling.trials.trial_timer import TrialTimer
from search.scheduling.watchdog import Watchdog
from spaces import SearchError, Setting, StorageError

log = logging.getLogger(__name__)

WAIT_SECONDS, PROPOSAL_SECONDS = 0.2, 0.02
"""Pause before the driver is asked again after it had no trial yet; the same while a proposal is being made."""


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
        control: Control | None = None,
    ) -> None:
        self.driver = driver
        self.on_event = on_event
        self.control = control or Unlimited()
        self.screening = ScreeningStage(screening, self.control, on_event)
        self.finals = FinalStage(finals, self.control, on_event, self._add_reason)
        self.baselines = BaselineStage(baselines, self.control, on_event)
        self.running: dict[str, Request] = {}
        self.timers: dict[str, TrialTimer] = {}
        self.reason: str | None = None  # why no further trial is made
        self.error: BaseException | None = None
        self.worker: Literal["started", "ready"] | None = None  # how far any worker of this run has come
        self._is_cut = False  # whether the control ended what ran
        self._is_paused = False
        self._watchdog = Watchdog()
        self._losses: Counter[Request | Setting] = Counter()  # in this run; the trials of a setting count together
        self._wait_until = 0.0

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing: Ray Tune pickles this object for a restore that is never made."""
        return {}

    def next_request(self, trial_id: str) -> Request | NoTrialYet | NoMoreTrials:
        """Return what the scheduler shall run next under this id: the screening, trials, then finals and baselines."""
        self._heed_control()
        if self._is_over:
            return NoMoreTrials("stopped")
        if time.monotonic() < self._wait_until or self._is_paused:
            return NoTrialYet()
        answer: Request | NoTrialYet | NoMoreTrials = NoMoreTrials("stopped")
        with self._keeping_errors():
            if self.reason is None:
                answer = self.screening.next_request() or self._next_trial()
            if isinstance(answer, TrialRequest):
                self.on_event(TrialStarted(answer))
            if isinstance(answer, NoMoreTrials) and self.reason is None and self.error is None:
                self.reason = answer.reason
            if self.reason is not None and self.error is None:
                answer = self._next_final()
        if isinstance(answer, Request):
            self.running[trial_id] = answer
            self.timers[trial_id] = TrialTimer()
        elif isinstance(answer, NoTrialYet):
            self._wait_until = time.monotonic() + (PROPOSAL_SECONDS if answer.proposing else WAIT_SECONDS)
        return answer

    def _next_trial(self) -> TrialRequest | NoTrialYet | NoMoreTrials:
        """Ask the driver. While a proposal is made, no result of a worker waits for it.

        Only if nothing runs, wait for the proposal here: Ray Tune would sleep for two seconds.
        """
        answer = self._ask_driver()
        while isinstance(answer, NoTrialYet) and answer.proposing and not self.running and not self._is_over:
            self.driver.wait_for_proposal(WAIT_SECONDS)
            self._heed_control()
            answer = NoTrialYet() if self._is_paused else self._ask_driver()
        return answer

    def _ask_driver(self) -> TrialRequest | NoTrialYet | NoMoreTrials:
        why = self.control.why_no_trial()
        return self.driver.next_trial(wait=False) if why is None else NoMoreTrials(why)

    def _next_final(self) -> FinalRequest | BaselineRequest | NoTrialYet | NoMoreTrials:
        """Return the next final or baseline. A worker that waits for the end of a round makes a baseline."""
        if self._is_running(TrialRequest) or self._is_running(ScreeningRequest):
            if not self.control.gives_back:
                return NoTrialYet()
            self._give_back_all()
        request: FinalRequest | BaselineRequest | None = self.finals.next_request(self._is_running(FinalRequest))
        request = request or self.baselines.next_request(self.finals.are_done)
        if request is None and (self._is_running(BaselineRequest) or not self.finals.are_done):
            return NoTrialYet()
        return request or NoMoreTrials("all finals are done")

    def _add_reason(self, why: str) -> None:
        if self.reason is None or not self.reason.endswith(why):
            self.reason = why if self.reason is None else f"{self.reason}; {why}"

    def _is_running(self, kind: type[Request]) -> bool:
        return any(isinstance(request, kind) for request in self.running.values())

    def handle_start(self, trial_id: str) -> None:
        """Take note that a worker process has started, or is free, and has received a request."""
        self._watchdog.receive(trial_id)

    def handle_result(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Take one message of a worker. Return whether the trial shall stop.

        result: has the key "report"; or "worker" with "started" or, when it has built its probe, "ready"; or "unfit"
        with the reason why the worker cannot be used; or "cause" with an error that would fail every other trial too;
        or "error" with one that fails this trial alone, and "by_machine" for whether that is the machine's fault.
        """
        stop = True
        with self._keeping_errors():
            stop = self._handle_result(trial_id, result)
        return stop or self._is_over

    def _handle_result(self, trial_id: str, result: dict[str, Any]) -> bool:
        request = self.running.get(trial_id)
        if request is None:
            return True
        self._watchdog.receive(trial_id)
        report, self.worker = result.get("report"), result.get("worker", self.worker)
        if isinstance(report, (Extracted, Scored, Epoch, Rung)) and self._has_no_time(request):
            self._give_back(trial_id, request)
            return True
        if isinstance(report, ScreenedPart):
            del self.running[trial_id]
            self._wait_until = 0.0  # the parts that depend on this one need not wait
            if isinstance(request, ScreeningRequest):
                self.screening.keep(request, report)
        elif isinstance(request, ScreeningRequest):
            if isinstance(report, (Extracted, Scored)):
                self.on_event(Progressed(request, report))
            self._handle_fault(trial_id, request, result)
        elif isinstance(request, BaselineRequest):
            self._handle_baseline_result(trial_id, request, result)
        else:
            return self._handle_trial_result(trial_id, request, result)
        return False

    def _handle_baseline_result(self, trial_id: str, request: BaselineRequest, result: dict[str, Any]) -> None:
        """Take a message about a baseline. An error of it is logged, and ends nothing else."""
        report = result.get("report")
        if isinstance(report, Baseline):
            del self.running[trial_id]
            self._wait_until = 0.0  # it may have been the last request of the run
            self.baselines.keep(request, report)
        elif "error" in result and result.get("by_machine", False):
            self._lose(trial_id, request, result["error"])
        elif reason := next((result[key] for key in ("unfit", "cause", "error") if key in result), None):
            del self.running[trial_id]
            self._give_up(request, str(reason))

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
            self.finals.keep(request, report)
        else:
            self._handle_fault(trial_id, request, result)
        return False

    def _handle_fault(self, trial_id: str, request: Request, result: dict[str, Any]) -> None:
        if "unfit" in result:
            self.error = self.error or SearchError(result["unfit"])
        elif "cause" in result:  # the run ends, and the next run tries this setting again
            self.error = self.error or result["cause"]
        elif "error" in result:
            by_machine = result.get("by_machine", False)
            if isinstance(request, TrialRequest):  # tried again after another trial has succeeded
                self._end(trial_id, request, "failed", reason=result["error"], by_machine=by_machine)
            elif by_machine:
                self._lose(trial_id, request, result["error"], at_once=False)
            else:
                del self.running[trial_id]
                self._give_up(request, result["error"])

    def _has_no_time(self, request: Request) -> bool:
        """Return whether a request that runs shall end without a result."""
        if isinstance(request, ScreeningRequest):
            return self.control.gives_back or self.control.skips_screening
        return isinstance(request, TrialRequest) and self.control.gives_back

    def _give_back(self, trial_id: str, request: Request) -> None:
        """End a request without a result. The next run tries a trial's setting first."""
        del self.running[trial_id]
        if isinstance(request, TrialRequest):
            self.driver.give_back(request.number)
        self.on_event(GivenBack(request))

    def _give_back_all(self) -> None:
        """Give back the parts of the screening and the trials that run. What their workers still send is ignored."""
        for trial_id, request in list(self.running.items()):
            if isinstance(request, (ScreeningRequest, TrialRequest)):
                self._give_back(trial_id, request)

    def handle_end(self, trial_id: str) -> None:
        """Fail a request whose worker has ended it without a result. Ray Tune reports every end."""
        request = self.running.get(trial_id)
        if request is not None and not self._is_over:
            with self._keeping_errors():
                reason = "the worker ended it without a result"
                if isinstance(request, TrialRequest):
                    self._end(trial_id, request, "failed", reason=reason, by_machine=True)
                else:
                    del self.running[trial_id]
                    self._give_up(request, reason)

    def handle_loss(self, trial_id: str, reason: str) -> None:
        """Try a request again whose worker process died."""
        request = self.running.get(trial_id)
        if request is not None and not self._is_over:
            with self._keeping_errors():
                self._lose(trial_id, request, reason)

    def _lose(self, trial_id: str, request: Request, reason: str, at_once: bool = True) -> None:
        """Try a request again that ended without a result, and not because of its setting; the third time, give it up.

        As long as no worker has been ready, the third time ends the run. at_once: whether it comes before other finals.
        """
        key = request.setting if isinstance(request, TrialRequest) else request
        self._losses[key] += 1
        losses = self._losses[key]
        if losses >= MAX_ATTEMPTS and self.worker != "ready":
            raise SearchError(f"no worker can start: {reason}, {losses} times in a row")
        del self.running[trial_id]
        if isinstance(request, TrialRequest):
            self.driver.lose(request.number, reason, again=losses < MAX_ATTEMPTS)
        if losses >= MAX_ATTEMPTS:
            self._give_up(request, f"{reason}, {losses} times")
            return
        match request:
            case FinalRequest():
                self.finals.try_again(request, at_once)
            case ScreeningRequest():
                self.screening.try_again(request)
            case BaselineRequest():
                self.baselines.try_again(request)
        self._wait_until = 0.0
        self.on_event(Retried(request, reason, losses + 1))

    def _give_up(self, request: Request, reason: str) -> None:
        """Do without the result of a request. A final or a part of the screening that is given up ends the run."""
        match request:
            case TrialRequest():
                self.on_event(TrialEnded(request, "failed", reason=reason))
            case BaselineRequest():
                self._wait_until = 0.0  # it may have been the last request of the run
                self.baselines.drop(request, reason)
            case FinalRequest(setting, seed):
                self._wait_until = 0.0
                error = f"the final of {setting}, seed {seed} failed: {reason}; {CONTINUES}"
                self.finals.give_up(SearchError(error))
            case ScreeningRequest(settings, images):
                raise SearchError(f"screening {settings[0]} on {images:,} images failed: {reason}; {CONTINUES}")

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
    def _keeping_errors(self) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
            self.driver.check_file()
        except Exception as error:
            self.error = self.error or error
        self._watchdog.happen(began)

    @property
    def _is_over(self) -> bool:
        """Whether the run ends without what still runs."""
        return self.error is not None or self._is_cut

    def _heed_control(self) -> None:
        """Say that the run is paused or goes on, and end it where the control says so."""
        if self._is_over:
            return
        if self.control.is_paused != self._is_paused:
            self._is_paused = not self._is_paused
            self.on_event(Paused() if self._is_paused else Resumed())
        why = self.control.why_end_now()
        if why is not None:
            self._is_cut = True
            self._add_reason(why)

    @property
    def stop(self) -> bool:
        """Whether the run shall end early. A stuck run ends too, rather than hang."""
        self._heed_control()
        if self._is_cut:
            return True
        if self._is_paused:
            self._watchdog.happen(time.monotonic())
        fault = self._watchdog.fault(self.running, self.worker is not None, self.reason is not None)
        if fault is not None:
            self.error = self.error or SearchError(fault)
        return self.error is not None

    def handling_signals(self) -> AbstractContextManager[None]:
        """End the run in good order at the first Ctrl-C or SIGTERM. Python handles the second one."""
        return at_first_signal(self._interrupt)

    def _interrupt(self) -> None:
        self.error = self.error or KeyboardInterrupt()
        self.driver.outages.stop()

    def raise_error(self) -> None:
        """Raise the error that ended the run early, if any. The next run tries the unfinished trials again."""
        if self._is_over:
            with suppress(StorageError):  # the first error says more, and the next run closes the trials
                self.driver.abandon()
        if self.error is not None:
            raise self.error
