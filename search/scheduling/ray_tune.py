"""Ray: trials and finals on whatever the machine, or a cluster, has. The study database is the only state.

Ray Tune executes; what to try, when to stop a trial and when to stop altogether is decided by the `StudyDriver`, to
which the searcher and the scheduler here only pass messages. Workers never touch the database.
"""

import logging
import secrets
import shutil
import signal
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from ray import tune
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher
from ray.tune.stopper import Stopper

from objectives.results import Epoch, Evaluation, Extracted, Final, Rung, TrialState
from search.scheduling.driver import Finished, StudyDriver, Wait
from search.scheduling.events import (
    FinalEnded,
    FinalsPlanned,
    FinalStarted,
    OnTrialEvent,
    Progressed,
    TrialEnded,
    TrialStarted,
)
from search.scheduling.requests import FinalRequest, TrialRequest
from search.scheduling.resources import Resources
from search.scheduling.trial_timer import TrialTimer
from spaces import SearchError, Setting

STALL_SECONDS = 600
WAIT_SECONDS = 0.2


class BuildsProbes(Protocol):
    """`objectives.probe_builder.ProbeBuilder`, or three lines in a test."""

    def build(self, threads: int) -> Any:
        """A callable `probe(setting)` that yields reports, with a `finalise(setting, seed)` that ends in a Final."""
        ...


class Finals(Protocol):
    """What follows the trials: which settings to re-evaluate under which seeds, and where to keep the results."""

    def missing(self) -> Sequence[tuple[Setting, int]]: ...

    def keep(self, final: Final) -> None: ...


def run_study(
    driver: StudyDriver, spec: BuildsProbes, finals: Finals, resources: Resources, on_event: OnTrialEvent
) -> str:
    """Run trials until the driver says that the study is finished, then the finals; returns the driver's reason.

    Finals run on the same workers, on which network and images are loaded. Raises KeyboardInterrupt after Ctrl-C or
    SIGTERM, and the SearchError of a trial whose cause would fail all others.
    on_event: called with everything that happens.
    """
    conductor = _Conductor(driver, finals, on_event)
    folder = Path(tempfile.mkdtemp(prefix="search-tune-"))
    trainable = tune.with_resources(
        tune.with_parameters(_trial, spec=spec, threads=resources.cpus),
        {"cpu": resources.cpus, "gpu": resources.gpus},
    )
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=_StudySearcher(conductor),
            scheduler=_StudyScheduler(conductor, resources.workers),
            num_samples=-1,
            max_concurrent_trials=resources.workers,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name=f"run-{secrets.token_hex(4)}",
            storage_path=str(folder),
            stop=_StopWhenTold(conductor),
            failure_config=tune.FailureConfig(max_failures=0),
            verbose=0,
        ),
    )
    try:
        with conductor.listening_to_signals():
            tuner.fit()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    conductor.conclude()
    return conductor.finished or "stopped"


# In the workers ----------------------------------------------------------------------------------------------------

_probe: Any = None


def _probe_of(spec: BuildsProbes, threads: int) -> Any:
    """One probe a process: with reused actors the network and its features stay loaded between trials."""
    global _probe  # noqa: PLW0603
    if _probe is None:
        _probe = spec.build(threads)
    return _probe


def _trial(config: dict[str, Any], spec: BuildsProbes, threads: int) -> None:
    """Forward each report to Tune. A failure is reported, not raised: raising would cost the actor and its network."""
    setting, seed = Setting.from_dict(config["setting"]), config["seed"]
    try:
        probe = _probe_of(spec, threads)
        for report in probe(setting) if seed is None else probe.finalise(setting, seed):
            resource = {"images": report.images} if isinstance(report, Rung) else {}
            tune.report({"report": report, **resource})
    except SearchError as error:
        tune.report({"cause": error})
    except Exception as error:  # whatever went wrong is the trial's result
        logging.getLogger(__name__).warning("trial failed:\n%s", traceback.format_exc())
        tune.report({"error": f"{type(error).__name__}: {error}".splitlines()[0]})


