"""What a person and a program are told of a study, by whichever metric it was made."""

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from objectives.results import Accuracy, Evaluation, Final, Measured, Scores, Study, Trial
from search.answers import answer_lines, answer_of
from search.database.facts import StudyFacts, scores_from_dict, scores_to_dict
from search.progress import RunProgress
from spaces import SearchError, Setting, Space

SETTING = Setting(10, 3, 1, "linear")
SCORES = Scores(20, {"accuracy": Measured(0.9, 0.7, 0.97), "nll": Measured(0.3125, 0.2, 0.5)})
MakeStudy = Callable[..., Study]


@pytest.fixture
def make_study(space: Space) -> MakeStudy:
    def made(metric: str | None, finals: tuple[Final, ...] = (), *trials: Trial) -> Study:
        return Study(
            name="digits-1",
            dataset="digits",
            backbone="bundled",
            architecture=space.architecture,
            preset="default",
            space_size=len(space),
            classes=("zero", "one"),
            counts={"train": 80, "validation": 20, "test": 50},
            provenance={"metric": metric} if metric else {},
            trials=trials,
            finals=finals,
            wall_seconds=1.0,
        )

    return made


def trial(number: int = 0, correct: int = 18, scores: Scores | None = SCORES) -> Trial:
    return Trial(number, "complete", SETTING, Accuracy(correct, 20), scores=scores)


FINAL = Final(SETTING, 1, Accuracy(18, 20), Accuracy(40, 50), 1.0, 0, 0, SCORES, SCORES)


def test_a_study_of_before_scores_is_told_as_it_was(make_study: MakeStudy) -> None:
    old = Final(SETTING, 1, Accuracy(18, 20), Accuracy(40, 50), 1.0, 0, 0)
    study = make_study(None, (old,), trial(scores=None))
    answer = answer_of(study)
    assert (answer["metric"], answer["validation_accuracy"], answer["test_accuracy"]) == ("accuracy", 0.9, 0.8)
    assert answer["test_interval"] == list(Accuracy(40, 50).interval())
    assert answer["scores"]["test"].keys() == {"accuracy"}
    assert answer_lines(study)[2:4] == [
        "validation  90.0 %  (95 % interval 69.9 to 97.2)",
        "test        80.0 %  (95 % interval 67.0 to 88.8; mean of 1 seeds)",
    ]


def test_another_metric_is_named_and_the_accuracy_told_too(make_study: MakeStudy) -> None:
    study = make_study("nll", (FINAL,), trial())
    answer = answer_of(study)
    assert answer["metric"] == "nll"
    assert answer["scores"]["test"]["nll"] == {"value": 0.3125, "interval": [0.2, 0.5]}
    assert answer_lines(study)[2:4] == [
        "validation  negative log-likelihood 0.312  (95 % interval 0.200 to 0.500)",
        "            accuracy 90.0 %  (95 % interval 69.9 to 97.2)",
    ]


def test_before_its_finals_a_study_has_no_test_scores(make_study: MakeStudy) -> None:
    study = make_study("nll", (), trial())
    answer = answer_of(study)
    assert (answer["test_accuracy"], answer["test_interval"], answer["scores"]["test"]) == (None, None, {})
    assert "not read yet" in answer_lines(study)[4]
    with pytest.raises(SearchError, match="no complete trial yet"):
        answer_of(make_study("nll"))


@pytest.mark.parametrize(
    ("metric", "worth", "told"),
    [(None, 0.95, "best 95.0 % at"), ("nll", -0.25, "best negative log-likelihood 0.250 at")],
)
def test_the_progress_line_names_the_metric(make_study: MakeStudy, metric: str | None, worth: float, told: str) -> None:
    said = io.StringIO()
    progress = RunProgress.of(Console(file=said, width=200), 9, make_study(metric, (), trial()))
    better = Evaluation(Accuracy(19, 20), {}, 0, 0, score=worth, scores=SCORES)
    worse = Evaluation(Accuracy(1, 20), {}, 0, 0, score=worth - 1, scores=SCORES)
    for evaluation in (better, worse):
        progress.trial_ended(SETTING, "complete", evaluation, None)
    progress.expect_finals(0)
    assert told in said.getvalue().splitlines()[-1]


def test_scores_survive_the_database() -> None:
    assert scores_from_dict(scores_to_dict(SCORES)) == SCORES
    assert scores_from_dict(scores_to_dict(None)) is None


def test_a_study_of_the_accuracy_keeps_the_identity_of_before_there_were_metrics(
    make_facts: Callable[..., StudyFacts],
) -> None:
    plain, other = make_facts(), make_facts(protocol={**make_facts().protocol, "metric": "nll"})
    assert "metric" not in plain.protocol
    assert plain.metric.name == "accuracy"
    assert plain.identity != other.identity
