"""The limits of one run: its time, its patience, its target, and what people want of it while it works."""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

from dashboards.formatting import duration
from objectives.results import Metric, StudyResults, Trial
from search.database.connection.outages import OutageError
from search.estimate import RunEstimate
from search.events import Event, SearchStarted, TrialEnded
from search.options.run_options import RunOptions
from search.running.stop_rules import (
    SHARE_OF_SCREENING,
    TimePlan,
    TrialScore,
    is_patience_over,
    is_target_reached,
    streak_of,
)
from search.scheduling.events import TrialEvent
from search.scheduling.requests import BaselineRequest, FinalRequest
from search.workload import START_SECONDS
from spaces import StorageError

if TYPE_CHECKING:
    from search.database.records import StudyRequest
    from search.database.store import Store

POLL_SECONDS = 1.0
"""Pause between two looks at what people want of the run."""

END_SECONDS = 4.0
"""Seconds from the last work of a worker to the end of the process, beside those of the report."""

SLOW = 2.0
"""A machine may be so many times slower than is expected before anything was measured."""

CAUTION = 1.3
"""A comparison begins if so many times its expected seconds are left: one that is cut off is lost."""

SHARE_OF_START = 0.2
"""The end takes longer by this share of the seconds that the run took to begin: on a busy machine both are slow."""

STOPPED, STOPPED_NOW = "`search stop` ended it", "`search stop --now` ended it"