# In the driver -----------------------------------------------------------------------------------------------------


class _Conductor:
    """Passes messages between Tune and the driver. Nothing here raises into Tune, which would end the run unexplained:
    an error is kept, the run stops, and `conclude` raises it."""

    def __init__(self, driver: StudyDriver, finals: Finals, on_event: OnTrialEvent) -> None:
        self.driver = driver
        self.finals = finals
        self.on_event = on_event
        self.live: dict[str, TrialRequest | FinalRequest] = {}
        self.timers: dict[str, TrialTimer] = {}
        self.finished: str | None = None
        self.error: BaseException | None = None
        self.last_event = time.monotonic()
        self._queue: list[FinalRequest] = []
        self._wait_until = 0.0

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles whatever it is given, for a restore that is never made: nothing is kept there."""
        return {}

    def ask(self, trial_id: str) -> TrialRequest | FinalRequest | Wait | Finished:
        if time.monotonic() < self._wait_until and not self.error:
            return Wait()
        answer: TrialRequest | FinalRequest | Wait | Finished = Finished("stopped")
        with self._keeping_errors():
            if self.finished is None and self.error is None:
                answer = self.driver.ask()
            if isinstance(answer, TrialRequest):
                self.on_event(TrialStarted(answer))
            if isinstance(answer, Finished) and self.finished is None and self.error is None:
                self.finished = answer.reason
                self._queue = [FinalRequest(setting, seed) for setting, seed in self.finals.missing()]
                self.on_event(FinalsPlanned(len(self._queue)))
            if self.finished is not None and self._queue and self.error is None:
                answer = self._queue.pop(0)
                self.on_event(FinalStarted(answer))
        if isinstance(answer, (TrialRequest, FinalRequest)):
            self.live[trial_id] = answer
            self.timers[trial_id] = TrialTimer()
        elif isinstance(answer, Wait):
            self._wait_until = time.monotonic() + WAIT_SECONDS
        return answer

    def hear(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Take one report; True where the trial shall stop."""
        stop = True
        with self._keeping_errors():
            stop = self._take(trial_id, result)
        return stop or self.error is not None

    def _take(self, trial_id: str, result: dict[str, Any]) -> bool:
        request = self.live.get(trial_id)
        if request is None:
            return True
        report = result.get("report")
        if isinstance(report, (Extracted, Epoch, Rung)):
            self.on_event(Progressed(request, report))
        if isinstance(report, Extracted):
            self.timers[trial_id].extract(report)
        elif isinstance(report, Epoch) and isinstance(request, TrialRequest):
            if self.driver.report(request.number, report.number, report.score):
                so_far = self.timers[trial_id].evaluation(report)
                self._end(trial_id, request, "pruned", so_far, f"pruned: behind other trials at epoch {report.number}")
                return True
        elif isinstance(report, Rung) and isinstance(request, TrialRequest):
            self.timers[trial_id].report_rung(report)
            if self.driver.report_rung(request.number, result["images"], report.evaluation.score):
                reason = f"pruned: behind other trials on the same {report.images:,} images"
                self._end(trial_id, request, "pruned", report.evaluation, reason)
                return True
        elif isinstance(report, Evaluation) and isinstance(request, TrialRequest):
            self._end(trial_id, request, "complete", report)
        elif isinstance(report, Final) and isinstance(request, FinalRequest):
            del self.live[trial_id]
            self.finals.keep(report)
            self.on_event(FinalEnded(request, report))
        elif "cause" in result:  # it would fail every other trial too: the run ends, and the next asks this one again
            self.error = self.error or result["cause"]
        elif "error" in result:
            self._fail(trial_id, request, result["error"])
        return False

    def lost(self, trial_id: str, reason: str) -> None:
        """The trial ended without a last report: its process died or was stopped."""
        request = self.live.get(trial_id)
        if request is not None and self.error is None:
            with self._keeping_errors():
                self._fail(trial_id, request, reason)

    def _fail(self, trial_id: str, request: TrialRequest | FinalRequest, reason: str) -> None:
        if isinstance(request, TrialRequest):
            self._end(trial_id, request, "failed", reason=reason)
        else:
            self.error = self.error or SearchError(
                f"the final of {request.setting}, seed {request.seed} failed: {reason}"
            )

    def _end(
        self,
        trial_id: str,
        request: TrialRequest,
        state: TrialState,
        evaluation: Evaluation | None = None,
        reason: str = "",
    ) -> None:
        del self.live[trial_id]
        if evaluation is None:
            self.driver.fail(request.number, reason or "no reason given")
        elif state == "pruned":
            self.driver.prune(request.number, evaluation, reason)
        else:
            self.driver.complete(request.number, evaluation)
        self.on_event(TrialEnded(request, state, evaluation, reason or None))

    @contextmanager
    def _keeping_errors(self) -> Iterator[None]:
        self.last_event = time.monotonic()
        try:
            yield
        except Exception as error:
            self.error = self.error or error

    @property
    def stop(self) -> bool:
        """A run in which nothing runs and nothing happens is stuck; it ends rather than hangs."""
        if not self.live and not self.finished and time.monotonic() - self.last_event > STALL_SECONDS:
            self.error = self.error or SearchError(f"nothing happened for {STALL_SECONDS} s; type the command again")
        return self.error is not None

    @contextmanager
    def listening_to_signals(self) -> Iterator[None]:
        """The first Ctrl-C or SIGTERM ends the run in good order; the second is Python's own."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def on_signal(number: int, _frame: object) -> None:
            signal.signal(number, before[signal.Signals(number)])
            self.error = self.error or KeyboardInterrupt()

        for number in before:
            signal.signal(number, on_signal)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def conclude(self) -> None:
        """Raise what ended the run early, after giving up the trials in flight for the next run to ask again."""
        if self.error is not None:
            self.driver.abandon()
            raise self.error


class _StudySearcher(Searcher):  # type: ignore[misc]
    def __init__(self, conductor: _Conductor) -> None:
        super().__init__(metric="training_iteration", mode="max")  # Tune insists on one that every result has
        self._conductor = conductor

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        answer = self._conductor.ask(trial_id)
        if isinstance(answer, (TrialRequest, FinalRequest)):
            seed = answer.seed if isinstance(answer, FinalRequest) else None
            return {"setting": answer.setting.to_dict(), "seed": seed}
        finished: str = Searcher.FINISHED
        return None if isinstance(answer, Wait) else finished

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self._conductor.lost(trial_id, "the worker process died" if error else "the trial ended without a result")

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study database is the only state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the study database is the only state."""


class _StudyScheduler(FIFOScheduler):  # type: ignore[misc]
    def __init__(self, conductor: _Conductor, workers: int) -> None:
        super().__init__()
        self._conductor = conductor
        self._workers_to_keep = workers

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Tune keeps one idle actor and ends the others, with the network and the images that they have loaded. All
        ask for the same, so that all can be kept: the finals follow trials on every worker. (No public option does.)
        """
        if self._workers_to_keep:
            tune_controller._tune_controller._actor_cache.increase_max(
                trial.placement_group_factory, by=self._workers_to_keep
            )
            self._workers_to_keep = 0

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        stop = self._conductor.hear(trial.trial_id, result)
        decision: str = self.STOP if stop else self.CONTINUE
        return decision

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        cause = trial.get_pickled_error() or trial.get_error()
        last_line = (str(cause).strip().splitlines() or ["unknown"])[-1] if cause else "unknown"
        self._conductor.lost(trial.trial_id, f"the worker process died: {last_line}")


class _StopWhenTold(Stopper):  # type: ignore[misc]
    def __init__(self, conductor: _Conductor) -> None:
        self._conductor = conductor

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._conductor.stop
