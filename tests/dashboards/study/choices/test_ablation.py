"""Studies that tried every block at every timestep."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from dashboards.study.choices.ablation import ablations
from dashboards.study.choices.figures import ablation_figure
from dashboards.study.choices.sections import ablation_section
from objectives.results import ACCURACY, Accuracy, StudyResults, Trial
from spaces import Setting, Space

StudyMaker = Callable[..., StudyResults]


@pytest.fixture
def complete(study: StudyMaker) -> StudyResults:
    """Pools 1 and 2 of three blocks at two timesteps; block 15 is best, more so at t 50."""
    plain = study(dataset="cub", backbone="adm-256")
    space = Space(plain.architecture, (50, 150), (15, 19, 22), (1, 2), ("linear", "mlp"))
    settings = [Setting(t, block, pool, "linear") for pool in (1, 2) for t in (150, 50) for block in space.blocks]
    trials = tuple(
        Trial(number, "complete", setting, Accuracy(700 - 10 * setting.block - (setting.timestep or 0), 1000))
        for number, setting in enumerate(settings)
    )
    return replace(plain, space=space, trials=trials)


def test_an_ablation_has_every_block_at_every_timestep(complete: StudyResults) -> None:
    one, two = ablations(complete)
    assert (one.pool, two.pool, one.head) == (1, 2, "linear")
    assert (one.blocks, one.timesteps, len(one.cells)) == ((15, 19, 22), (50, 150), 6)
    assert one.best == (15, 50)
    assert one.published[19, 150] == pytest.approx(0.0788)
    assert two.published[19, 150] == pytest.approx(0.2042)
    gap = replace(complete, trials=complete.trials[1:])
    assert [table.pool for table in ablations(gap)] == [2]
    assert ablations(replace(complete, space=None)) == ()
    assert ablations(replace(complete, backbone="bundled"))[0].published == {}


def test_the_figure_has_a_line_for_each_timestep_and_crosses_for_what_was_published(complete: StudyResults) -> None:
    table = ablations(complete)[0]
    lines = ablation_figure(table, ACCURACY).data
    assert [line.name for line in lines] == ["t 50", "t 50, published", "t 150", "t 150, published"]
    assert list(lines[0].x) == ["15", "19", "22"]
    assert list(lines[0].y) == [50, 46, 43]
    assert dict(zip(lines[3].x, lines[3].y, strict=True)) == pytest.approx({"15": 5.1, "19": 7.88})


def test_the_section_shows_the_pool_of_the_answer_and_the_numbers_of_all(complete: StudyResults) -> None:
    (section,) = ablation_section(complete)
    told = " ".join(section.sentences).replace("\N{NO-BREAK SPACE}", " ")
    assert "one trial for each of the 6 cells, so all compare" in told
    assert "The best is block 15, timestep 50: 50.0 %" in told
    assert "Crosses are the 4 published values (arXiv 2307.08702)" in told
    assert section.table is not None
    assert len(section.table.rows) == 6
    assert ablation_section(replace(complete, trials=complete.trials[:3])) == []
