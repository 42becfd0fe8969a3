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
    tied_sentence,
    untried_sentence,
)
from dashboards.study.tables import NOT_KEPT, passes, stages
from dashboards.tables import Estimate
from objectives.results import Accuracy, Difference, Final, Trial
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
    ("low", "p", "beaten", "warned"),
    [
        (0.2, 0.001, "On the test images it is significantly better than chance and a linear head on raw pixels.", ""),
        (
            -0.2,
            0.4,
            "On the test images it is significantly better than chance.",
            "A linear head on raw pixels is as good",
        ),
    ],
)
def test_baselines_that_are_beaten_or_not_are_named(low: float, p: float, beaten: str, warned: str) -> None:
    pixels = MeasuredBaseline("raw pixels", Estimate(0.5, 0.4, 0.6, 50), Difference(0.4, low, 0.6, p))
    answer = replace(answer_of(*FINALS), baselines=(pixels,))
    assert beaten_sentence(answer) == beaten
    assert warned in chance_sentence(answer)
    assert bool(warned) == bool(chance_sentence(answer))


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