@final
@dataclass
class RunLimits:
    """The control of one run, see `search.scheduling.stages.Control`. It learns from the events that it is called with.

    began: of the run. before: the study when the run began. expected: returns the improvement that the sampler expects,
    see `search.samplers.proposers.expected_improvement`. clock: seconds; that of `began`.
    """

    options: RunOptions
    began: float
    before: StudyResults
    expected: Callable[[], float | None] = lambda: None
    clock: Callable[[], float] = time.monotonic
    request: "StudyRequest | None" = None
    _scores: list[TrialScore | None] = field(init=False)
    _estimate: RunEstimate | None = None
    _prepared: float = 0.0
    _working_since: float = math.inf
    _ends_trials: bool = False
    _has_said_time: bool = False
    _ends_comparison: bool = False

    def __post_init__(self) -> None:
        finished = [trial for trial in self.before.trials if trial.state in ("complete", "pruned")]
        finished.sort(key=lambda trial: trial.finished or 0.0)
        self._scores = [score_of(trial, self.before.metric) for trial in finished]

    # What happens

    def __call__(self, event: Event) -> None:
        """Take an event into account."""
        if isinstance(event, SearchStarted):
            self._prepared = self.clock()
            self._estimate = RunEstimate(event.workload, self._prepared)
        elif isinstance(event, TrialEvent) and self._estimate is not None:
            self._working_since = min(self._working_since, self.clock())
            self._estimate(event, self.clock())
        if isinstance(event, TrialEnded) and event.state in ("complete", "pruned"):
            evaluation, number = event.evaluation, event.request.number
            validation, scores = (None, None) if evaluation is None else (evaluation.validation, evaluation.scores)
            trial = Trial(number, event.state, event.request.setting, validation=validation, scores=scores)
            self._scores.append(score_of(trial, self.before.metric))

    @contextmanager
    def watching(self, store: "Store", study: str) -> Iterator[None]:
        """Look about once a second for what people want of the study's runs, in a thread, until the block ends.

        Nothing is said of a database that does not answer: the run says so when it needs it.
        """
        stop = threading.Event()

        def watch() -> None:
            while not stop.wait(POLL_SECONDS):
                try:
                    self.request = store.read_request(study)
                except OutageError:
                    pass
                except StorageError as error:
                    logging.getLogger(__name__).warning("cannot see whether the run shall stop: %s", error)

        thread = threading.Thread(target=watch, name="requests", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(POLL_SECONDS)

    # What follows

    @property
    def seconds_left(self) -> float | None:
        """The seconds until the time limit; None without one."""
        limit = self.options.time_limit
        return None if limit is None else max(self.began + limit - self.clock(), 0.0)

    @property
    def is_paused(self) -> bool:
        return self.request == "pause"

    @property
    def skips_screening(self) -> bool:
        plan = self._plan
        return plan is not None and self.clock() > plan.last_screening

    @property
    def gives_back(self) -> bool:
        plan = self._plan
        return plan is not None and self.clock() > plan.last_result

    def why_no_trial(self) -> str | None:
        if self.request in ("stop", "stop now"):
            self._ends_trials = True  # a request that comes later ends the finals too
            return STOPPED if self.request == "stop" else STOPPED_NOW
        options, metric = self.options, self.before.metric
        if options.target is not None and is_target_reached(self._scores, metric.score(options.target)):
            return f"a trial reached the target of {metric.labelled_text(options.target)}"
        if options.patience is not None and is_patience_over(
            streak_of(self._scores), options.patience, self.expected()
        ):
            return f"{options.patience:,} trials in a row were not better than the interval of the best one"
        plan, estimate = self._plan, self._estimate
        # Before the first score, a trial begins however long it may take.
        seconds = estimate.trial_seconds if estimate is not None and any(self._scores) else 0.0
        if plan is not None and self.clock() + seconds > plan.last_trial:
            self._has_said_time = True
            return f"{self._limit_words}; the rest was for the finals" if any(self._scores) else self._end_words
        return None

    def why_not(self, request: FinalRequest | BaselineRequest) -> str | None:
        if self.request == "stop" and not self._ends_trials:
            self._ends_comparison = True
            return f"{STOPPED} before all finals were measured"
        # A test begins as long as there is any time. A comparison or a baseline must leave time for a test.
        is_test = isinstance(request, FinalRequest) and request.test
        needed = [] if is_test else [(1, isinstance(request, BaselineRequest)), (1, True)]
        if self._has_time_for(needed):
            return None
        self._ends_comparison = self._ends_comparison or isinstance(request, FinalRequest)
        return "not all finals were measured in time" if self._has_said_time else f"{self._limit_words} in the finals"

    def has_time_for_round(self, candidates: int) -> bool:
        """Return whether so many candidates can be compared once more, and the answer be tested once."""
        return not self._ends_comparison and self._has_time_for([(candidates, False), (1, True)])

    def has_time_for_screening(self, seconds: float) -> bool:
        """Return whether a screening of so many expected seconds leaves most of the time to the trials."""
        left = self.seconds_left
        return left is None or SLOW * seconds <= SHARE_OF_SCREENING * (left - START_SECONDS)

    def why_end_now(self) -> str | None:
        if self.request == "stop now":
            return STOPPED_NOW
        plan = self._plan
        if plan is not None and not self.is_paused and self.clock() > plan.last_work:
            return "what still ran at the end was given back" if self._has_said_time else self._end_words
        return None

    @property
    def _limit_words(self) -> str:
        return f"its time of {duration(self.options.time_limit or 0.0)} was up".replace("\N{NO-BREAK SPACE}", " ")

    @property
    def _end_words(self) -> str:
        """Say that the time is up; where no trial has a score by then, also how long the start took."""
        if any(self._scores):
            return self._limit_words
        start = duration(min(self._working_since, self.clock()) - self.began).replace("\N{NO-BREAK SPACE}", " ")
        return f"{self._limit_words} before a trial was complete; the start alone took {start}"

    @property
    def _plan(self) -> TimePlan | None:
        """The moments of a run with a time limit; None without one, and before the workers start."""
        if self.options.time_limit is None or self._estimate is None:
            return None
        now, estimate = self.clock(), self._estimate
        return TimePlan(
            limit=self.began + self.options.time_limit,
            working_since=min(self._working_since, now),
            end=END_SECONDS + estimate.report_seconds + SHARE_OF_START * (self._prepared - self.began),
            finals=estimate.finals_left(now) if any(self._scores) else 0.0,
        )

    def _has_time_for(self, finals: Sequence[tuple[int, bool]]) -> bool:
        """Return whether some finals would end in time. finals: how many at once, and whether they are tests."""
        plan, estimate = self._plan, self._estimate
        if plan is None or estimate is None:
            return True
        workers = estimate.workload.workers
        seconds = sum(math.ceil(count / workers) * estimate.final_seconds(test) for count, test in finals)
        return self.clock() + CAUTION * seconds <= plan.last_work


def score_of(trial: Trial, metric: Metric) -> TrialScore | None:
    """Return the validation score of a trial; None where it was pruned, or where its value was not kept."""
    estimate = trial.estimate(metric) if trial.state == "complete" else None
    if estimate is None:
        return None
    low, high = sorted((metric.score(estimate.low), metric.score(estimate.high)))
    return TrialScore(metric.score(estimate.value), low, high)
