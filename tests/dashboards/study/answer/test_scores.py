"""Studies that kept scores: tables, words, figures and the report when another metric than accuracy is optimised."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from dashboards.optuna_dashboard import _figures, _note
from dashboards.page.figures import block_by_timestep_figure
from dashboards.study import figures, sentences, tables
from dashboards.study.answer.answer import study_answer
from dashboards.study.answer.scores import confusions, scores
from dashboards.study.answer.sentences import tied_sentence
from dashboards.study.choices import sentences as choice_sentences
from dashboards.study.report import render
from objectives.results import METRICS, Accuracy, Confusion, Final, IntervalEstimate, Scores, StudyResults, Trial
from spaces import Setting

StudyMaker = Callable[..., StudyResults]
NLL = METRICS["nll"]
SETTINGS = [Setting(50, block, pool, "linear") for block, pool in ((10, 1), (14, 2), (16, 2))]


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def scored(total: int, correct: int, nll: float) -> Scores:
    accuracy = Accuracy(correct, total)
    values = {
        "accuracy": IntervalEstimate(accuracy.value, *accuracy.interval()),
        "mean-per-class": IntervalEstimate(accuracy.value - 0.1, accuracy.value - 0.15, accuracy.value - 0.05),
        "nll": IntervalEstimate(nll, nll - 0.05, nll + 0.05),
    }
    return Scores(total, values)


def trial(number: int, setting: Setting, correct: int, nll: float) -> Trial:
    return Trial(number, "complete", setting, Accuracy(correct, 200), scores=scored(200, correct, nll))


def final(setting: Setting, seed: int, correct: int, nll: float, confused: tuple[Confusion, ...]) -> Final:
    accuracies = Accuracy(correct, 200), Accuracy(5 * correct, 1000)
    both = scored(200, correct, nll), scored(1000, 5 * correct, nll + 0.1)
    return Final(setting, seed, *accuracies, 2.0, 0, 0, *both, confused)


@pytest.fixture(scope="module")
def by_nll(study: StudyMaker) -> StudyResults:
    """By accuracy trial 0 is the best, by log-likelihood trial 1."""
    trials = (trial(0, SETTINGS[0], 160, 0.9), trial(1, SETTINGS[1], 140, 0.4), trial(2, SETTINGS[2], 120, 0.42))
    finals = (
        final(SETTINGS[0], 1, 160, 0.9, (Confusion(4, 5, 30), Confusion(5, 4, 10))),
        final(SETTINGS[1], 1, 140, 0.5, (Confusion(2, 3, 40), Confusion(0, 1, 20))),
        final(SETTINGS[1], 2, 150, 0.4, (Confusion(0, 1, 30), Confusion(2, 3, 20))),
    )
    return study(trials, finals, provenance={"metric": "nll"})


def test_the_metric_decides_what_is_best(by_nll: StudyResults) -> None:
    assert [t.number for t in by_nll.complete] == [1, 2, 0]
    assert [f.setting for f in by_nll.finalists] == [SETTINGS[1], SETTINGS[0]]
    by_accuracy = replace(by_nll, provenance={})
    assert [t.number for t in by_accuracy.complete] == [0, 1, 2]
    assert [f.setting for f in by_accuracy.finalists] == [SETTINGS[0], SETTINGS[1]]


def test_the_answer_is_measured_by_the_metric(by_nll: StudyResults) -> None:
    found = study_answer(by_nll)
    assert found is not None
    assert found.test is not None
    assert (found.validation.value, found.validation.low, found.validation.high) == pytest.approx((0.45, 0.4, 0.5))
    assert found.test.value == pytest.approx(0.55)
    assert (found.test.images, found.test.metric) == (1000, NLL)
    assert found.tied == ()
    assert tables.leaderboard(by_nll).tied == 2
    assert tables.block_by_timestep(by_nll).best == tables.block_by_timestep(by_nll).cells[14, 50]
    assert [point.best for point in tables.history(by_nll)] == [0.9, 0.4, 0.4]
    assert [group.values for group in tables.pooling_groups(by_nll)] == [(0.9,), (0.4, 0.42)]


def test_scores_are_means_over_seeds_of_what_all_finals_kept(by_nll: StudyResults) -> None:
    rows = {row.metric.name: row for row in scores(by_nll)}
    assert rows.keys() == {"accuracy", "mean-per-class", "nll"}
    accuracy = rows["accuracy"].test
    assert accuracy is not None
    assert (accuracy.value, accuracy.low) == pytest.approx((0.725, Accuracy(725, 1000).interval()[0]))
    mean = rows["mean-per-class"].validation
    assert mean is not None
    assert (mean.value, mean.low, mean.high) == pytest.approx((0.625, 0.575, 0.675))
    first, second, third = by_nll.finals
    old = replace(
        by_nll, finals=(first, second, replace(third, validation_scores=None, test_scores=None)), provenance={}
    )
    assert [row.metric.name for row in scores(replace(old, finals=old.finals[1:]))] == ["accuracy"]


def test_confusions_add_up_over_seeds(by_nll: StudyResults) -> None:
    found = confusions(by_nll)
    assert found is not None
    assert [(row.true, row.predicted, row.images) for row in found.rows] == [
        ("species 2", "species 3", 60),
        ("species 0", "species 1", 50),
    ]
    assert (found.wrong, found.seeds) == (110, 2)
    assert plain(sentences.confusions_sentence(found)) == (
        "‘species 2’ predicted as ‘species 3’ is the most frequent: 54.5 % of the 110 mistakes on the validation "
        "images of 2 seeds. Test images are not used here."
    )
    even = replace(found, rows=(replace(found.rows[0], images=50), found.rows[1]))
    assert sentences.confusions_sentence(even).startswith("No pair of classes is the most frequent of the 110 mistakes")
    forgotten = tuple(replace(each, confused=()) for each in by_nll.finals[:2])
    assert confusions(replace(by_nll, finals=(*forgotten, by_nll.finals[2]))) is None
    assert confusions(replace(by_nll, finals=())) is None


def test_words_name_the_metric_and_its_direction(by_nll: StudyResults) -> None:
    found = study_answer(by_nll)
    assert found is not None
    assert tied_sentence(found, 3).startswith("It is significantly better than the other setting")
    untested = replace(found, rule="trials", test=None)
    assert "Its test negative log-likelihood is unknown" in tied_sentence(untested, 3)
    assert plain(choice_sentences.groups_sentence("Pool", tables.pooling_groups(by_nll))) == (
        "Pool 2 reaches the lowest negative log-likelihood, 0.400 (0.350–0.450), as the best of 2 trials. That is "
        "0.500 below the only trial with pool 1; the difference is significant (p < 0.0001). The best of more "
        "trials is better by chance alone, so this does not show which is better."
    )
    assert choice_sentences.block_by_timestep_sentence(tables.block_by_timestep(by_nll)) == (
        "The answer's cell, block 14, t 50, reaches 0.400 (0.350–0.450) in its only trial. 1 of the 2 other cells that "
        "were tried differs from it by less than chance would. The highest, block 10, t 50, reaches 0.900. 22 of the "
        "25 cells were not tried."
    )


def test_figures_draw_the_metric_with_the_best_colour_for_the_lowest(by_nll: StudyResults) -> None:
    heatmap = block_by_timestep_figure(tables.block_by_timestep(by_nll)).data[0]
    assert heatmap.reversescale
    assert heatmap.colorbar.title.text.startswith("Best validation negative log-likelihood<br>")
    assert sorted(value for value in heatmap.z[0] if value is not None) == [0.4, 0.42, 0.9]
    history = figures.history_figure(tables.history(by_nll))
    assert list(history.data[1].y) == [0.9, 0.4, 0.4]
    assert history.layout.yaxis.title.text == "Validation negative log-likelihood"


def test_the_report_tells_the_metric_the_accuracy_all_scores_and_confusions(by_nll: StudyResults) -> None:
    evil = "<b>species</b> 2"
    classes = tuple(evil if place == 2 else name for place, name in enumerate(by_nll.classes))
    page = plain(render(replace(by_nll, classes=classes)))
    body = page[: page.index("plotly.js v")]
    assert "<dt>Test negative log-likelihood</dt>\n<dd><strong>0.550</strong>" in body
    assert "<dt>Test accuracy</dt>\n<dd><strong>72.5 %</strong>" in body
    assert "Mean per-class accuracy</th>\n<td>62.5 % (57.5–67.5)</td>" in body
    assert "Negative log-likelihood by block and timestep" in body
    assert "on the validation images of 2 seeds" in body
    assert evil not in body
    assert body.count("&lt;b&gt;species&lt;/b&gt; 2") == 3  # sentence, table and provenance


def test_without_finals_the_best_trials_scores_are_told(by_nll: StudyResults) -> None:
    page = plain(render(replace(by_nll, finals=())))
    assert "<dt>Validation negative log-likelihood</dt>\n<dd><strong>0.400</strong>" in page
    assert "<dt>Validation accuracy</dt>\n<dd><strong>70.0 %</strong>" in page
    assert 'id="confusions"' not in page


def test_optuna_dashboard_is_told_the_metric(by_nll: StudyResults) -> None:
    note = plain(_note(by_nll, None, 0))
    assert ", by negative log-likelihood" in note
    assert "A trial's value is the log-likelihood, never above 0: higher is better." in note
    assert "- test negative log-likelihood 0.550 (0.500–0.600), mean of seeds 1, 2" in note
    assert "- test accuracy 72.5 %" in note
    assert _figures(by_nll)["search-heads"][0] == "Negative log-likelihood by head"
