"""The best setting of a study as text and as JSON, for each metric."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from objectives.results import Accuracy, Evaluation, Final, IntervalEstimate, Scores, StudyResults, Trial
from search.database.records import scores_from_dict, scores_to_dict
from search.display.live_table import RunProgress
from search.reports.answer import answer_facts, answer_lines, answer_record, spread
from search.scheduling.events import TrialEnded, TrialStarted
from search.scheduling.requests import TrialRequest
from spaces import SearchError, Setting
from tests.support.studies import MakeRecord, small_results

SETTING = Setting(10, 3, 1, "linear")
SCORES = Scores(20, {"accuracy": IntervalEstimate(0.9, 0.7, 0.97), "nll": IntervalEstimate(0.3125, 0.2, 0.5)})


def make_study(metric: str | None, finals: tuple[Final, ...] = (), *trials: Trial) -> StudyResults:
    return small_results(trials, finals, provenance={"metric": metric} if metric else {})


def trial(number: int = 0, correct: int = 18, scores: Scores | None = SCORES) -> Trial:
    return Trial(number, "complete", SETTING, Accuracy(correct, 20), scores=scores)


FINAL = Final(SETTING, 1, Accuracy(18, 20), Accuracy(40, 50), 1.0, 0, 0, SCORES, SCORES)


def test_a_study_without_stored_scores_prints_its_accuracy() -> None:
    old = Final(SETTING, 1, Accuracy(18, 20), Accuracy(40, 50), 1.0, 0, 0)
    study = make_study(None, (old,), trial(scores=None))
    answer = answer_record(study)
    assert (answer["metric"], answer["validation_accuracy"], answer["test_accuracy"]) == ("accuracy", 0.9, 0.8)
    assert answer["test_interval"] == list(Accuracy(40, 50).interval())
    assert answer["scores"]["test"].keys() == {"accuracy"}
    assert answer_lines(study)[2:4] == [
        "validation  90.0 %  (95 % interval 69.9 to 97.2)",
        "test        80.0 %  (95 % interval 67.0 to 88.8; one seed)",
    ]


def test_another_metric_is_named_beside_the_accuracy() -> None:
    study = make_study("nll", (FINAL,), trial())
    answer = answer_record(study)
    assert answer["metric"] == "nll"
    assert answer["scores"]["test"]["nll"] == {"value": 0.3125, "interval": [0.2, 0.5]}
    assert answer_lines(study)[2:4] == [
        "validation  negative log-likelihood 0.312  (95 % interval 0.200 to 0.500)",
        "            accuracy 90.0 %  (95 % interval 69.9 to 97.2)",
    ]


def priced(number: int, correct: int, gmacs: float) -> Trial:
    setting = Setting(10, 3, 1, "linear", draws=number + 1)
    return Trial(number, "complete", setting, Accuracy(correct, 20), details={"gmacs": gmacs})


def test_a_study_with_costs_prints_its_pareto_front() -> None:
    trials = (priced(0, 18, 12.5), priced(1, 10, 0.125), priced(2, 16, 1.0), priced(3, 15, 3.0))
    final = Final(trials[2].setting, 1, Accuracy(15, 20), Accuracy(40, 50), 1.0, 0, 0)
    plain = make_study(None, (final,), *trials)
    study = replace(plain, provenance={"objectives": "accuracy, cost"})
    lines = answer_lines(study)
    assert lines[4:9] == [
        "cost        1 GMAC an image, passes and head",
        "front       GMAC   validation             test                   setting",
        "            0.125  50.0 % (29.9 to 70.1)                         block 3, t 10, 2 draws, pool 1, linear",
        "            1      80.0 % (58.4 to 91.9)  80.0 % (67.0 to 88.8)  block 3, t 10, 3 draws, pool 1, linear",
        "            12.5   90.0 % (69.9 to 97.2)                         block 3, t 10, pool 1, linear",
    ]
    assert answer_lines(plain) == lines[:5] + lines[9:]
    answer = answer_record(plain)
    assert answer["gmacs"] == 1.0
    assert [row["gmacs"] for row in answer["front"]] == [0.125, 1.0, 12.5]
    assert answer["front"][1]["test"]["value"] == 0.8
    assert answer["front"][2] == {
        "setting": trials[0].setting.to_dict(),
        "gmacs": 12.5,
        "validation": {"value": 0.9, "interval": list(Accuracy(18, 20).interval())},
        "test": None,
    }


def test_a_long_pareto_front_is_shortened() -> None:
    study = make_study(None, (), *(priced(number, number + 1, 2.0**number) for number in range(12)))
    lines = answer_lines(replace(study, provenance={"objectives": "accuracy, cost"}))
    assert len(study.pareto_front) == 12
    assert sum("draw" in line or "linear" in line for line in lines[5:]) == 8
    assert "            and 4 more between these; the report has all" in lines


@pytest.mark.parametrize(
    ("costs", "count", "chosen"),
    [
        ([1.0], 3, [0]),
        ([1.0, 2.0], 1, [1]),
        ([1.0, 2.0, 3.0], 2, [2, 0]),
        ([1.0, 1.1, 10.0, 90.0, 100.0], 3, [4, 0, 2]),
        ([1.0, 50.0, 100.0], 9, [2, 0, 1]),
        ([], 3, []),
    ],
)
def test_finalists_are_spread_over_the_cost(costs: list[float], count: int, chosen: list[int]) -> None:
    study = make_study(None, (), *(priced(number, number + 1, cost) for number, cost in enumerate(costs)))
    assert [trial.number for trial in spread(study.pareto_front, count)] == chosen


def test_a_study_without_finals_has_no_test_scores() -> None:
    study = make_study("nll", (), trial())
    answer = answer_record(study)
    assert (answer["test_accuracy"], answer["test_interval"], answer["scores"]["test"]) == (None, None, {})
    assert "not measured yet" in answer_lines(study)[4]
    assert answer_facts(study)["test"][0].endswith("looks better on validation than it is")
    with pytest.raises(SearchError, match="no complete trial yet"):
        answer_record(make_study("nll"))


@pytest.mark.parametrize(
    ("metric", "words"), [(None, "best trial 95.0 % at"), ("nll", "best trial negative log-likelihood 0.250 at")]
)
def test_the_progress_line_names_the_metric(metric: str | None, words: str) -> None:
    output = io.StringIO()
    progress = RunProgress.of(Console(file=output, width=200), 9, make_study(metric, (), trial()))
    progress.clock = iter(range(1000, 10**6, 20)).__next__
    better = Evaluation(
        Accuracy(19, 20), {}, 0, 0, scores=replace(SCORES, values={"nll": IntervalEstimate(0.25, 0.2, 0.5)})
    )
    worse = Evaluation(
        Accuracy(1, 20), {}, 0, 0, scores=replace(SCORES, values={"nll": IntervalEstimate(0.5, 0.2, 0.9)})
    )
    for number, evaluation in enumerate((better, worse), 1):
        progress(TrialStarted(request := TrialRequest(number, SETTING, 1)))
        progress(TrialEnded(request, "complete", evaluation))
    progress.tick()
    assert words in output.getvalue().splitlines()[-1]


def test_scores_survive_the_database() -> None:
    assert scores_from_dict(scores_to_dict(SCORES)) == SCORES
    assert scores_from_dict(scores_to_dict(None)) is None


def test_a_study_by_accuracy_keeps_the_name_it_had_before_metrics_existed(
    make_record: MakeRecord,
) -> None:
    plain, other = make_record(), make_record(protocol={**make_record().protocol, "metric": "nll"})
    assert "metric" not in plain.protocol
    assert plain.metric.name == "accuracy"
    assert plain.identity != other.identity
