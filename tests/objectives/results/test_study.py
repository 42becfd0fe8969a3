"""Tests of the results that follow from a study's trials alone."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from objectives.results import (
    GMACS,
    Accuracy,
    Confusion,
    CorrectMask,
    Final,
    IntervalEstimate,
    Scores,
    StudyResults,
    Trial,
)
from spaces import Architecture, Block, Setting
from tests.support.studies import small_results

NET = Architecture("net", 8, (Block(1, "b1", "encoder", 4, 8, 1.0, 1.0),), (0.9, 0.5))


def test_images_that_train_and_validate_in_folds_count_once() -> None:
    assert small_results().fitted_images == 100
    folds = {"train": 240, "validation": 240, "test": 60}
    assert small_results(counts=folds, provenance={"folds": "5"}).fitted_images == 240


def trial(number: int, correct: int, gmacs: float | None, state: str = "complete") -> Trial:
    """Whose negative log-likelihood falls as its accuracy rises."""
    scores = Scores(100, {"nll": IntervalEstimate(1 - correct / 100, 0.0, 1.0)})
    details = {} if gmacs is None else {GMACS: gmacs}
    setting = Setting(0, 1, 1, "linear", draws=number + 1)
    return Trial(number, state, setting, Accuracy(correct, 100), details=details, scores=scores)  # type: ignore[arg-type]


def study(*trials: Trial, **provenance: str) -> StudyResults:
    counts = {"train": 80, "validation": 20, "test": 50}
    return StudyResults("s", "d", "net", NET, "default", 9, ("a", "b"), counts, provenance, trials, (), 1.0)


@pytest.mark.parametrize(
    ("trials", "front"),
    [
        ((), []),
        ((trial(0, 80, 2.0),), [0]),
        ((trial(0, 80, None),), []),
        ((trial(0, 80, 2.0), trial(1, 90, 4.0), trial(2, 70, 1.0)), [2, 0, 1]),
        ((trial(0, 80, 2.0), trial(1, 79, 3.0)), [0]),
        ((trial(0, 80, 2.0), trial(1, 80, 1.0)), [1]),
        ((trial(0, 80, 2.0), trial(1, 81, 2.0)), [1]),
        ((trial(0, 80, 2.0), trial(1, 81, 2.019), trial(2, 79, 1.99)), [1]),
        ((trial(0, 80, 2.0), trial(1, 81, 2.021)), [0, 1]),
        ((trial(0, 80, 2.0), trial(1, 99, 1.0, "pruned"), trial(2, 99, None)), [0]),
    ],
    ids=[
        "no trial",
        "one",
        "of unknown cost",
        "better for more",
        "worse for more",
        "as good for less",
        "better for as much",
        "better for next to nothing",
        "better for a little more",
        "pruned and unknown",
    ],
)
@pytest.mark.parametrize("provenance", [{}, {"metric": "nll"}], ids=["accuracy", "nll"])
def test_the_front_is_what_nothing_beats_for_its_cost(
    trials: tuple[Trial, ...], front: list[int], provenance: Mapping[str, str]
) -> None:
    assert [each.number for each in study(*trials, **provenance).pareto_front] == front


def test_a_study_that_is_told_no_objectives_is_not_by_cost() -> None:
    assert not study().by_cost
    assert study(objectives="accuracy, cost").by_cost


@given(st.lists(st.booleans(), min_size=1))
def test_answers_come_back_from_their_bytes(right: list[bool]) -> None:
    answers = CorrectMask(len(right), sum(each << at for at, each in enumerate(right)))
    assert answers.accuracy == Accuracy(sum(right), len(right))
    assert CorrectMask.from_bytes(len(right), answers.to_bytes()) == answers
    assert len(answers.to_bytes()) == -(-len(right) // 8)


def test_a_finalist_has_the_confusions_of_all_seeds_and_each_example_once() -> None:
    setting, half = Setting(0, 1, 1, "linear"), Accuracy(5, 10)
    confused = ((Confusion(0, 1, 3, (7, 4)), Confusion(1, 0, 2, (9,))), (Confusion(1, 0, 2, (9, 8)),))
    finals = tuple(
        Final(setting, seed, half, half, 1.0, 0, 0, confused=pairs) for seed, pairs in enumerate(confused, start=1)
    )
    found = replace(study(), finals=finals).finalists[0].confused
    assert found == (Confusion(1, 0, 4, (9, 8)), Confusion(0, 1, 3, (7, 4)))
