"""The rules that end a search early, as tables of cases."""

import math

import pytest

from search.running.stop_rules import (
    Streak,
    TimePlan,
    TrialScore,
    is_patience_over,
    is_target_reached,
    streak_of,
)


def score(value: float) -> TrialScore:
    return TrialScore(value, value - 0.0196, value + 0.0196)


@pytest.mark.parametrize(
    ("values", "best", "trials"),
    [
        ([], None, 0),
        ([None], None, 1),
        ([0.9], 0.9, 0),
        ([0.9, 0.8, 0.91], 0.9, 2),  # 0.91 is within the interval of 0.9
        ([0.9, 0.8, 0.93], 0.93, 0),
        ([0.9, 0.91, 0.918, 0.92], 0.92, 0),  # trials that creep upwards beat it together
        ([0.93, None, None, 0.94], 0.93, 3),
    ],
)
def test_a_streak_counts_trials_that_do_not_beat_the_interval_of_the_best(
    values: list[float | None], best: float | None, trials: int
) -> None:
    scores = [None if value is None else score(value) for value in values]
    assert streak_of(scores) == Streak(None if best is None else score(best), trials)


@pytest.mark.parametrize(
    ("trials", "expected", "is_over"),
    [
        (5, None, True),  # a sampler that cannot say: the trials decide alone
        (4, None, False),
        (5, math.inf, False),  # it has predicted nothing yet
        (5, 0.0011, False),
        (5, 0.0009, True),  # the standard error is 0.01
        (4, 0.0, False),
    ],
)
def test_patience_ends_when_trials_and_sampler_agree(trials: int, expected: float | None, is_over: bool) -> None:
    assert is_patience_over(Streak(score(0.9), trials), 5, expected) is is_over


def test_patience_waits_for_a_first_score() -> None:
    assert not is_patience_over(Streak(None, 100), 5, None)


@pytest.mark.parametrize(
    ("values", "target", "is_reached"),
    [
        ([0.94, None], 0.95, False),
        ([0.95], 0.95, True),
        ([-0.3], -0.25, False),
        ([-0.2], -0.25, True),
        ([], 0.1, False),
    ],
)
def test_a_target_is_reached_by_one_trial(values: list[float | None], target: float, is_reached: bool) -> None:
    scores = [None if value is None else score(value) for value in values]
    assert is_target_reached(scores, target) is is_reached


@pytest.mark.parametrize(
    ("finals", "last_trial", "last_result"),
    [
        (0.0, 96.0, 96.0),
        (20.0, 76.0, 81.0),
        (500.0, 53.0, 63.75),  # the trials have at least as much time as the finals
    ],
)
def test_the_time_of_the_finals_is_kept(finals: float, last_trial: float, last_result: float) -> None:
    plan = TimePlan(limit=100.0, working_since=10.0, end=4.0, finals=finals)
    assert plan.last_work == 96.0
    assert plan.last_trial == last_trial
    assert plan.last_result == last_result
    assert plan.last_screening == pytest.approx(35.8)


def test_a_limit_that_was_over_before_the_workers_began_leaves_no_time_for_trials() -> None:
    plan = TimePlan(limit=5.0, working_since=10.0, end=4.0, finals=20.0)
    assert plan.last_trial == plan.last_screening - 9.0 == plan.last_work == 1.0
