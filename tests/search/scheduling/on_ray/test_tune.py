"""Real Ray, a real study database, and an objective of a few lines in place of a network."""

import importlib.metadata
import inspect
import os
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest

import objectives
from objectives.results import (
    Accuracy,
    Epoch,
    Evaluation,
    Extracted,
    Final,
    ImageScores,
    Reevaluation,
    Report,
    Rung,
)
from search.database.records import RunRecord, StudyRecord
from search.database.store import Store
from search.running.run_folder import run_folder
from search.samplers.catalog import sampler_named
from search.scheduling.events import (
    TrialEnded,
    TrialEvent,
)
from search.scheduling.on_ray.session import RaySession
from search.scheduling.requests import FinalRequest, TrialRequest
from search.scheduling.resources import Resources
from search.scheduling.trials.driver import MAX_FAILURES, StudyDriver
from spaces import Architecture, Block, CacheError, SearchError, Setting, Space
from tests.support.study_listeners import Heard, TwoFinals

ARCHITECTURE = Architecture(
    "made-up",
    8,
    tuple(Block(n, f"b{n}", "encoder", 4, 8, 0.1, 0.1 * n) for n in range(1, 9)),
    tuple(0.99 - 0.098 * t for t in range(10)),
)
SPACE = Space(ARCHITECTURE, (0, 3, 6), tuple(range(1, 9)), (1, 2), ("linear", "mlp"))


IMAGE_SCORES = ImageScores(b"\1\0\0\0", b"\0\0\x80?")


@dataclass(frozen=True)
class Hill:
    """Best at block 5, t 3, pool 2; mlp loses. trouble: what happens, at block 2 where it is of one setting.
    processes: where each that makes trials, and each that makes finals, leaves a file and waits for another such.
    deaths: where each kind of request leaves a file when it kills its process, which it does once."""

    trouble: str = ""
    halving: bool = False
    processes: Path | None = None
    deaths: Path | None = None

    def build(self, threads: int) -> "Hill":
        if self.trouble == "no library":
            raise ModuleNotFoundError("No module named 'diffusers'")
        if self.trouble == "death at start":
            os.kill(os.getpid(), signal.SIGKILL)
        return self

    def meet(self, what: str) -> None:
        if self.processes is not None:
            (self.processes / f"{what} {os.getpid()}").touch()
            while len(list(self.processes.glob(f"{what} *"))) < 2:
                time.sleep(0.1)

    def die_once(self, what: str) -> None:
        if self.deaths is not None and not (self.deaths / what).exists():
            (self.deaths / what).touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def __call__(self, setting: Setting) -> Iterator[Report]:
        yield Extracted(10, 10, 10)
        self.meet("trials")
        self.die_once("trial")
        if setting.block == 2 and self.trouble == "error":
            raise ValueError("block 2 is no good\nsecond line")
        if setting.block == 2 and self.trouble == "death":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.trouble == "disk":
            raise CacheError("the disk of /cache is full")
        if self.trouble == "slow":
            time.sleep(0.5)
        accuracy = self.accuracy(setting)
        if self.halving:
            yield Rung(1, 4, Evaluation(accuracy, {"fit": 0.0005}, 4, 8))
        if setting.head == "mlp":
            yield from (Epoch(number, accuracy) for number in range(1, 8))
        yield Evaluation(accuracy, {"fit": 0.001}, 10, 20, {"l2": 0.1})

    def accuracy(self, setting: Setting) -> Accuracy:
        score = 90 - 6 * abs(setting.block - 5) - 3 * abs((setting.timestep or 0) - 3) + 2 * setting.pool
        return Accuracy(score - (30 if setting.head == "mlp" else 0), 100)

    def reevaluate(self, setting: Setting, seed: int) -> Iterator[Report | Reevaluation]:
        yield Extracted(10, 10, 10)
        self.die_once("candidate")
        yield Reevaluation(setting, seed, self.accuracy(setting), 0.1, 10, 20, IMAGE_SCORES)

    def finalise(self, setting: Setting, seed: int) -> Iterator[Report | Final]:
        self.meet("finals")
        yield Extracted(10, 10, 10)
        self.die_once("test")
        yield Epoch(1, Accuracy(1, 2))
        yield Final(setting, seed, self.accuracy(setting), self.accuracy(setting), 0.1, 10, 20)


