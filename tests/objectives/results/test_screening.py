"""Statements of a screening on its best setting are compared with settings whose true accuracy is known."""

from collections.abc import Sequence
from statistics import fmean

import numpy as np
import pytest

from dashboards.statistics import optimism
from objectives.results import ScreenedSetting, ScreeningResults
from spaces import Setting

SETTINGS = [Setting(20, block, 2, "ridge") for block in range(1, 41)]


def screened(setting: Setting, correct: np.ndarray) -> ScreenedSetting:
    errors = np.where(correct, 0.2, 0.9)
    return ScreenedSetting(setting, tuple(correct.tolist()), tuple(errors.tolist()), 1.0, 0.0)


def results(
    scores: Sequence[ScreenedSetting], images: int | None = None, half: ScreenedSetting | None = None
) -> ScreeningResults:
    best = min(scores, key=lambda score: score.error)
    every = images or len(best.correct)
    return ScreeningResults(best, (), (), tuple(scores), every, 100, 0.1, optimism(scores), on_half=half)


def test_of_equal_settings_the_best_looks_better_than_it_is_and_its_expected_accuracy_hardly_does() -> None:
    chance = np.random.default_rng(0)
    found = [results([screened(setting, chance.random(100) < 0.5) for setting in SETTINGS]) for _ in range(40)]
    assert fmean(each.best.accuracy.value for each in found) > 0.6
    assert fmean(each.expected.value for each in found) == pytest.approx(0.5, abs=0.05)
    assert sum(each.expected.low <= 0.5 <= each.expected.high for each in found) >= 38


def test_a_single_setting_has_no_optimism() -> None:
    one = results([screened(SETTINGS[0], np.arange(100) < 70)])
    assert one.optimism == pytest.approx(0, abs=0.005)
    assert one.expected.value == pytest.approx(0.7, abs=0.005)


@pytest.mark.parametrize(("images", "value"), [(200, 0.7), (400, 0.754), (1600, 0.841)])
def test_the_log_odds_of_the_accuracy_grow_with_each_doubling(images: int, value: float) -> None:
    """On the first half, 64.1 % are correct by a fit to this half, and 70.2 % by a fit to all: 0.276 in log-odds."""
    best = screened(SETTINGS[0], np.arange(200) % 10 < 7)
    half = screened(SETTINGS[0], np.arange(100) % 100 < 64)
    found = results([best], images, half if images > 200 else None)
    assert found.expected.value == pytest.approx(value, abs=0.005)
    assert found.expected.low == results([best]).expected.low  # nobody knows that it grows
    assert (found.expected.high > results([best]).expected.high) == (images > 200)


def test_growth_is_never_negative_and_nothing_grows_beyond_all() -> None:
    perfect, worse = screened(SETTINGS[0], np.ones(100, bool)), screened(SETTINGS[0], np.ones(50, bool))
    assert results([perfect], 1000, worse).expected.high == 1
    falls = results([screened(SETTINGS[0], np.arange(100) % 2 == 0)], 1000, worse)
    assert falls.expected.value == pytest.approx(0.5, abs=0.005)


def test_without_knowledge_no_setting_is_better_than_chance() -> None:
    chance = np.random.default_rng(1)
    found = [results([screened(setting, chance.random(200) < 0.1) for setting in SETTINGS]) for _ in range(40)]
    assert sum(each.better_than_chance for each in found) <= 1
    assert results([screened(SETTINGS[0], np.arange(200) % 10 < 3)]).better_than_chance
