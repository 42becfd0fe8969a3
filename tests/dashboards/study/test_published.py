import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from dashboards.study.published import published
from dashboards.study.report import render
from dashboards.study.sentences import published_sentences
from objectives import published_results as paper
from objectives.results import Accuracy, Final, StudyResults, Trial
from spaces import Setting

StudyMaker = Callable[..., StudyResults]


@pytest.fixture
def cub(study: StudyMaker) -> StudyResults:
    """Linear heads at five places of the paper's table, ranked as there, and a finalist."""
    places = [(150, 19, 4), (300, 19, 4), (150, 24, 4), (150, 15, 2), (50, 15, 1)]
    trials = [
        Trial(number, "complete", Setting(*place, "linear"), Accuracy(900 - 100 * number, 1000))
        for number, place in enumerate(places)
    ]
    other = Trial(9, "complete", Setting(150, 19, 4, "mlp"), Accuracy(50, 1000))
    final = Final(trials[0].setting, 1, Accuracy(880, 1000), Accuracy(345, 1000), 1.0, 0, 0)
    return study((*trials, other), (final,), dataset="cub", backbone="adm-256")


def test_published_figures_stand_beside_ours(cub: StudyResults) -> None:
    found = published(cub)
    assert found is not None
    assert len(found.cells) == len(paper.CUB) == 48
    best = found.cells[0]
    assert (best.timestep, best.block, best.pool) == (150, 19, 4)
    assert best.accuracy == pytest.approx(0.3491)
    assert best.ours is not None
    assert best.ours.value == 0.9
    assert sum(cell.ours is not None for cell in found.cells) == 5
    assert found.rank_correlation == pytest.approx(1)
    heads = {(row.head, row.source): row for row in found.heads}
    linear = heads["linear", paper.SOURCE]
    assert linear.accuracy == pytest.approx(0.3157)
    assert linear.tested
    assert linear.ours is not None
    assert linear.ours.value == 0.345
    mlp = heads["mlp", paper.SOURCE]
    assert mlp.ours is not None
    assert (mlp.ours.value, mlp.tested) == (0.05, False)
    assert heads["DifFormer", paper.LATER].ours is None


def test_it_is_told_in_words_and_in_the_report(cub: StudyResults) -> None:
    found = published(cub)
    assert found is not None
    told = " ".join(published_sentences(found)).replace("\N{NO-BREAK SPACE}", " ")
    assert told.startswith("Linear heads were published with 31.6 % (arXiv 2307.08702); ours reach 34.5 % (")
    assert "5 published settings were tried here too: their rank correlation with our accuracies is 1.00." in told
    page = render(cub)
    assert "linear, block 19, t 150, pool 4 (arXiv 2307.08702)" in re.sub("<[^>]*>", "", page)
    assert "arXiv 2311.17921" in page
    assert "published" in page[page.index('<section id="published"') :]


@pytest.mark.parametrize("change", [{"backbone": "bundled"}, {"dataset": "digits"}, {"dataset": "folder"}], ids=str)
def test_of_other_networks_and_datasets_nothing_was_published(cub: StudyResults, change: dict[str, str]) -> None:
    assert published(replace(cub, **change)) is None  # type: ignore[arg-type]
    assert 'id="published"' not in render(replace(cub, **change))  # type: ignore[arg-type]


def test_a_study_that_tried_nothing_of_it_says_so(cub: StudyResults) -> None:
    found = published(replace(cub, trials=(), finals=()))
    assert found is not None
    assert found.rank_correlation is None
    assert published_sentences(found)[0] == "No published setting has been tried here yet."