@pytest.fixture(scope="module", autouse=True)
def ray() -> Iterator[None]:
    with run_folder() as folder, RaySession(Resources(workers=2), folder) as session:
        session.wait()
        yield


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path / 'studies.db'}") as opened:
        yield opened


def search(
    store: Store,
    trials: int,
    spec: Hill | None = None,
    seed: int = 0,
    sampler: str = "tpe",
    heard: Heard | None = None,
    workers: int = 2,
) -> tuple[str, str, Heard]:
    """One run to `trials` finished ones: the study's name, why it ended, what was heard."""
    from search.scheduling.on_ray.tune import run_study  # Ray reads its variables, which the session sets, on import

    facts = StudyRecord(
        "made-up", "f" * 64, "hill", "w" * 64, "default", SPACE, ("a", "b"), {"train": 8}, {"seed": "0"}
    )
    name = store.ensure_study(facts)
    run_id = store.begin_run(name, RunRecord(workers, "search run", {}))
    driver = StudyDriver(store, name, SPACE, sampler_named(sampler, seed), seed=seed, budget=trials, run_id=run_id)
    driver.reconcile()
    heard = heard or Heard()
    try:
        with tempfile.TemporaryDirectory() as folder:
            finals = TwoFinals(store, name)
            reason = run_study(driver, spec or Hill(), finals, Resources(workers), Path(folder), heard)
    finally:
        store.end_run(run_id, "finished")
    return name, reason, heard


@pytest.mark.slow
def test_a_study_runs_to_its_budget_and_continues_without_repetition(store: Store) -> None:
    name, reason, heard = search(store, 30)
    study = store.read_study(name)
    assert "30 finished trials" in reason
    assert study.finished == len(study.trials) == len(heard.states) == 30
    assert heard.extracted_images == 10 * (30 + 2 + 2)
    assert heard.at_work == []
    name, _, heard = search(store, 40)
    study = store.read_study(name)
    assert len(heard.states) == 10
    settings = [trial.setting for trial in study.trials]
    assert len(set(settings)) == len(settings) == 40
    assert study.complete[0].setting.block in (4, 5, 6)


@pytest.mark.slow
def test_heads_that_train_in_epochs_are_pruned_when_behind(store: Store) -> None:
    name, _, heard = search(store, 60, seed=3)
    pruned = [trial for trial in store.read_study(name).trials if trial.state == "pruned"]
    assert heard.states.count("pruned") == len(pruned) > 0
    assert {trial.setting.head for trial in pruned} == {"mlp"}
    assert all(len(trial.curve) < 7 for trial in pruned)


@pytest.mark.slow
def test_a_trial_that_is_behind_on_a_rung_stops_there(store: Store) -> None:
    name, _, heard = search(store, 16, Hill(halving=True), sampler="random", workers=1)
    study = store.read_study(name)
    pruned = [trial for trial in study.trials if trial.state == "pruned" and not trial.curve]
    assert study.finished == heard.states.count("pruned") + heard.states.count("complete") == 16
    assert 4 <= len(pruned) <= 14
    assert {trial.reason for trial in pruned} == {"pruned: behind other trials on the same 4 images"}
    assert {(trial.passes_made, trial.passes_needed, trial.seconds["fit"]) for trial in pruned} == {(4, 8, 0.0005)}
    best = Hill().accuracy(study.complete[0].setting).value
    assert all(Hill().accuracy(trial.setting).value < best for trial in pruned)


