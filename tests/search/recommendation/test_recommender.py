"""Order of screening and the recommended setting, on synthetic scores with a known best setting."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from dashboards.screening.tables import accuracy_loss
from objectives.results import Extracted, ScreenedSetting
from search.recommendation.recommender import CHEAPER, MARGIN, MIN_IMAGES, MIN_TIMESTEPS, RIVALS, SHARE, Recommender
from search.surrogates.past_tasks import past_task_of
from search.surrogates.screening_posterior import settings_at
from spaces import PRESETS, Setting, Space
from tests.support.architectures import ADM, SMALL


@dataclass
class Hill:
    """Best at `block`, `place` among the timesteps and pool 4; noise of each image is shared by all settings."""

    space: Space
    block: int = 16
    place: int = 5
    slope: float = 0.02
    chance: bool = False
    tap: float = 0.0  # by which each further tap lowers the error
    screened: list[tuple[int | None, int, int]] = field(default_factory=list)

    def error(self, setting: Setting) -> float:
        place = self.space.timesteps.index(setting.timestep)
        away = abs(setting.block - self.block) / 4 + abs(place - self.place) + (setting.pool != 4)
        return 0.3 + self.slope * away - self.tap * len(setting.further)

    def screen(self, settings: Sequence[Setting], images: int) -> Iterator[Extracted | ScreenedSetting]:
        (timestep,) = {setting.timestep for setting in settings}
        self.screened.append((timestep, images, len(settings)))
        yield Extracted(images, images, images)
        for setting in settings:
            own = random.Random(str(setting))
            shared = random.Random(0)
            errors = [self.error(setting) + shared.gauss(0, 0.3) + own.gauss(0, 0.1) for _ in range(images)]
            guess = random.Random(f"{setting} guesses")
            right = [guess.random() < 0.1 if self.chance else error < 0.5 for error in errors]
            yield ScreenedSetting(setting, tuple(right), tuple(errors), 1.0, 0.0)


LABELS = [place % 10 for place in range(2000)]


@pytest.fixture
def space() -> Space:
    return PRESETS["default"](SMALL)


def searched(hill: Hill, labels: Sequence[int] = LABELS, passes: int | None = None) -> Recommender:
    recommender = Recommender(hill.space, hill.screen, labels, passes)
    list(recommender.run())
    return recommender


@pytest.mark.parametrize("place", range(8))
def test_the_best_timestep_is_found(space: Space, place: int) -> None:
    hill = Hill(space, place=place)
    best = searched(hill).recommendation.best.setting
    assert best.timestep == space.timesteps[place]
    assert best.pool == 4
    assert abs(best.block - hill.block) <= 3


def test_a_pass_limit_is_respected(space: Space) -> None:
    for passes in (None, 600, 1000, 5000):
        hill = Hill(space)
        recommender = searched(hill, passes=passes)
        assert recommender.passes_made <= (1600 + 2000 - MIN_IMAGES if passes is None else passes)
        paid: dict[int | None, int] = {}
        for timestep, images, _ in hill.screened:
            paid[timestep] = max(paid.get(timestep, 0), images)
        assert recommender.passes_made == sum(paid.values())


@pytest.mark.parametrize("seconds", [100, 700, 1500, 4000])
def test_a_time_limit_stops_rounds_that_would_end_too_late(space: Space, seconds: float) -> None:
    """Every pass takes a second."""
    hill = Hill(space, slope=0.01)
    recommender = Recommender(
        space, hill.screen, LABELS, max_seconds=seconds, clock=lambda: float(recommender.passes_made)
    )
    list(recommender.run())
    assert 0.6 * seconds < recommender.passes_made <= max(seconds, MIN_TIMESTEPS * MIN_IMAGES)


def test_only_settings_tied_with_the_best_get_more_images(space: Space) -> None:
    hill = Hill(space, slope=0.01)
    searched(hill, passes=20_000)
    sizes = [(images, settings) for _, images, settings in hill.screened]
    assert sizes[0] == (MIN_IMAGES, len(space.narrow(timesteps=[44], heads=["linear"])))
    for (images, settings), (more, fewer) in pairwise(sizes):
        assert more > images or settings == sizes[0][1] or fewer <= sizes[0][1]
    assert sizes[-1][0] > MIN_IMAGES
    assert sizes[-1][1] < sizes[0][1] / 4


def test_the_cheapest_of_equally_good_settings_is_recommended(space: Space) -> None:
    recommender = searched(Hill(space, slope=0.0), passes=600)
    results = recommender.recommendation
    assert space.architecture.pass_gmacs(results.best.setting) < space.architecture.pass_gmacs(
        recommender.posterior.best.setting
    )
    assert len(results.tied) == len(results.compared) >= 7


def test_alternatives_cost_less_and_state_the_accuracy_they_lose(space: Space) -> None:
    results = searched(Hill(space, block=20)).recommendation
    assert 1 <= len(results.cheaper) <= 3
    costs = [alternative.cost for alternative in results.cheaper]
    assert costs == sorted(costs, reverse=True)
    assert all(cost <= 0.75 for cost in costs)
    for alternative in results.cheaper:
        assert alternative.accuracy_loss.low <= alternative.accuracy_loss.value <= alternative.accuracy_loss.high
    assert results.cheaper[-1].accuracy_loss.value > 0


def test_the_best_settings_of_one_timestep_are_compared_on_all_images(space: Space) -> None:
    hill = Hill(space)
    recommender = searched(hill)
    results = recommender.recommendation
    assert len(results.best.correct) == results.images == len(LABELS)
    assert results.on_half is None
    timestep = results.best.setting.timestep
    assert len(results.compared) <= RIVALS + len(CHEAPER)
    for other in results.compared:
        assert (other.screened.setting.timestep, len(other.screened.correct)) == (timestep, len(LABELS))
    assert {other.screened.setting.timestep for other in results.other_timesteps} == {
        setting.timestep for setting in recommender.posterior.screened
    } - {timestep}
    assert results.passes - results.measuring <= SHARE * len(LABELS) * len(space.timesteps)
    settings = 1 + len(results.compared) + len(results.other_timesteps)
    alone = accuracy_loss(results.compared[0].screened, results.best)
    together = results.compared[0].accuracy_loss
    assert together.p == pytest.approx(min(1, MARGIN * alone.p * settings * (settings - 1) / 2))
    assert together.low <= alone.low
    assert alone.high <= together.high


@pytest.mark.parametrize("tap", [0.05, -0.05])
def test_further_taps_are_added_while_the_error_falls_and_cost_no_pass(space: Space, tap: float) -> None:
    without, with_taps = (searched(Hill(space, tap=gain)).recommendation for gain in (0.0, tap))
    assert with_taps.passes == without.passes
    assert with_taps.best.setting == without.best.setting
    settings = [other.screened.setting for other in with_taps.more_taps]
    assert [len(setting.taps) for setting in settings] == ([2, 3] if tap > 0 else [])
    for other in with_taps.more_taps:
        assert {each.timestep for each in other.screened.setting.taps} == {with_taps.best.setting.timestep}
        assert len(other.screened.correct) == len(LABELS)
        assert other.accuracy_loss.value < 0


def test_a_search_does_not_measure(space: Space) -> None:
    recommender = Recommender(space, Hill(space).screen, LABELS, measures=False)
    list(recommender.run())
    assert recommender.passes_made <= recommender.pass_limit == SHARE * len(LABELS) * len(space.timesteps)
    assert recommender.recommendation.measuring == 0
    assert recommender.recommendation.compared


def test_where_the_limit_leaves_images_out_the_best_is_also_screened_on_half(space: Space) -> None:
    results = searched(Hill(space), passes=700).recommendation
    assert results.on_half is not None
    assert len(results.on_half.correct) == len(results.best.correct) // 2 < len(LABELS) // 2
    assert results.expected.low == results.corrected.low
    assert results.expected.high >= results.corrected.high


def test_guessing_is_not_reported_as_better_than_chance(space: Space) -> None:
    results = searched(Hill(space, chance=True)).recommendation
    assert results.chance == pytest.approx(0.1)
    assert not results.better_than_chance
    assert searched(Hill(space)).recommendation.better_than_chance


@pytest.mark.parametrize("labels", [[0, 1] * 10, [0, 1], [0, 1, 2], [0, 1, 0, 1, 0]])
def test_few_images_are_all_screened(space: Space, labels: list[int]) -> None:
    results = searched(Hill(space), labels=labels).recommendation
    assert len(results.best.correct) == len(labels)
    assert results.passes <= len(labels) * 8


def test_past_tasks_decide_the_first_timestep_and_lose_weight_if_wrong(space: Space) -> None:
    hill = Hill(space, place=6)
    settings = [setting for timestep in space.timesteps for setting in settings_at(space, timestep)]
    right, wrong = (
        past_task_of(name, SMALL, [(setting, sign * hill.error(setting)) for setting in settings], 10, 2000)
        for name, sign in (("alike", -1), ("not alike", 1))
    )
    for past, first in (((right,), 6), ((wrong,), 0)):
        hill.screened.clear()
        recommender = Recommender(space, hill.screen, LABELS, past_tasks=past)
        list(recommender.run())
        assert hill.screened[0][0] == space.timesteps[first]
        results = recommender.recommendation
        assert results.best.setting.timestep == space.timesteps[6]
        assert results.past_tasks[0].agreement == pytest.approx(1 if past == (right,) else -1, abs=0.15)


def test_noised_images_are_screened_unless_all_settings_are_clean(space: Space) -> None:
    for draws, screened in (((0, 4, 2), 2), ((0,), 0)):
        assert {setting.draws for setting in settings_at(space.narrow(draws=draws), space.timesteps[0])} == {screened}


def test_an_encoder_has_one_timestep_and_no_neighbours() -> None:
    narrowed = PRESETS["default"](ADM).narrow(timesteps=[90])
    results = searched(Hill(narrowed, place=0)).recommendation
    assert results.best.setting.timestep == 90
