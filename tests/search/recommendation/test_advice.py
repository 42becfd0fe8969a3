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
    "coarse", SMALL, [(each, score(each)) for each in SPACE.narrow(heads=["linear"]).settings()], 10, 990
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
    found = advice_of(SMALL, past, 5, 200, "bundled", [])
    assert found is not None
    assert found.setting in screened
    assert {each.timestep for each in screened} == {found.setting.timestep}
    assert found.candidates == len({(each.timestep, each.block, each.pool) for each in SPACE.settings()})


def test_a_task_of_similar_size_weighs_more_and_predicts_better() -> None:
    found, other = (
        advice_of(SMALL, (*PUBLISHED_TASKS, TASK), *size, "bundled", []) for size in ((10, 990), (900, 10**6))
    )
    assert found is not None
    assert other is not None
    assert found.rankings[0].task == "coarse"
    assert other.rankings[0].task == "ImageNet (arXiv 2307.08702)"
    assert found.setting.pool < other.setting.pool
    for advice in (found, other):
        assert sum(each.weight for each in advice.rankings) == pytest.approx(1)
        assert all(each.loss >= 0 and 0 <= each.above <= 1 for each in advice.rankings)
        assert [each.weight for each in advice.rankings] == sorted(
            (each.weight for each in advice.rankings), reverse=True
        )
    assert found.rankings[0].loss < other.rankings[-1].loss


def test_advice_from_one_task_is_its_best_setting() -> None:
    found = advice_of(SMALL, (TASK,), 10, 990, "bundled", [])
    assert found is not None
    (standing,) = found.rankings
    assert (standing.best, standing.loss, standing.above, standing.weight) == (found.setting, 0, 1, 1)


def test_a_posterior_predicts_another_network() -> None:
    found = advice_of(ADM, PUBLISHED_TASKS[1:], 200, 5994, "adm-256", ["--home", "/my home"])
    assert found is not None
    assert found.setting.pool == 4
    assert found.command.startswith(
        "search recommend --dataset folder --data-root DIR --backbone adm-256 --home '/my home'  # "
    )


def test_past_tasks_of_diffusion_networks_do_not_predict_encoders() -> None:
    encoder = Architecture("encoder", SMALL.image_side, SMALL.blocks)
    assert advice_of(encoder, PUBLISHED_TASKS, 10, 990, "dinov2", []) is None
