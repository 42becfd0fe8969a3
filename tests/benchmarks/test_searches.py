"""The simulated searches: the noise-corrected truth, the cost of passes, and the choice, on a made-up table."""

from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.finals import true_scores
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
