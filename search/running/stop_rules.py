"""The rules that end a search before its trials are done, as plain functions of scores and seconds."""

from collections.abc import Sequence
from dataclasses import dataclass

EXPECTED_SHARE = 0.1
"""Standard errors of the best trial that the sampler must expect to gain for `patience` to wait on."""

Z = 1.96
"""Half the width of a 95 % interval, in standard errors."""

SHARE_OF_FINALS = 0.5
"""The finals get at most this share of the time in which a run with a time limit has its workers."""

SHARE_OF_OVERRUN = 0.25
"""Trials may take this share of the finals' time, if they take longer than expected."""

SHARE_OF_SCREENING = 0.3
"""The screening gets at most this share of the time in which such a run has its workers."""


@dataclass(frozen=True, slots=True)
class TrialScore:
    """The validation score of a finished trial, and its 95 % interval. Higher is better."""

    value: float
    low: float
    high: float

    @property
    def standard_error(self) -> float:
        return (self.high - self.low) / (2 * Z)


@dataclass(frozen=True, slots=True)
class Streak:
    """The trials that came since the best one. best: the trial to beat; None where no trial has a score yet.

    trials: how many finished after it, in a row, without a score above its interval.
    """

    best: TrialScore | None
    trials: int


def streak_of(scores: Sequence[TrialScore | None]) -> Streak:
    """Return the trial to beat, and how many trials in a row did not beat it.

    scores: of the finished trials, in the order in which they ended; None for a trial that was pruned. A trial beats
    the best one where its score is above the best one's interval; then it is the one to beat. Trials that creep upwards
    beat it too, as soon as one of them is above that interval.
    """
    best, trials = None, 0
    for score in scores:
        if score is not None and (best is None or score.value > best.high):
            best, trials = score, 0
        else:
            trials += 1
    return Streak(best, trials)


def is_patience_over(streak: Streak, patience: int, expected_improvement: float | None) -> bool:
    """Return whether a search that was promised so much patience stops.

    expected_improvement: the largest that the sampler expects, in the unit of the scores; infinite where it has not
    predicted anything yet; None for a sampler that cannot say. Then the trials decide alone.
    """
    if streak.best is None or streak.trials < patience:
        return False
    return expected_improvement is None or expected_improvement < EXPECTED_SHARE * streak.best.standard_error


def is_target_reached(scores: Sequence[TrialScore | None], target: float) -> bool:
    """Return whether a trial has at least the target's score."""
    return any(score is not None and score.value >= target for score in scores)


@dataclass(frozen=True, slots=True)
class TimePlan:
    """The moments of a run with a time limit. All are seconds of one clock.

    limit: when the process shall have ended. working_since: when the workers began. end: seconds that the report and
    the end of the process take. finals: seconds that all finals would take; 0 while there is nothing to test.
    """

    limit: float
    working_since: float
    end: float
    finals: float

    @property
    def last_work(self) -> float:
        """The moment at which no worker may run any more, so that the report is written in time."""
        return self.limit - self.end

    @property
    def last_trial(self) -> float:
        """The moment at which trials shall have ended. Trials get at least as much time as finals."""
        return self.last_work - min(self.finals, SHARE_OF_FINALS * max(self.last_work - self.working_since, 0.0))

    @property
    def last_result(self) -> float:
        """The moment at which trials that still run are given back."""
        return self.last_trial + SHARE_OF_OVERRUN * (self.last_work - self.last_trial)

    @property
    def last_screening(self) -> float:
        """The moment at which the screening gives way to the trials."""
        return self.working_since + SHARE_OF_SCREENING * max(self.last_work - self.working_since, 0.0)