def test_finals_follow_the_trials_on_the_same_workers_and_are_stored(store: Store, tmp_path: Path) -> None:
    processes = tmp_path / "processes"
    processes.mkdir()
    name, _, heard = search(store, 6, Hill(processes=processes))
    made = {what: {path.name.split()[1] for path in processes.glob(f"{what} *")} for what in ("trials", "finals")}
    assert made["finals"] == made["trials"]
    assert heard.planned == [(2, False, 2), (2, True, 0)]
    assert [isinstance(final, Final) for final in heard.finals] == [False, False, True, True]
    study = store.read_study(name)
    assert sorted(final.seed for final in study.finals) == [1, 2]
    assert {one.setting for one in study.reevaluations} == {trial.setting for trial in study.complete[:2]}
    assert study.reevaluations[0].image_scores == IMAGE_SCORES


def test_a_failing_setting_is_stored_with_its_reason_and_stops_no_other(store: Store) -> None:
    name, _, heard = search(store, 30, Hill("error"), sampler="random", workers=1)
    study = store.read_study(name)
    failed = [trial for trial in study.trials if trial.state == "failed"]
    assert len(failed) == heard.states.count("failed") > 0
    assert {trial.setting.block for trial in failed} == {2}
    assert {trial.reason for trial in failed} == {"ValueError: block 2 is no good"}
    assert study.finished == 30


@pytest.mark.slow
def test_a_run_in_which_every_trial_fails_ends_with_the_reason(store: Store) -> None:
    """The grid comes to block 2 after the 26 settings of block 1, and would stay there for 26."""
    name, reason, _ = search(store, 100, Hill("error"), sampler="grid")
    assert "trials failed with none succeeding between; the last: ValueError: block 2 is no good" in reason
    # Eleven in a row end it; a last setting of block 1 on the other worker may succeed late and begin the row again.
    assert store.read_study(name).count("failed") < 2 * (MAX_FAILURES + 1) + 2 < 26


@pytest.mark.slow
def test_what_loses_its_worker_is_tried_again_by_another_one(store: Store, tmp_path: Path) -> None:
    """A trial, the comparison of a candidate and the test of the answer lose their worker once each."""
    deaths = tmp_path / "deaths"
    deaths.mkdir()
    name, reason, heard = search(store, 4, Hill(deaths=deaths), sampler="random")
    study, killed = store.read_study(name), "its worker process was killed by signal 9"
    assert "4 finished trials" in reason
    assert [(type(retry.request), retry.reason, retry.attempt) for retry in heard.retries] == [
        (TrialRequest, killed, 2),
        (FinalRequest, killed, 2),
        (FinalRequest, killed, 2),
    ]
    (lost,) = (trial for trial in study.trials if trial.state == "failed")
    assert lost.reason == killed
    assert lost.setting in {trial.setting for trial in study.trials if trial.state in ("complete", "pruned")}
    assert (study.finished, len(study.trials)) == (4, 5)
    assert sorted(final.seed for final in study.finals) == [1, 2]
    assert len(study.reevaluations) == 2
    assert heard.at_work == []


@pytest.mark.slow
def test_a_setting_that_always_kills_its_worker_is_tried_three_times_and_the_search_continues(store: Store) -> None:
    name, _, _ = search(store, 20, Hill("death"), sampler="random")
    study = store.read_study(name)
    dead = [trial for trial in study.trials if trial.state == "failed"]
    assert dead
    assert {trial.reason for trial in dead} == {"its worker process was killed by signal 9"}
    assert set(Counter(trial.setting for trial in dead).values()) == {3}
    assert study.finished == 20


@pytest.mark.slow
def test_an_error_that_would_fail_every_trial_ends_the_run_and_loses_no_trial(store: Store) -> None:
    with pytest.raises(CacheError, match="the disk of /cache is full"):
        search(store, 10, Hill("disk"))
    name, _, _ = search(store, 10, workers=1)
    study = store.read_study(name)
    assert study.finished == 10
    assert study.count("running") == 0


