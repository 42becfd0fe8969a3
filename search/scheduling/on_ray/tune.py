"""Runs a screening, trials, finals and baselines with Ray Tune, on one machine or a cluster.

Ray Tune only executes. The `StudyDriver` decides which setting is tried next, when a trial stops, and when the study is
finished; the `Coordinator` passes messages between the two. Workers never touch the database.
"""

import importlib
import importlib.metadata
import pickle
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import RayActorError, RayTaskError
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher
from ray.tune.stopper import Stopper

from search.scheduling.coordinator import Coordinator
from search.scheduling.events import OnTrialEvent
from search.scheduling.on_ray.deaths import Deaths
from search.scheduling.requests import NoTrialYet, Request
from search.scheduling.resources import Resources
from search.scheduling.stages import Baselines, Control, Finals, Screening
from search.scheduling.trials.driver import StudyDriver
from search.scheduling.worker import ProbeFactory
from spaces import StorageError

DISTRIBUTION = "diffusion-feature-search"
CLEANUP_SECONDS = 2
"""Seconds that a worker has for ending what it runs when the run ends."""

PACKAGES = ("search", "objectives", "spaces")
"""Our packages that a worker imports."""


def run_study(
    driver: StudyDriver,
    spec: ProbeFactory,
    finals: Finals,
    resources: Resources,
    folder: Path,
    on_event: OnTrialEvent,
    screening: Screening | None = None,
    baselines: Baselines | None = None,
    shared_file: Path | None = None,
    control: Control | None = None,
) -> str:
    """Run the screening, if any, then trials until the driver has no more, then finals and baselines.

    Return the reason why no further trial is made: the driver's, or that of the control.

    All run on the same workers, which have the network and the images loaded. folder: for temporary files. on_event:
    called with everything that happens. shared_file: a file in the cache folder; a worker of a cluster that does not
    see it has a cache of its own, and copies from other machines. Raises KeyboardInterrupt after Ctrl-C or SIGTERM, and
    the SearchError of a trial whose cause would fail all other trials too.
    """
    coordinator = Coordinator(driver, finals, on_event, screening, baselines, control)
    trainable = tune.with_resources(
        tune.with_parameters(_trainable(resources, shared_file), spec=pickle.dumps(spec)),
        resources.of_worker,
    )
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=_StudySearcher(coordinator),
            scheduler=_StudyScheduler(coordinator, resources.workers, Deaths(_logs(resources))),
            num_samples=-1,
            max_concurrent_trials=resources.workers,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name=f"run-{secrets.token_hex(4)}",
            storage_path=str(folder / "tune"),
            stop=_EarlyStopper(coordinator),
            failure_config=tune.FailureConfig(max_failures=0),  # what is tried again, and how often, is ours
            callbacks=[_StartListener(coordinator)],
            verbose=0,
        ),
    )
    try:
        with coordinator.handling_signals(), _every_death_as_of_an_actor():
            tuner.fit()
    except Exception:  # of Ray Tune itself
        with suppress(StorageError):  # the first error says more
            driver.abandon()
        raise
    coordinator.raise_error()
    return coordinator.reason or "stopped"


# In the workers ----------------------------------------------------------------------------------------------------


def _trainable(resources: Resources, shared_file: Path | None) -> Callable[..., None]:
    """Return the function that a worker calls for each trial. It checks the worker before it imports any of our code.

    It uses nothing of this module: Ray sends an inner function by value, and a function of a module by its name.
    """
    distribution, packages, driver_node = DISTRIBUTION, PACKAGES, ray.get_runtime_context().get_node_id()
    version = importlib.metadata.version(distribution)
    working_directory, threads, gpus = Path.cwd(), resources.cpus, resources.gpus
    shared_file = None if resources.address is None else shared_file
    folders = {name: str(Path(str(importlib.import_module(name).__file__)).parent.resolve()) for name in packages}

    def run_trial(config: dict[str, Any], spec: bytes) -> None:
        import importlib
        import importlib.metadata
        import os
        import pickle
        from pathlib import Path

        import ray
        from ray import tune

        fault = None
        try:
            if working_directory.is_dir():
                os.chdir(working_directory)  # a relative path in a variable such as HF_HOME means the driver's
            for name in packages:
                folder = str(Path(str(importlib.import_module(name).__file__)).parent.resolve())
                if folder != folders[name] and ray.get_runtime_context().get_node_id() == driver_node:
                    fault = f"it imports `{name}` from {folder}, and the driver from {folders[name]}"
            if (installed := importlib.metadata.version(distribution)) != version:
                fault = (
                    f"it has {distribution} {installed}, and the driver {version}; install the same on every machine"
                )
        except Exception as error:
            fault = f"it cannot import {distribution}: {type(error).__name__}: {error}"
        if fault is not None:
            tune.report({"unfit": f"the worker on {ray.util.get_node_ip_address()} cannot be used: {fault}"})
            return
        from search.scheduling.worker import run_request

        if shared_file is not None and not shared_file.exists():
            from objectives.features.cache.other_machines import COPIES
            from search.scheduling.on_ray.machines import RayMachines

            COPIES.machines = COPIES.machines or RayMachines()
        run_request(pickle.loads(config["request"]), pickle.loads(spec), threads, gpus, tune.report)

    return run_trial


