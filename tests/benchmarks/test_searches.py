"""The simulated searches: the noise-corrected truth, the cost of passes, and the choice, on a made-up table."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from objectives.heads.head import LabelledFeatures
from tests.benchmarks.finals import true_scores
from tests.benchmarks.search_tables import right_by_fold
from tests.benchmarks.searches import Screening, Table, by_product, finals, outcome, recommended, run_search
from tests.benchmarks.selection_truth import space_of_truth

SPACE = space_of_truth(Path("unused"))


@pytest.fixture(scope="module")
def table() -> Table:
    """A table on which the settings of one block are right more often."""
    chance, settings = np.random.default_rng(0), list(SPACE.settings())
    rates = np.array([0.8 if setting.block == 9 else 0.5 for setting in settings])
    right = chance.random((len(settings), 3, 60)) < rates[:, None, None]
    outside = chance.random((len(settings), 400)) < rates[:, None]
    screening: Screening = {
        "passes": 60,
        "errors": [[setting.to_json(), 1 - rate] for setting, rate in zip(settings[:57], rates, strict=False)],
        "best": [],
        "answer": settings[0].to_json(),
    }
    costs = np.ones(len(settings))
    return Table("made up", 0, settings, costs, 2, right, outside, screening)


def test_the_true_scores_leave_out_the_luck_of_the_best() -> None:
    chance = np.random.default_rng(1)
    alike = chance.random((200, 300)) < 0.5
    assert true_scores(alike).max(axis=1).mean() < alike.mean(axis=1).max() - 0.02


def test_a_search_pays_for_each_timestep_once_and_answers_with_a_good_block(table: Table) -> None:
    search = run_search(table, SPACE, 0, table.screening, most_trials=16)
    timesteps = {table.settings[index].timestep for index in search.tried} | {table.settings[0].timestep}
    assert len(set(search.tried)) == 16
    assert search.passes == pytest.approx(len(timesteps) / 8)
    study = finals(table, SPACE, search, table.settings[recommended(table, table.screening)])
    assert table.settings[by_product(table, study, search)].block == 9
    found = outcome(table, SPACE, search, table.screening)
    assert found["answer"] < found["recommendation"]
    assert 0 <= found["holds"] <= 1


def test_with_known_truth_the_other_images_validate_by_their_folds_classifier_and_have_no_noise(table: Table) -> None:
    by_fold = np.zeros((len(table.settings), 3, 5, table.outside.shape[1]), bool)
    by_fold[:, 1, 2] = True  # in the first round, the classifier of one fold has all images right
    drawn = replace(table, by_fold=by_fold).resampled(0)
    assert drawn.right.shape == (len(table.settings), 3, table.images)
    assert not drawn.right[:, 0].any()
    assert drawn.right[:, 1].mean() == pytest.approx(1 / 5)
    truth = 100 * table.outside.mean(axis=1)
    assert drawn.loss_to_best(3) == pytest.approx(truth.max() - truth[3])
    assert drawn.loss_to_best(3, [3, 4]) == pytest.approx(max(truth[3], truth[4]) - truth[3])


def test_a_fold_classifier_is_judged_on_the_test_images() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(60, 4, 1, 1, generator=generator)
    labels = (features[:, 0, 0, 0] > 0).long()
    images, others = LabelledFeatures(features[:40], labels[:40]), LabelledFeatures(features[40:], labels[40:])
    flipped = replace(images, labels=torch.where(torch.arange(40) < 20, labels[:40], 1 - labels[:40]))
    right = right_by_fold(flipped, others, [np.arange(20), np.arange(20, 40)], 2, 0.01)
    assert right.shape == (2, 20)
    assert right[0].mean() > 0.8  # fitted on true labels
    assert right[1].mean() < 0.2  # fitted on wrong ones
