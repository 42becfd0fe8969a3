"""The bookkeeping of regret: what a search has spent and what it would answer, on truths small enough to do by hand."""

import pytest

from spaces import Setting
from tests.benchmarks.selection import Judge, Step, by_passes, by_seconds, reached, seconds_to_mean, walk
from tests.benchmarks.selection_searches import Work
from tests.benchmarks.selection_truth import Truth

POOR, FAIR, GOOD = (Setting(timestep, 5, pool, "linear") for timestep, pool in ((10, 1), (10, 2), (50, 1)))
TRUTH = Truth("made up", {POOR: (1, 2, 1, 2, 1), FAIR: (4, 5, 6, 5, 6), GOOD: (9, 8, 7, 8, 7)}, (10,) * 5, 2)
JUDGE = Judge(TRUTH, (0, 1))


def test_regret_is_measured_on_other_folds() -> None:
    assert [JUDGE.regret(setting) for setting in (POOR, FAIR, GOOD)] == [70, 40, 0]
    assert JUDGE.others == [2, 3, 4]
    assert JUDGE.start.regret == pytest.approx(110 / 3)


def test_a_simulated_search_pays_for_each_timestep_once() -> None:
    seen = {POOR: 3.0, FAIR: 9.0, GOOD: 5.0}
    steps = walk(iter([POOR, FAIR, POOR, GOOD]), seen.__getitem__, JUDGE, Work(50, 2.0))
    assert [step.passes for step in steps] == [0, 50, 50, 100]
    assert [step.regret for step in steps[1:]] == [70, 40, 40]
    assert steps[-1].seconds == pytest.approx(100 / 350 + 3 * 2)


def test_the_regret_of_a_search_after_some_passes_or_seconds() -> None:
    steps = [Step(0, 0.0, 9), Step(50, 1.0, 7), Step(50, 2.0, 3), Step(100, 4.0, 5)]
    assert by_passes(steps, 99).regret == by_seconds(steps, 3.9).regret == 3
    assert by_passes(steps, 49).regret == 9
    assert by_seconds(steps, 1.5).regret == 7
    assert reached(steps, 3) == steps[2]
    assert reached(steps, 1) is None


def test_the_mean_regret_is_over_all_searches() -> None:
    quick, slow = [Step(0, 0.0, 8), Step(9, 1.0, 0)], [Step(0, 0.0, 8), Step(9, 5.0, 2)]
    assert seconds_to_mean([quick, slow], 4) == 1.0
    assert seconds_to_mean([quick, slow], 1) == 5.0
    assert seconds_to_mean([quick, slow], 0.5) is None
