"""Turns the events of a run into the progress of its job, as plain data for the database."""

import time
from collections.abc import Callable
from typing import Any, final

from objectives.results import ACCURACY, StudyResults
from search.estimate import RunEstimate
from search.events import (
    BaselineStarted,
    Event,
    FinalsPlanned,
    PartStarted,
    RunFinished,
    RunPrepared,
    SearchEnded,
    SearchStarted,
    TrialEnded,
    TrialStarted,
)
from search.scheduling.events import Paused, Resumed, TrialEvent


@final
class JobProgress:
    """How far the run of a job is.

    study: the name of its study, once that is known. clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.study: str | None = None
        self._clock = clock
        self._stage = "preparing"
        self._is_paused = False
        self._trials: int | None = None
        self._finished = 0
        self._metric = ACCURACY
        self._best: float | None = None  # higher is better
        self._estimate: RunEstimate | None = None

    def __call__(self, event: Event) -> None:
        """Take an event into account."""
        match event:
            case RunPrepared(study):
                self.study = study
            case SearchStarted(results, trials, _, workload):
                self._stage, self._trials, self._finished = "starting", trials, results.finished
                self._begin(results)
                self._estimate = RunEstimate(workload, self._clock())
            case PartStarted():
                self._stage = "screening"
            case TrialStarted():
                self._stage = "trials"
            case TrialEnded():
                self._end_trial(event)
            case Paused():
                self._is_paused = True
            case Resumed():
                self._is_paused = False
            case FinalsPlanned(_, test):
                self._stage = "test" if test else "comparison"
            case BaselineStarted():
                self._stage = "baselines"
            case SearchEnded():
                self._stage, self._estimate, self._is_paused = "report", None, False
            case RunFinished(results):
                self._is_paused = False
                self._stage, self._finished = "finished", results.finished
                self._trials = self._trials or results.finished
                self._begin(results)
        if self._estimate is not None and isinstance(event, TrialEvent):
            self._estimate(event, self._clock())

    def record(self) -> dict[str, Any]:
        """Return the progress, ready for JSON.

        stage: "preparing", "starting", "screening", "trials", "comparison", "test", "baselines", "report",
        "finished", or "paused" where a person paused the study. finished: the finished trials of the study. trials: how
        many it shall have. unit: what is counted.
        metric: its name. best: the best value of the metric on validation so far. seconds_left: of the run, as far as
        they can be estimated, and not while it is paused. None for what is not known.
        """
        estimate = None if self._is_paused else self._estimate
        left = None if estimate is None else round(estimate.seconds_left(self._clock()))
        return {
            "stage": "paused" if self._is_paused else self._stage,
            "finished": self._finished,
            "trials": self._trials,
            "unit": "trials",
            "metric": self._metric.name,
            "best": None if self._best is None else self._metric.score(self._best),
            "seconds_left": left,
        }

    def _end_trial(self, event: TrialEnded) -> None:
        if event.state in ("complete", "pruned"):
            self._finished += 1
        if event.state == "complete" and event.evaluation is not None:
            score = event.evaluation.score
            self._best = score if self._best is None else max(self._best, score)

    def _begin(self, results: StudyResults) -> None:
        """Take over what a study has."""
        self._metric = results.metric
        estimate = results.complete[0].estimate(results.metric) if results.complete else None
        if estimate is not None:
            self._best = self._metric.score(estimate.value)


def screening_progress(stage: str, done: int, total: int, unit: str) -> dict[str, Any]:
    """Return the progress of a job that recommends a setting or exports a classifier, as `JobProgress.record` does.

    unit: "passes" or "settings", whichever is counted now.
    """
    return {
        "stage": stage,
        "finished": done,
        "trials": total,
        "unit": unit,
        "metric": None,
        "best": None,
        "seconds_left": None,
    }
