from collections.abc import Iterator, Sequence

import pytest

from objectives.results import ScreenedSetting
from search.recommendation.advice import advice_of
from search.recommendation.recommender import Recommender
from search.surrogates.past_tasks import PUBLISHED_TASKS, past_task_of
from spaces import PRESETS, Architecture, Setting
from spaces.coordinates import mean_coordinates
from tests.support.architectures import ADM, SMALL

SPACE = PRESETS["default"](SMALL)


def score(setting: Setting) -> float:
    """Best in the middle of the network, at pool 1."""
    place = mean_coordinates(SMALL, setting)
    return -place.grid - 4 * (place.depth - 0.2) ** 2 - 0.2 * (place.noise - 1) ** 2


TASK = past_task_of(
    "coarse", SMALL, [(setting, score(setting)) for setting in SPACE.narrow(heads=["linear"]).settings()], 10, 990
)


def test_advice_is_the_first_setting_of_a_recommendation() -> None:
    past = (*PUBLISHED_TASKS, TASK)
    screened: list[Setting] = []

    def screen(settings: Sequence[Setting], count: int) -> Iterator[ScreenedSetting]:
        screened.extend(settings)
        for setting in settings:
            yield ScreenedSetting(setting, (True,) * count, (0.5,) * count, 1.0, 0.0)

    recommender = Recommender(SPACE, screen, [0, 1, 2, 3, 4] * 40, past_tasks=past)
    next(recommender.run())
    advice = advice_of(SMALL, past, 5, 200, "bundled", [])
    assert advice is not None
    assert advice.setting in screened
    assert {setting.timestep for setting in screened} == {advice.setting.timestep}
    assert advice.candidates == len({(setting.timestep, setting.block, setting.pool) for setting in SPACE.settings()})


def test_a_task_of_similar_size_weighs_more_and_predicts_better() -> None:
    similar, other = (
        advice_of(SMALL, (*PUBLISHED_TASKS, TASK), *size, "bundled", []) for size in ((10, 990), (900, 10**6))
    )
    assert similar is not None
    assert other is not None
    assert similar.rankings[0].task == "coarse"
    assert other.rankings[0].task == "ImageNet (arXiv 2307.08702)"
    assert similar.setting.pool < other.setting.pool
    for advice in (similar, other):
        assert sum(ranking.weight for ranking in advice.rankings) == pytest.approx(1)
        assert all(ranking.loss >= 0 and 0 <= ranking.above <= 1 for ranking in advice.rankings)
        assert [ranking.weight for ranking in advice.rankings] == sorted(
            (ranking.weight for ranking in advice.rankings), reverse=True
        )
    assert similar.rankings[0].loss < other.rankings[-1].loss


def test_advice_from_one_task_is_its_best_setting() -> None:
    advice = advice_of(SMALL, (TASK,), 10, 990, "bundled", [])
    assert advice is not None
    (ranking,) = advice.rankings
    assert (ranking.best, ranking.loss, ranking.above, ranking.weight) == (advice.setting, 0, 1, 1)


def test_a_posterior_predicts_another_network() -> None:
    advice = advice_of(ADM, PUBLISHED_TASKS[1:], 200, 5994, "adm-256", ["--home", "/my home"])
    assert advice is not None
    assert advice.setting.pool == 4
    assert advice.command.startswith(
        "search recommend --dataset folder --data-root DIR --backbone adm-256 --home '/my home'  # "
    )


def test_past_tasks_of_diffusion_networks_do_not_predict_encoders() -> None:
    encoder = Architecture("encoder", SMALL.image_side, SMALL.blocks)
    assert advice_of(encoder, PUBLISHED_TASKS, 10, 990, "dinov2", []) is None