STARTS = {
    "no library": "a worker cannot start: ModuleNotFoundError: No module named 'diffusers'",
    "death at start": "no worker can start: its worker process was killed by signal 9, 3 times in a row",
    "other version": r"the worker on [\d.]+ cannot be used: it has diffusion-feature-search .*, and the driver 9.9;",
    "other files": "cannot be used: it imports `objectives` from .*objectives, and the driver from /elsewhere",
}


@pytest.mark.slow
@pytest.mark.parametrize("trouble", STARTS)
def test_a_worker_that_cannot_start_ends_the_run_with_the_reason_and_loses_no_setting(
    store: Store, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as driver:
        if trouble == "other version":
            driver.setattr(importlib.metadata, "version", lambda name: "9.9")
        if trouble == "other files":
            driver.setattr(objectives, "__file__", "/elsewhere/objectives/__init__.py")
        with pytest.raises(SearchError, match=STARTS[trouble]) as raised:
            search(store, 10, Hill(trouble))
    assert "\n" not in str(raised.value)
    assert "unknown" not in str(raised.value)
    name, _, _ = search(store, 4)
    trials = store.read_study(name).trials
    lost, finished = (
        {trial.setting for trial in trials if trial.state == state} for state in ("interrupted", "complete")
    )
    assert lost
    assert lost <= finished


class FaultyHeard(Heard):
    """A listener with a fault of its own."""

    def __call__(self, event: TrialEvent) -> None:
        if isinstance(event, TrialEnded):
            raise RuntimeError("the terminal went away")
        super().__call__(event)


@pytest.mark.slow
def test_an_error_in_the_driver_process_ends_the_run_and_is_raised_unchanged(store: Store) -> None:
    with pytest.raises(RuntimeError, match="the terminal went away"):
        search(store, 10, heard=FaultyHeard())
    name = store.find_study()
    assert 1 <= store.read_study(name).finished < 10
    assert store.read_study(name).count("running") == 0


@pytest.mark.slow
def test_ctrl_c_abandons_the_running_trials_and_the_next_run_repeats_them(store: Store) -> None:
    timer, handler = threading.Timer(4, os.kill, (os.getpid(), signal.SIGINT)), signal.getsignal(signal.SIGINT)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        search(store, 90, Hill("slow"))
    timer.cancel()
    assert signal.getsignal(signal.SIGINT) is handler
    name = store.find_study()
    before = store.read_study(name)
    assert before.count("running") == 0
    interrupted = {trial.setting for trial in before.trials if trial.state == "interrupted"}
    assert interrupted
    finished = before.finished
    search(store, finished + len(interrupted))
    after = store.read_study(name)
    assert interrupted <= {trial.setting for trial in after.trials if trial.state in ("complete", "pruned")}


def test_ray_tune_still_has_the_private_parts_that_keep_workers_alive_and_learn_of_their_death() -> None:
    words = "changed how it keeps workers or learns of their death: see search/scheduling/on_ray/tune.py"
    changed = f"Ray {version('ray')} {words}"
    try:
        from ray.air.execution._internal.actor_manager import RayActorManager
        from ray.tune.execution.tune_controller import TrialRunnerWrapper, TuneController
        from ray.tune.utils.object_cache import _ObjectCache
    except ImportError as error:
        pytest.fail(f"{changed} ({error})")
    assert "_tune_controller" in TrialRunnerWrapper.__init__.__code__.co_names, changed
    assert "_actor_cache" in TuneController.__init__.__code__.co_names, changed
    assert "_actor_force_cleanup_timeout" in TuneController.__init__.__code__.co_names, changed
    parameters = list(inspect.signature(RayActorManager._actor_task_failed).parameters)
    assert parameters == ["self", "tracked_actor_task", "exception"], changed
    cache = _ObjectCache(may_keep_one=True)
    assert hasattr(cache, "increase_max"), changed
    cache.increase_max("workers", by=2)
    assert cache.total_max_objects == 2, changed
