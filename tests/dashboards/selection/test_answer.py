"""The candidates of a study and the answer among them, from studies made by hand."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from dashboards.selection.answer import (
    answer_finalist,
    answer_of,
    candidates_of,
    elimination_of,
    seeds_of,
    selection,
)
from objectives.results import (
    GMACS,
    Accuracy,
    CorrectMask,
    Final,
    ImageScores,
    IntervalEstimate,
    Reevaluation,
    Scores,
    StudyResults,
    Trial,
)
from spaces import Setting
from tests.support.studies import small_results

IMAGES = 400


def setting(number: int, pool: int = 1) -> Setting:
    return Setting(10 + number, 3, pool, "linear")


def mask(right: range) -> CorrectMask:
    return CorrectMask(IMAGES, sum(1 << image for image in right))


def trial(number: int, right: range, gmacs: float | None = 1.0, head: str = "linear") -> Trial:
    costs = {} if gmacs is None else {GMACS: gmacs}
    options = () if head == "linear" else (("width", 128),)
    made = replace(setting(number), head=head, options=options)
    answers = mask(right)
    return Trial(number, "complete", made, answers.accuracy, details=costs, correct_mask=answers)


def reevaluation(made: Setting, seed: int, right: range) -> Reevaluation:
    scores = np.zeros(IMAGES)
    scores[list(right)] = 1
    images = np.arange(IMAGES, dtype="<i4").tobytes()
    return Reevaluation(
        made, seed, Accuracy(len(right), IMAGES), 1.0, 3, 5, ImageScores(images, scores.astype("<f4").tobytes())
    )


def study(rights: Mapping[int, range], costs: Mapping[int, float] = {}, **changes: object) -> StudyResults:
    """A study whose settings have these right answers, in their trials and in two rounds."""
    trials = tuple(trial(number, right, costs.get(number, 1.0)) for number, right in rights.items())
    rounds = tuple(reevaluation(setting(number), seed, right) for number, right in rights.items() for seed in (1, 2))
    return replace(small_results(trials, rounds=2), reevaluations=rounds, **changes)  # type: ignore[arg-type]


def test_candidates_are_what_the_best_is_not_significantly_better_than() -> None:
    found = study({0: range(300), 1: range(298), 2: range(100), 3: range(2, 301)})
    assert candidates_of(found, 12) == [setting(0), setting(3), setting(1)]
    assert candidates_of(found, 2) == [setting(0), setting(3)]
    assert candidates_of(small_results(), 12) == []


def test_the_screened_setting_is_a_candidate_with_its_best_head() -> None:
    trials = (trial(0, range(300)), trial(1, range(298)), trial(2, range(50)), trial(2, range(90), head="mlp"))
    found = small_results((*trials[:3], replace(trials[3], number=3)))
    screened = replace(setting(2), head="ridge")
    assert candidates_of(found, 2, screened) == [setting(0), trials[3].setting]
    assert candidates_of(found, 9, screened) == [setting(0), setting(1), trials[3].setting]
    assert candidates_of(found, 2, setting(7)) == [setting(0), setting(1)]


def test_trials_by_another_metric_are_compared_by_their_intervals() -> None:
    def measured(number: int, nll: float) -> Trial:
        scores = Scores(IMAGES, {"nll": IntervalEstimate(nll, nll - 0.1, nll + 0.1)})
        return replace(trial(number, range(300)), scores=scores)

    found = small_results((measured(0, 1.0), measured(1, 1.05), measured(2, 2.0)), provenance={"metric": "nll"})
    assert candidates_of(found, 12) == [setting(0), setting(1)]


def test_the_answer_is_the_cheapest_of_those_as_good_as_the_leader() -> None:
    rights = {0: range(300), 1: range(1, 301), 2: range(270), 3: range(100)}
    found = study(rights, {0: 2.0, 1: 1.0, 2: 0.1, 3: 0.1})
    chosen = selection(found)
    assert chosen is not None
    assert chosen.leader in (setting(0), setting(1))  # on other images, but equally many
    assert chosen.answer.setting == setting(1)
    assert chosen.tied == (setting(0),)  # 2 costs least, but loses 30 images to both
    assert [row.dropped for row in chosen.candidates] == [None, None, 1, 1]
    assert chosen.candidates[2].setting == setting(2)
    assert chosen.candidates[2].loss.low > 0
    assert chosen.candidates[2].seeds == (1, 2)


def test_of_equal_costs_the_simplest_is_the_answer() -> None:
    wide, narrow = (Trial(n, "complete", setting(9, pool), Accuracy(300, IMAGES)) for n, pool in ((0, 4), (1, 2)))
    found = small_results((wide, narrow), rounds=1)
    rounds = tuple(reevaluation(one.setting, 1, range(300)) for one in (wide, narrow))
    found = replace(found, reevaluations=rounds)
    assert answer_of(found, elimination_of(found)) == narrow.setting


@pytest.mark.parametrize(("rounds", "seeds"), [(0, [1, 2]), (5, [1, 2, 3, 4, 5]), (1, [1, 2])])
def test_rounds_are_those_that_the_run_allows_and_those_that_were_made(rounds: int, seeds: list[int]) -> None:
    assert seeds_of(study({0: range(9), 1: range(9)}, rounds=rounds)) == seeds


def test_only_the_answers_own_test_counts() -> None:
    found = study({0: range(300), 1: range(200)})
    assert answer_finalist(found) is None
    former, own = (
        Final(setting(number), 1, Accuracy(19, 20), Accuracy(test, 50), 1.0, 0, 0)
        for number, test in ((1, 50), (0, 30))
    )
    tested = answer_finalist(replace(found, finals=(former, own)))
    assert tested is not None
    assert tested.finals == (own,)


def test_a_study_that_compared_no_candidates_keeps_its_rule() -> None:
    finals = tuple(
        Final(setting(number), 1, Accuracy(right, 20), Accuracy(30, 50), 1.0, 0, 0)
        for number, right in ((0, 15), (1, 18))
    )
    found = small_results((trial(0, range(300)), trial(1, range(200))), finals)
    assert selection(found) is None
    tested = answer_finalist(found)
    assert tested is not None
    assert tested.setting == setting(1)


def test_the_expected_loss_is_small_for_a_clear_winner_and_large_among_many_that_are_alike() -> None:
    clear = selection(study({0: range(390), 1: range(100), 2: range(90)}))
    assert clear is not None
    assert clear.expected_loss is not None
    assert clear.expected_loss.low == 0
    assert clear.expected_loss.high < 0.001
    chance = np.random.default_rng(0)
    alike = {number: range(int(start), int(start) + 200) for number, start in enumerate(chance.integers(0, 200, 12))}
    unclear = selection(study(alike))
    assert unclear is not None
    assert unclear.expected_loss is not None
    assert 0.001 < unclear.expected_loss.value < unclear.expected_loss.high
