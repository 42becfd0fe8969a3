import numpy as np
import pytest

from objectives import published_results as paper
from search.surrogates.past_tasks import (
    PUBLISHED_TASKS,
    initial_weights,
    past_task_of,
    rank_correlations,
    updated_weights,
)
from spaces import PRESETS, Setting
from spaces.coordinates import mean_coordinates
from tests.support.architectures import ADM, SMALL


def score(setting: Setting) -> float:
    """Best in the middle of the network, with much detail."""
    place = mean_coordinates(SMALL, setting)
    return place.grid - 4 * (place.depth - 0.2) ** 2 - 0.2 * (place.noise - 1) ** 2


SETTINGS = [*PRESETS["default"](SMALL).narrow(heads=["linear"]).settings()]
PLACES = [mean_coordinates(SMALL, setting) for setting in SETTINGS]
TRUE = np.array([score(setting) for setting in SETTINGS])


def test_a_past_task_predicts_settings_that_it_did_not_try() -> None:
    some = np.random.default_rng(0).permutation(len(SETTINGS))[:60]
    past_task = past_task_of("made up", SMALL, [(SETTINGS[i], TRUE[i]) for i in some], 10, 1000)
    carried = past_task.predict(PLACES)
    assert rank_correlations(carried[:, None], TRUE)[0] > 0.95


def test_a_past_task_of_one_network_predicts_another() -> None:
    past_task = past_task_of("small", SMALL, [(setting, score(setting)) for setting in SETTINGS], 10, 1000)
    there = [*PRESETS["paper"](ADM).narrow(heads=["linear"], pools=[1, 2, 4]).settings()]
    places = [mean_coordinates(ADM, setting) for setting in there]
    true = [place.grid - 4 * (place.depth - 0.2) ** 2 - 0.2 * (place.noise - 1) ** 2 for place in places]
    assert rank_correlations(past_task.predict(places)[:, None], np.array(true))[0] > 0.9


def test_the_published_results_have_their_coordinates() -> None:
    imagenet, cub = PUBLISHED_TASKS
    assert len(imagenet.coordinates) == len(paper.IMAGENET) == 25
    assert len(cub.coordinates) == len(paper.CUB) == 48
    assert max(cub.scores) == paper.CUB[150, 19, 4] == 34.91
    best = cub.coordinates[cub.scores.index(34.91)]
    assert (best.depth, best.grid) == (0, 2)
    carried = cub.predict([mean_coordinates(ADM, Setting(t, block, pool, "linear")) for t, block, pool in paper.CUB])
    assert rank_correlations(carried[:, None], np.array([*paper.CUB.values()]))[0] > 0.95


def test_a_task_of_similar_size_weighs_more_at_first_and_a_task_of_similar_ranks_later() -> None:
    near, far = (past_task_of(str(n), SMALL, [(SETTINGS[0], 1.0)], n, 100 * n) for n in (10, 1000))
    first = initial_weights([near, far], 12, 1500)
    assert first.sum() == pytest.approx(1)
    assert first[0] > first[1]
    later = updated_weights(first, np.array([-0.5, 0.9]))
    assert later.sum() == pytest.approx(1)
    assert later[1] > 0.99


def test_agreement_is_a_rank_correlation_or_none_without_differences() -> None:
    ranks = np.arange(10.0)
    correlations = rank_correlations(np.column_stack([ranks**3, -ranks, np.ones(10)]), ranks)
    assert correlations == pytest.approx([1, -1, 0])
