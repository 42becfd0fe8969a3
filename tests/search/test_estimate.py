"""The time left of a run, which follows from its work and from what was measured."""

from dataclasses import replace
from itertools import pairwise

import pytest

from objectives.results import Accuracy, Evaluation, Extracted, Final
from search.display.pace import Pace, time_left
from search.estimate import BELIEVED, RunEstimate, UnitSeconds
from search.scheduling.events import (
    FinalEnded,
    FinalsPlanned,
    FinalStarted,
    PartEnded,
    PartStarted,
    Progressed,
    TrialEnded,
    TrialStarted,
)
from search.scheduling.requests import FinalRequest, ScreeningRequest, TrialRequest
from search.workload import REEVALUATION, REPORT_SECONDS, TEST, Workload
from spaces import Setting
from tests.support.terminal_process import workload

SETTINGS = [Setting(10, block, 1, "linear") for block in range(1, 31)]


def final(request: FinalRequest) -> Final:
    return Final(request.setting, request.seed, Accuracy(8, 9), Accuracy(7, 9), 0.1, 0, 0)


@pytest.mark.parametrize(
    ("pace", "more", "now", "left"),
    [
        (Pace(), 9, 50.0, None),  # nothing has begun
        (Pace(10.0, 2), 9, 50.0, None),  # nothing has ended
        (Pace(10.0, 2, [30.0]), 9, 50.0, None),  # one of two at once has ended: twice as many may follow at once
        (Pace(10.0, 2, [30.0, 30.0]), 9, 30.0, 90.0),
        (Pace(10.0, 2, [30.0, 30.0]), 9, 36.0, 84.0),
        (Pace(10.0, 2, [30.0, 30.0]), 9, 300.0, 80.0),  # that the next is late says little of those after it
        (Pace(10.0, 2, [30.0, 30.0]), 0, 30.0, None),
        (Pace(0.0, 1, [100.0 + number for number in range(21)]), 7, 120.0, 7.0),  # only the last twenty count
    ],
)
def test_the_time_left_follows_from_the_jobs_that_ended(pace: Pace, more: int, now: float, left: float | None) -> None:
    assert pace.seconds_left(more, now) == left


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, ""), (0.0, "about 1 s left"), (5.12, "about 5 s left"), (185.0, "about 3 min 05 s left")],
)
def test_the_time_left_in_words_is_empty_if_unknown(seconds: float | None, words: str) -> None:
    assert time_left(seconds) == words


def test_measurements_replace_an_expectation() -> None:
    unit = UnitSeconds(expected=1.0, weight=5)
    assert unit.mean() == 1.0
    assert unit.mean(slowness=2.0) == 2.0
    unit.measure(5, 15.0)
    assert unit.mean() == 2.0
    unit.measure(990, 2970.0)
    assert unit.mean() == pytest.approx(3.0, abs=0.02)


def test_more_work_takes_longer() -> None:
    def seconds(load: Workload) -> float:
        return RunEstimate(load, 0.0).seconds_left(0.0)

    load = workload(2)
    whole = seconds(load)
    more = {"trials": 40, "settings": 100, "rounds": (6, 6), "tests": 6, "screening_passes": 3000, "pass_seconds": 0.1}
    for name, value in more.items():
        assert seconds(replace(load, **{name: value})) > whole  # type: ignore[arg-type]
    assert seconds(replace(load, workers=4)) < whole


@pytest.mark.parametrize("slowness", [0.5, 1.0, 3.0])
def test_the_estimate_of_a_regular_run_counts_down_to_its_end_on_a_machine_of_any_speed(slowness: float) -> None:
    """One worker, whose fits take a second each on a machine of the expected speed. Passes are measured first."""
    load = replace(workload(1), settings=30, trials=30, rounds=(6, 6), timesteps=0, test_passes=0, fit_seconds=1.0)
    estimate, now, left = RunEstimate(load, 0.0), 6.0, dict[float, float]()
    part = ScreeningRequest(tuple(SETTINGS), 600)
    estimate(PartStarted(part), now)
    for done in range(1, 7):
        now += 100 * load.pass_seconds * slowness
        estimate(Progressed(part, Extracted(100 * done, 600, 100)), now)
    now += 30 * load.setting_seconds * slowness
    estimate(PartEnded(part), now)
    for number, setting in enumerate(SETTINGS):
        left[now] = estimate.seconds_left(now)
        estimate(TrialStarted(trial := TrialRequest(number, setting, 1)), now)
        now += slowness
        estimate(TrialEnded(trial, "complete", Evaluation(Accuracy(number, 100), {}, 0, 0)), now)
    rounds = [[FinalRequest(setting, seed, test=False) for setting in SETTINGS[:6]] for seed in (1, 2)]
    rounds.append([FinalRequest(SETTINGS[0], seed) for seed in (1, 2)])
    for requests, later in zip(rounds, (8, 2, 0), strict=True):
        estimate(FinalsPlanned(len(requests), requests[0].test, later), now)
        for request in requests:
            left[now] = estimate.seconds_left(now)
            estimate(FinalStarted(request), now)
            now += (TEST if request.test else REEVALUATION) * slowness
            estimate(FinalEnded(request, final(request)), now)
    end = now + REPORT_SECONDS * slowness
    for moment, seconds in left.items():
        assert 1 / 1.5 < seconds / (end - moment) < 1.5
    assert max(later / earlier for earlier, later in pairwise(left.values())) < 1 + BELIEVED


def test_the_estimate_counts_down_while_nothing_is_learnt() -> None:
    estimate = RunEstimate(workload(1), 0.0)
    estimate(TrialStarted(TrialRequest(0, SETTINGS[0], 1)), 5.0)
    first = estimate.seconds_left(5.0)
    assert estimate.seconds_left(5.25) == pytest.approx(first - 0.25)
