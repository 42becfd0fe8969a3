"""Accuracy against cost: the table, its sentence and its figure."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from dashboards.study import figures, sentences
from dashboards.study.answer import tradeoff
from dashboards.study.answer.tradeoff import TradeOff
from objectives.results import GMACS, Accuracy, Final, StudyResults, Trial
from spaces import Setting

StudyMaker = Callable[..., StudyResults]


def trial(number: int, correct: int, gmacs: float | None) -> Trial:
    details = {} if gmacs is None else {GMACS: gmacs}
    setting = Setting(44, number + 1, 2, "linear")
    return Trial(number, "complete", setting, Accuracy(correct, 1000), details=details)


def table_of(study: StudyResults) -> TradeOff:
    table = tradeoff.trade_off(study)
    assert table is not None
    return table


def test_the_front_and_the_others_are_all_whose_cost_is_known(study: StudyMaker) -> None:
    trials = (trial(0, 700, 0.5), trial(1, 900, 2.0), trial(2, 800, 1.0), trial(3, 750, 1.5), trial(4, 950, None))
    final = Final(trials[2].setting, 1, Accuracy(790, 1000), Accuracy(400, 500), 1.0, 0, 0)
    table = table_of(study(trials, (final,)))
    assert [point.trial for point in table.pareto_front] == [0, 2, 1]
    assert [point.trial for point in table.others] == [3]
    assert [point.gmacs for point in table.pareto_front] == [0.5, 1.0, 2.0]
    assert [point.validation.value for point in table.pareto_front] == [0.7, 0.8, 0.9]
    assert [point.test and point.test.value for point in table.pareto_front] == [None, 0.8, None]
    assert table.best is table.tied is table.pareto_front[-1]


def test_a_study_that_kept_no_costs_has_no_trade_off(study: StudyMaker) -> None:
    unknown = study((trial(0, 900, None),))
    assert tradeoff.trade_off(study()) is tradeoff.trade_off(unknown) is None
    assert tradeoff.gmacs_of(unknown, unknown.trials[0].setting) is None
    known = study((trial(0, 900, 0.5),))
    assert tradeoff.gmacs_of(known, known.trials[0].setting) == 0.5
    assert tradeoff.gmacs_of(known, Setting(1, 1, 1, "mlp")) is None


@pytest.mark.parametrize(
    ("trials", "told"),
    [
        ((trial(0, 900, 0.5),), "for 0.5 GMAC an image; no cheaper setting was tried."),
        ((trial(0, 900, 0.5), trial(1, 899, 0.7)), "for 0.5 GMAC an image; no cheaper setting was tried."),
        ((trial(0, 900, 2.0), trial(1, 800, 0.5)), "; every cheaper setting is significantly worse."),
        (
            (trial(0, 900, 2.0), trial(1, 895, 0.5), trial(2, 890, 0.25), trial(3, 700, 0.1)),
            "for 2 GMAC an image. The setting block 3, t 44, pool 2, linear takes 12.5 % of that and reaches "
            "89.0 % (86.9–90.8); the difference is not significant (p = 0.47).",
        ),
    ],
    ids=["one", "the best is the cheapest", "nothing as good is cheaper", "as good for less"],
)
def test_the_sentence_says_what_as_good_costs_less(study: StudyMaker, trials: tuple[Trial, ...], told: str) -> None:
    sentence = sentences.trade_off_sentence(table_of(study(trials))).replace("\N{NO-BREAK SPACE}", " ")
    assert sentence.startswith("The best trial, block 1, t 44, pool 2, linear, reaches 90.0 % (88.0–91.7) for")
    assert sentence.endswith(told)


def test_the_figure_draws_its_table(realistic: StudyMaker) -> None:
    run = realistic()
    table = table_of(run)
    steps, others, front, test = figures.trade_off_figure(table).data
    assert (steps.line.shape, others.name, front.name) == ("hv", "other trial", "Pareto front")
    assert list(front.x) == list(steps.x)[:-1] == [point.gmacs for point in table.pareto_front]
    assert list(front.y) == list(steps.y)[:-1] == [100 * point.validation.value for point in table.pareto_front]
    assert (steps.x[-1], steps.y[-1]) == (max([*others.x, *front.x]), front.y[-1])
    assert len(others.x) + len(front.x) == run.count("complete")
    assert len(test.x) == len(run.finalists) == 3
    assert figures.trade_off_figure(table).layout.xaxis.type == "log"
    assert len(figures.trade_off_figure(table_of(replace(run, finals=()))).data) == 3


def test_names_are_escaped_for_plotly_which_reads_html(study: StudyMaker) -> None:
    named = replace(trial(0, 900, 0.5), setting=Setting(44, 16, 2, '<a href="https://example.org">x</a>'))
    assert "<a" not in figures.trade_off_figure(table_of(study((named,)))).to_json()
