"""What is expected of every cell of studies whose accuracy follows a known rule."""

import random
from dataclasses import replace

from objectives.results import Accuracy, StudyResults, Trial
from search.reports.evidence.expectation import FEWEST, expected_cells
from spaces import Setting, Space
from tests.support.architectures import SMALL
from tests.support.studies import small_results

SPACE = Space(SMALL, (5, 44, 260, 500), tuple(range(1, 13)), (1,), ("linear", "mlp"))


def accuracy(setting: Setting) -> float:
    return 0.8 - 0.01 * (setting.block - 7) ** 2 - 0.0002 * (setting.timestep or 0)


def studied(count: int, head: str = "linear", space: Space | None = SPACE) -> StudyResults:
    settings = [Setting(timestep, block, 1, head) for timestep in (5, 44, 260) for block in SPACE.blocks]
    chosen = random.Random(0).sample(settings, count)
    trials = (Trial(n, "complete", s, Accuracy(round(1000 * accuracy(s)), 1000)) for n, s in enumerate(chosen))
    return replace(small_results(tuple(trials)), space=space)


def test_every_cell_of_the_space_has_an_expectation_that_contains_the_truth() -> None:
    expected = expected_cells(studied(24))
    assert expected is not None
    assert expected.cells.keys() == {(block, timestep) for timestep in SPACE.timesteps for block in SPACE.blocks}
    assert (expected.head, expected.trials) == ("linear", 24)
    assert all(0 <= cell.low <= cell.value <= cell.high <= 1 for cell in expected.cells.values())
    inside = [cell.low <= accuracy(cell.setting) <= cell.high for cell in expected.cells.values()]
    assert sum(inside) >= 0.93 * len(inside)

    def width(timestep: int) -> float:
        return sum(cell.high - cell.low for (_, t), cell in expected.cells.items() if t == timestep)

    assert width(500) > 1.5 * width(44)  # nobody tried it


def test_nothing_is_expected_where_the_intervals_were_not_judged() -> None:
    assert expected_cells(studied(FEWEST - 1)) is None
    assert expected_cells(studied(24, head="mlp")) is None
    assert expected_cells(studied(24, space=None)) is None
    assert expected_cells(small_results()) is None
    one = studied(36)
    assert expected_cells(replace(one, trials=tuple(t for t in one.trials if t.setting.timestep != 44))) is None
    assert expected_cells(replace(one, provenance={"metric": "nll"})) is None
