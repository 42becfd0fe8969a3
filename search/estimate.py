"""Estimates the seconds until a run ends, from the work that it began with and from what was measured since."""

import math
from dataclasses import dataclass, field

from objectives.results import Evaluation, Extracted
from search.scheduling.events import (
    FinalEnded,
    FinalsPlanned,
    FinalStarted,
    GivenBack,
    PartEnded,
    PartStarted,
    Progressed,
    Retried,
    ScreeningPlanned,
    TrialEnded,
    TrialEvent,
    TrialStarted,
)
from search.scheduling.requests import FinalRequest, Request, ScreeningRequest, TrialRequest
from search.workload import REEVALUATION, REPORT_SECONDS, START_SECONDS, TEST, Workload

BELIEVED = 0.1
"""A new estimate that differs from the last one by less than this share is not shown: the last one counts down."""

LATER_ROUND = 0.75
"""The share of the candidates that are expected to remain after a round, where splits differ from round to round."""


@dataclass
class UnitSeconds:
    """The seconds of a worker for one unit of work: expected at first, and then measured more and more.

    weight: the number of measured units that count as much as the expectation.
    """

    expected: float
    weight: float
    units: float = 0.0
    seconds: float = 0.0

    def measure(self, units: float, seconds: float) -> None:
        self.units += units
        self.seconds += seconds

    def mean(self, slowness: float = 1.0) -> float:
        """Return the seconds of one unit. slowness: factor of the expectation."""
        return (self.weight * self.expected * slowness + self.seconds) / (self.weight + self.units)


@dataclass
class Work:
    """A request at work. since: when it started. pass_made: when its last forward passes were reported."""

    since: float
    phase_since: float
    pass_seconds: float = 0.0