# In the driver process ---------------------------------------------------------------------------------------------


def _logs(resources: Resources) -> Path | None:
    """Return the folder of the logs of a private Ray; None on a cluster, where each machine has its own."""
    return Path(ray._private.worker._global_node.get_logs_dir_path()) if resources.address is None else None


class _StudySearcher(Searcher):  # type: ignore[misc]
    """Tells Ray Tune which setting is next."""

    def __init__(self, coordinator: Coordinator) -> None:
        super().__init__(metric="training_iteration", mode="max")  # Tune requires a metric that every result has
        self._coordinator = coordinator

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        answer = self._coordinator.next_request(trial_id)
        if isinstance(answer, Request):
            return {"request": pickle.dumps(answer)}
        finished: str = Searcher.FINISHED
        return None if isinstance(answer, NoTrialYet) else finished

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if not error:  # else the scheduler, which Tune tells first, has said why
            self._coordinator.handle_end(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the study database is the only state."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing: the study database is the only state."""


class _StudyScheduler(FIFOScheduler):  # type: ignore[misc]
    """Tells Ray Tune when a trial stops, and makes it keep every worker."""

    def __init__(self, coordinator: Coordinator, workers: int, deaths: Deaths) -> None:
        super().__init__()
        self._coordinator = coordinator
        self._deaths = deaths
        self._workers_to_keep = workers

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Keep all idle workers alive until the end.

        Tune keeps one idle actor and ends the others, with the network and the images that they have loaded. Here all
        trials need the same resources, so every actor can be reused: by the finals, which follow the trials. No public
        option does this, so a test checks the private attributes that are used here.
        """
        if self._workers_to_keep:
            # A worker that is fitting when the run ends is killed after this time, not after ten seconds.
            tune_controller._tune_controller._actor_force_cleanup_timeout = CLEANUP_SECONDS
            tune_controller._tune_controller._actor_cache.increase_max(
                trial.placement_group_factory, by=self._workers_to_keep
            )
            self._workers_to_keep = 0

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        stop = self._coordinator.handle_result(trial.trial_id, result)
        decision: str = self.STOP if stop else self.CONTINUE
        return decision

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        error = Path(trial.error_file).read_text("utf-8", "replace") if trial.error_file else ""
        self._coordinator.handle_loss(trial.trial_id, self._deaths.reason(error))


class _StartListener(tune.Callback):  # type: ignore[misc]
    """Tells the coordinator which requests have reached a worker process."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._coordinator.handle_start(trial.trial_id)


@contextmanager
def _every_death_as_of_an_actor() -> Iterator[None]:
    """Let Ray Tune end the trial alone of a worker that died, whatever Ray says of its death.

    Tune expects a RayActorError. Ray raises other errors for a worker that it killed because the machine was out of
    memory, and for results that were lost with their machine. At those, Tune would end the run. No public option
    changes this, so a test checks the private method that is replaced here.
    """
    original = RayActorManager._actor_task_failed

    def task_failed(manager: RayActorManager, tracked_actor_task: Any, exception: Exception) -> None:
        if not isinstance(exception, (RayActorError, RayTaskError)):
            exception = RayActorError(error_msg=f"{type(exception).__name__}: {exception}")
        original(manager, tracked_actor_task, exception)

    RayActorManager._actor_task_failed = task_failed
    try:
        yield
    finally:
        RayActorManager._actor_task_failed = original


class _EarlyStopper(Stopper):  # type: ignore[misc]
    """Ends the whole run when the coordinator says so."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._coordinator.stop
