"""The sentences of an answer: what it beats, what was not tried, and what a study cost."""

from dataclasses import replace

import pytest

from dashboards.study import sentences
from dashboards.study.answer.answer import Answer, MeasuredBaseline, study_answer
from dashboards.study.answer.sentences import (
    beaten_sentence,
    best_trial_sentence,
    chance_sentence,
    coverage_text,
    outside_sentence,
    screening_sentence,
    tied_sentence,
    untried_sentence,
)
from dashboards.study.tables import NOT_KEPT, passes, stages
from dashboards.tables import Estimate
from objectives.results import Accuracy, ChoiceCoverage, Difference, Final, Trial
from spaces import Setting, Space
from tests.support.architectures import SMALL
from tests.support.studies import small_results

FIRST, SECOND = Setting(10, 3, 1, "linear"), Setting(90, 3, 2, "linear")
SPACE = Space(SMALL, (10, 50, 90), (3,), (1, 2), ("linear",))
TRIALS = (
    Trial(0, "complete", FIRST, Accuracy(18, 20)),
    Trial(1, "complete", SECOND, Accuracy(19, 20)),
    Trial(2, "interrupted", SECOND, reason="interrupted: the run was stopped"),
)
STUDY = small_results(TRIALS, space=SPACE, screened=(replace(FIRST, timestep=50),), majority=0.5)
FINALS = tuple(Final(setting, 1, Accuracy(18, 20), Accuracy(45, 50), 1.0, 0, 0) for setting in (FIRST, SECOND))


def answer_of(*finals: Final) -> Answer:
    answer = study_answer(replace(STUDY, finals=finals))
    assert answer is not None
    return answer


def test_what_was_tried_of_the_space_and_what_was_not() -> None:
    answer = answer_of()
    assert coverage_text(answer.coverage) == ("2 of 3 timesteps, only block 3, all 2 pool sizes, only the linear head")
    assert untried_sentence(answer.coverage) == "Not tried: timestep 50."
    assert untried_sentence(answer.coverage, screened=1) == "Not tried: timestep 50 (screened only)."
    assert outside_sentence(STUDY).startswith(f"The space leaves out {len(SMALL.blocks) - 1} of the")
    assert outside_sentence(replace(STUDY, space=None)) == ""


def test_of_equal_finalists_the_simplest_is_the_answer_and_the_best_trial_is_told() -> None:
    answer = answer_of(*FINALS)
    assert (answer.rule, answer.setting, answer.tied) == ("finalists", FIRST, (SECOND,))
    assert tied_sentence(answer, 2).startswith("1 other setting is tied with it: 20 validation images cannot")
    assert best_trial_sentence(answer).startswith(f"Trial 1, {SECOND}, has the best value")
    assert answer_of().best_trial is None
    assert "only the best of 2 trials so far" in tied_sentence(answer_of(), 2)


@pytest.mark.parametrize(
    ("low", "high", "p", "beaten", "warned"),
    [
        (
            0.2,
            0.6,
            0.001,
            "On the test images it is significantly better than chance and a linear head on raw pixels.",
            "",
        ),
        (
            -0.2,
            0.05,
            0.4,
            "On the test images it is significantly better than chance.",
            "A linear head on raw pixels is as good",
        ),
        (
            -0.6,
            -0.2,
            0.001,
            "On the test images it is significantly better than chance.",
            "A linear head on raw pixels is significantly better on the test images.",
        ),
        (
            -0.2,
            0.6,
            0.4,
            "On the test images it is significantly better than chance.",
            "not significantly better than a linear head on raw pixels: 50 test images cannot tell them apart.",
        ),
    ],
)
def test_baselines_that_are_beaten_or_not_are_named(
    low: float, high: float, p: float, beaten: str, warned: str
) -> None:
    pixels = MeasuredBaseline("raw pixels", Estimate(0.5, 0.4, 0.6, 50), Difference((low + high) / 2, low, high, p))
    answer = replace(answer_of(*FINALS), baselines=(pixels,))
    assert beaten_sentence(answer) == beaten
    assert warned in chance_sentence(answer)
    assert bool(warned) == bool(chance_sentence(answer))


def test_few_test_images_cannot_tell_an_answer_from_chance() -> None:
    few = Final(FIRST, 1, Accuracy(28, 33), Accuracy(4, 9), 1.0, 0, 0)
    guess = replace(answer_of(few), majority=1 / 3)
    assert chance_sentence(guess).replace("\N{NO-BREAK SPACE}", " ") == (
        "9 test images are too few to tell it from chance: always naming the most frequent class is right on 33.3 % of "
        "them. On the validation images it lies above that: 84.8 % (69.1–93.3)."
    )
    many = Final(FIRST, 1, Accuracy(28, 33), Accuracy(333, 999), 1.0, 0, 0)
    told = chance_sentence(replace(answer_of(many), majority=1 / 3))
    assert told.startswith("As far as the test images tell, it is no better than chance: always")
    assert "validation" not in told


def test_untried_values_are_named_with_those_that_were_screened() -> None:
    timesteps = tuple(range(0, 80, 10))
    coverage = ChoiceCoverage("timestep", timesteps, (0,), (0, 40))
    named = "timesteps 10, 20, 30, 40, 50, 60, 70"
    assert untried_sentence([coverage]) == f"Not tried: {named}."
    assert untried_sentence([coverage], screened=2) == f"Not tried: {named} (screened only: 40)."
    more = ChoiceCoverage("timestep", tuple(range(12)), (0,))
    assert untried_sentence([more]).endswith("timesteps 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 1 more.")


def test_a_screening_of_all_images_is_told_as_such() -> None:
    scored = "scored 1 setting at 1 timestep before the first trial."
    assert screening_sentence(STUDY) == f"A screening {scored}"
    every = replace(STUDY, screening_passes=100)
    assert screening_sentence(every) == f"A screening of all 100 images {scored}"
    assert screening_sentence(replace(every, provenance={"flips": "horizontal"})) == f"A screening {scored}"
    assert screening_sentence(replace(STUDY, screened=())) == ""


def test_all_passes_count_and_stages_add_up_to_the_running_time() -> None:
    spent = replace(STUDY, stages={"start": 4.0, "trials": 6.0}, wall_seconds=10.0, screening_passes=30)
    assert (passes(spent).made, passes(spent).screening) == (30, 30)
    assert [stage.share for stage in stages(spent)] == [0.4, 0.6]
    assert "add up to the running time" in sentences.stages_sentence(stages(spent), 10.0)
    killed = stages(replace(spent, wall_seconds=20.0))
    assert (killed[-1].name, killed[-1].seconds) == (NOT_KEPT, 10.0)
    assert "at the same time" in sentences.stages_sentence(stages(spent), 5.0)
    assert stages(STUDY) == ()


def test_a_trial_of_a_stopped_run_is_interrupted_and_not_failed() -> None:
    assert (STUDY.count("failed"), STUDY.count("interrupted")) == (0, 1)
