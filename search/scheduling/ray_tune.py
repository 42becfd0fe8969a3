"""Runs trials and finals with Ray Tune, on one machine or a cluster.

Ray Tune only executes. The `StudyDriver` decides which setting is tried next, when a trial stops, and when the study is
finished; the `Coordinator` passes messages between the two. Workers never touch the database.
"""

import logging
import secrets
import shutil
import tempfile
import traceback
from pathlib import Path
from typing import Any, Protocol

from ray import tune
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher
from ray.tune.stopper import Stopper

from objectives.results import Rung
from search.scheduling.coordinator import Coordinator, Finals
from search.scheduling.driver import NoTrialYet, StudyDriver
from search.scheduling.events import OnTrialEvent
from search.scheduling.requests import FinalRequest, TrialRequest
from search.scheduling.resources import Resources
from search.scheduling.retries import is_machine_fault
from spaces import SearchError, Setting


class ProbeFactory(Protocol):
    """Makes a probe in each worker, as `objectives.probe_builder.ProbeBuilder` does. It must be picklable."""

    def build(self, threads: int) -> Any:
        """Return a callable `probe(setting)` that yields reports.

        It has a method `finalise(setting, seed)`, which yields reports and at last a Final.
        """
        ...


def run_study(
    driver: StudyDriver, spec: ProbeFactory, finals: Finals, resources: Resources, on_event: OnTrialEvent
) -> str:
    """Run trials until the driver has no more, then the finals. Return the driver's reason.

    Finals run on the same workers, which have the network and the images loaded. on_event: called with everything that
    happens. Raises KeyboardInterrupt after Ctrl-C or SIGTERM, and the SearchError of a trial whose cause would fail all
    other trials too.
    """
    coordinator = Coordinator(driver, finals, on_event)
    folder = Path(tempfile.mkdtemp(prefix="search-tune-"))
    trainable = tune.with_resources(
        tune.with_parameters(_run_trial, spec=spec, threads=resources.cpus),
        {"cpu": resources.cpus, "gpu": resources.gpus},
    )
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=_StudySearcher(coordinator),
            scheduler=_StudyScheduler(coordinator, resources.workers),
            num_samples=-1,
            max_concurrent_trials=resources.workers,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name=f"run-{secrets.token_hex(4)}",
            storage_path=str(folder),
            stop=_EarlyStopper(coordinator),
            failure_config=tune.FailureConfig(max_failures=0),
            verbose=0,
        ),
    )
    try:
        with coordinator.handling_signals():
            tuner.fit()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    coordinator.raise_error()
    return coordinator.reason or "stopped"


# In the workers ----------------------------------------------------------------------------------------------------

_probe: Any = None


def _probe_of(spec: ProbeFactory, threads: int) -> Any:
    """Return the process's only probe. Actors are reused, so network and features stay loaded between trials."""
    global _probe  # noqa: PLW0603
    if _probe is None:
        _probe = spec.build(threads)
    return _probe


def _run_trial(config: dict[str, Any], spec: ProbeFactory, threads: int) -> None:
    """Forward each report to Tune. A failure is reported, not raised: raising would cost the actor and its network."""
    setting, seed = Setting.from_dict(config["setting"]), config["seed"]
    try:
        probe = _probe_of(spec, threads)
        for report in probe(setting) if seed is None else probe.finalise(setting, seed):
            images = {"images": report.images} if isinstance(report, Rung) else {}
            tune.report({"report": report, **images})
    except SearchError as error:
        tune.report({"cause": error})
    except Exception as error:  # any other error is the result of this trial
        logging.getLogger(__name__).warning("trial failed:\n%s", traceback.format_exc())
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        tune.report({"error": reason, "by_machine": is_machine_fault(error)})


# In the driver process ---------------------------------------------------------------------------------------------


class _StudySearcher(Searcher):  # type: ignore[misc]
    """Tells Ray Tune which setting is next."""

    def __init__(self, coordinator: Coordinator) -> None:
        super().__init__(metric="training_iteration", mode="max")  # Tune requires a metric that every result has
        self._coordinator = coordinator

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        answer = self._coordinator.next_request(trial_id)
        if isinstance(answer, (TrialRequest, FinalRequest)):
            seed = answer.seed if isinstance(answer, FinalRequest) else None
            return {"setting": answer.setting.to_dict(), "seed": seed}
        finished: str = Searcher.FINISHED
        return None if isinstance(answer, NoTrialYet) else finished

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        reason = "the worker process died" if error else "the trial ended without a result"
        self._coordinator.handle_loss(trial_id, reason)

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the study database is the only state."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing: the study database is the only state."""


class _StudyScheduler(FIFOScheduler):  # type: ignore[misc]
    """Tells Ray Tune when a trial stops, and makes it keep every worker."""

    def __init__(self, coordinator: Coordinator, workers: int) -> None:
        super().__init__()
        self._coordinator = coordinator
        self._workers_to_keep = workers

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Keep all idle workers alive until the end.

        Tune keeps one idle actor and ends the others, with the network and the images that they have loaded. Here all
        trials need the same resources, so every actor can be reused: by the finals, which follow the trials. No public
        option does this, so a test checks the private attributes that are used here.
        """
        if self._workers_to_keep:
            tune_controller._tune_controller._actor_cache.increase_max(
                trial.placement_group_factory, by=self._workers_to_keep
            )
            self._workers_to_keep = 0

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        stop = self._coordinator.handle_result(trial.trial_id, result)
        decision: str = self.STOP if stop else self.CONTINUE
        return decision

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        cause = trial.get_pickled_error() or trial.get_error()
        last_line = (str(cause).strip().splitlines() or ["unknown"])[-1] if cause else "unknown"
        self._coordinator.handle_loss(trial.trial_id, f"the worker process died: {last_line}")


class _EarlyStopper(Stopper):  # type: ignore[misc]
    """Ends the whole run when the coordinator says so."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._coordinator.stop