@dataclass
class RunEstimate:
    """The seconds until a run ends. began: its start. All times are seconds of one clock, such as the monotonic one."""

    workload: Workload
    began: float
    _passes: UnitSeconds = field(init=False)
    _settings: UnitSeconds = field(init=False)
    _fits: UnitSeconds = field(init=False)
    _evaluations: UnitSeconds = field(init=False)
    _tests: UnitSeconds = field(init=False)
    _work: dict[Request, Work] = field(default_factory=dict)
    _candidates: list[tuple[float, float]] = field(default_factory=list)
    _settings_planned: int = field(init=False)
    _settings_scored: int = 0
    _screening_passes: int = 0
    _trials: int = 0
    _rounds: list[int] = field(init=False)
    _testing: int = field(init=False)
    _test_passes: int = 0
    _phase: int = 0
    _is_searched: bool = False
    _shown: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        load = self.workload
        self._passes = UnitSeconds(load.pass_seconds, 100)
        self._settings = UnitSeconds(load.setting_seconds, 5)
        self._fits = UnitSeconds(load.fit_seconds, 5)
        self._evaluations = UnitSeconds(0.0, 2)
        self._tests = UnitSeconds(0.0, 1)
        self._settings_planned = load.settings
        self._rounds, self._testing = list(load.rounds), load.tests

    def __call__(self, event: TrialEvent, now: float) -> None:
        """Take an event into account."""
        match event:
            case ScreeningPlanned(settings):
                self._settings_planned = settings
            case PartStarted(request) | TrialStarted(request) | FinalStarted(request):
                self._begin(request, now)
            case Progressed(request, Extracted() as report) if request in self._work:
                self._extract(self._work[request], request, report, now)
            case PartEnded(request):
                work = self._work.pop(request)
                self._settings_scored += len(request.settings)
                self._settings.measure(len(request.settings), now - work.phase_since)
            case TrialEnded():
                self._end_trial(event, now)
            case Retried(request) | GivenBack(request):
                self._work.pop(request, None)
            case FinalsPlanned():
                self._plan(event)
            case FinalEnded(request):
                work = self._work.pop(request)
                unit = self._tests if request.test else self._evaluations
                unit.measure(1, now - work.since - work.pass_seconds)
                self._count_final(request)

    def _begin(self, request: Request, now: float) -> None:
        self._work[request] = Work(now, now)
        self._phase = max(self._phase, (ScreeningRequest, TrialRequest, FinalRequest).index(type(request)))

    def _extract(self, work: Work, request: Request, report: Extracted, now: float) -> None:
        if report.made:
            self._passes.measure(report.made, now - work.phase_since)
            if isinstance(request, ScreeningRequest):
                self._screening_passes += report.made
            elif isinstance(request, FinalRequest):
                self._test_passes += report.made
        work.pass_seconds += now - work.phase_since
        work.phase_since = now

    def _end_trial(self, event: TrialEnded, now: float) -> None:
        work = self._work.pop(event.request)
        if event.state == "failed":
            return
        self._trials += 1
        seconds = now - work.since - work.pass_seconds
        self._fits.measure(1, seconds)
        if event.state == "complete" and isinstance(event.evaluation, Evaluation):
            self._candidates.append((event.evaluation.score, seconds))
            self._candidates.sort(reverse=True)

    def _plan(self, event: FinalsPlanned) -> None:
        self._is_searched = True
        if event.test:
            self._rounds, self._testing = [], event.count
            return
        further = max(event.later - self.workload.tests, 0)
        rounds = math.ceil(further / max(event.count, 1))
        self._rounds = [event.count, *[further // max(rounds, 1)] * rounds]

    def _count_final(self, request: FinalRequest) -> None:
        if request.test:
            self._testing = max(self._testing - 1, 0)
        elif self._rounds:
            self._rounds[0] -= 1
            if not self._rounds[0]:
                self._rounds.pop(0)

    @property
    def _slowness(self) -> float:
        """How many times slower than expected the machine is, by the forward passes that were measured."""
        passes = self._passes
        return (1.0 + passes.seconds) / (1.0 + passes.units * passes.expected)

    def seconds_left(self, now: float) -> float:
        """Return the seconds until the run ends. While nothing is learnt, they count down."""
        fresh = self._fresh(now)
        if self._shown is not None:
            then, seconds = self._shown
            counted = seconds - (now - then)
            if counted > 0 and abs(fresh - counted) <= BELIEVED * fresh:
                return counted
        self._shown = now, fresh
        return fresh

    def finals_left(self, now: float) -> float:
        """Return the seconds of what is left of the finals, if no trial comes any more."""
        self._expect_finals()
        return self._finals(now)

    @property
    def trial_seconds(self) -> float:
        """The seconds that the next trial takes, its share of new forward passes included."""
        load, slowness = self.workload, self._slowness
        passes = load.passes_after(self._trials + 1) - load.passes_after(self._trials)
        return self._fits.mean(slowness) + passes * self._passes.mean(slowness)

    def final_seconds(self, test: bool) -> float:
        """Return the seconds of one evaluation of a candidate, or of one test."""
        self._expect_finals()
        if not test:
            return self._evaluations.mean()
        passes = max(self.workload.test_passes - self._test_passes, 0) * self._passes.mean(self._slowness)
        return self._tests.mean() + passes

    @property
    def report_seconds(self) -> float:
        """The seconds of the report and of the end of the workers."""
        return REPORT_SECONDS * self._slowness

    def _expect_finals(self) -> None:
        """Expect the seconds of finals from those of the best trials' fits."""
        load, slowness = self.workload, self._slowness
        candidate = UnitSeconds(load.candidate_seconds, 2)
        for _, seconds in self._candidates[: max(load.rounds, default=6)]:
            candidate.measure(1, seconds)
        fit = candidate.mean(slowness)
        self._evaluations.expected, self._tests.expected = REEVALUATION * fit, TEST * fit

    def _fresh(self, now: float) -> float:
        self._expect_finals()
        start = 0.0 if self._work or self._phase or self._trials else max(START_SECONDS - (now - self.began), 0.0)
        return start + self._screening(now) + self._searching(now) + self._finals(now) + self.report_seconds

    def _screening(self, now: float) -> float:
        if self._phase:
            return 0.0
        load, slowness = self.workload, self._slowness
        passes = max(load.screening_passes - self._screening_passes, 0) * self._passes.mean(slowness)
        settings = max(self._settings_planned - self._settings_scored, 0) * self._settings.mean(slowness)
        return passes + max(settings / load.workers - self._elapsed(now, ScreeningRequest), 0.0)

    def _searching(self, now: float) -> float:
        if self._is_searched:  # perhaps with fewer trials than were asked for
            return 0.0
        load, slowness = self.workload, self._slowness
        trials = max(load.trials - self._trials, 0)
        passes = load.passes_after(load.trials) - load.passes_after(min(self._trials, load.trials))
        seconds = trials * self._fits.mean(slowness) + passes * self._passes.mean(slowness)
        return max(seconds / load.workers - self._elapsed(now, TrialRequest), 0.0)

    def _finals(self, now: float) -> float:
        load = self.workload
        first, *later = self._rounds or [0]
        changing = len(load.rounds) > 2  # folds have two rounds, with the same images
        rounds = [first, *(count * (LATER_ROUND ** (k + 1) if changing else 1) for k, count in enumerate(later))]
        evaluations = sum(max(count / load.workers, min(count, 1)) for count in rounds) * self._evaluations.mean()
        tests = math.ceil(self._testing / load.workers) * self._tests.mean()
        passes = max(load.test_passes - self._test_passes, 0) * self._passes.mean(self._slowness)
        seconds = evaluations + tests + (passes if self._testing else 0.0)
        return max(seconds - self._elapsed(now, FinalRequest), 0.0)

    def _elapsed(self, now: float, kind: type) -> float:
        """Return the seconds that count as done of the requests at work, each for no longer than it should take."""
        limits = {
            ScreeningRequest: math.inf,
            TrialRequest: self._fits.mean(self._slowness),
            FinalRequest: max(self._evaluations.mean(), self._tests.mean() if not self._rounds else 0.0),
        }
        running = [work for request, work in self._work.items() if isinstance(request, kind)]
        return sum(min(now - work.phase_since, 0.9 * limits[kind]) for work in running) / self.workload.workers
