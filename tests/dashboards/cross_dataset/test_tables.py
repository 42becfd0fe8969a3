"""Losses of each dataset's best setting on the other datasets: numbers by hand, and laws that all losses keep."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import hypot

import pytest

from dashboards.cross_dataset.tables import (
    FAILED,
    NOT_TRIED,
    OUTSIDE,
    STOPPED,
    Task,
    best_by_block,
    regret_matrix,
    task_row,
)
from objectives.results import Accuracy, CorrectMask, Difference, Final, StudyResults, Trial, TrialState
from spaces import Setting, Tap

StudyMaker = Callable[..., StudyResults]
TaskMaker = Callable[..., Task]

DEEP, LATE, COARSE = Setting(44, 16, 4, "linear"), Setting(160, 13, 4, "linear"), Setting(44, 16, 1, "linear")
NARROW = Setting(260, 13, 4, "linear")


def complete(number: int, setting: Setting, right: str, kept: bool = True) -> Trial:
    """right: an image a letter, 1 where it was answered rightly, the first image first."""
    answers = CorrectMask(len(right), int(right[::-1], 2))
    return Trial(number, "complete", setting, answers.accuracy, correct_mask=answers if kept else None)


def tried(number: int, state: TrialState, setting: Setting, reason: str | None = None) -> Trial:
    return Trial(number, state, setting, reason=reason)


@pytest.fixture
def tasks(make_task: TaskMaker) -> tuple[Task, Task]:
    birds = make_task("birds", complete(0, DEEP, "1111111000"), complete(1, LATE, "1110000001"))
    cars = make_task("cars", complete(0, LATE, "0111"), complete(1, COARSE, "0100"), complete(2, DEEP, "1000"))
    return birds, cars


def test_a_matrix_by_hand(tasks: tuple[Task, Task]) -> None:
    found = regret_matrix(tasks)
    assert found.labels == ("birds", "cars")
    assert [cell.loss for cell in found.cells.values() if cell.is_own] == [Difference(0, 0, 0, 1)] * 2
    on_birds, on_cars = found.cells["cars", "birds"], found.cells["birds", "cars"]
    assert (on_birds.setting, on_cars.setting) == (LATE, DEEP)
    # Block 16 alone is correct on 4 of 10 images, block 13 alone on 1.
    assert on_birds.loss is not None
    assert on_birds.loss.value == pytest.approx(0.3)
    assert (on_birds.loss.low, on_birds.loss.high) == pytest.approx((-0.1766, 0.6551), abs=1e-3)
    assert (on_birds.images, on_birds.paired, on_birds.significant) == (10, True, False)
    assert on_birds.loss.p == pytest.approx(2 * (1 + 5 / 2) / 2**5)  # mid-p McNemar: 4 of 5
    assert on_cars.loss is not None
    assert on_cars.loss.value == 0.5
    assert found.known == (on_cars, on_birds)
    assert found.missing == ()
    assert [shared.best_of for shared in found.shared_settings] == ["cars", "birds"]
    best = found.shared_settings[0]
    assert best.mean.value == pytest.approx(0.15)
    assert best.worst is on_birds
    assert best.mean.low == pytest.approx(0.15 - (0.3 - on_birds.loss.low) / 2)


def test_where_answers_were_not_kept_the_interval_is_of_two_accuracies(make_task: TaskMaker) -> None:
    birds = make_task("birds", complete(0, DEEP, "1111111000"), complete(1, LATE, "1110000001", kept=False))
    cell = regret_matrix((birds, make_task("cars", complete(0, LATE, "1")))).cells["cars", "birds"]
    (low, high), (other_low, other_high) = Accuracy(7, 10).interval(), Accuracy(4, 10).interval()
    assert cell.loss is not None
    assert not cell.paired
    assert cell.loss.value == pytest.approx(0.3)
    assert cell.loss.low == pytest.approx(0.3 - hypot(0.7 - low, other_high - 0.4))
    assert cell.loss.high == pytest.approx(0.3 + hypot(high - 0.7, 0.4 - other_low))


@pytest.mark.parametrize(
    ("trials", "missing", "why"),
    [
        ((), NOT_TRIED, "it has no complete trial"),
        ((tried(1, "running", LATE),), NOT_TRIED, "it has no complete trial"),
        ((tried(1, "interrupted", LATE, "interrupted: the run was stopped"),), NOT_TRIED, "it has no complete trial"),
        ((tried(1, "failed", LATE, "out of memory"),), FAILED, "out of memory"),
        ((tried(1, "failed", LATE, "out of memory"), tried(2, "pruned", LATE, "behind")), STOPPED, "behind"),
    ],
)
def test_a_cell_without_a_complete_trial_is_missing_and_says_why(
    make_task: TaskMaker, trials: Sequence[Trial], missing: str, why: str
) -> None:
    birds, cars = make_task("birds", complete(0, DEEP, "11"), *trials), make_task("cars", complete(0, LATE, "11"))
    found = regret_matrix((birds, cars))
    cell = found.cells["cars", "birds"]
    assert (cell.loss, cell.missing, cell.why) == (None, missing, why)
    assert cell in found.missing
    assert found.known == ()
    assert found.shared_settings == ()  # neither setting is known on both


def test_a_setting_outside_a_datasets_space_is_told_as_that(make_task: TaskMaker) -> None:
    cars = make_task("cars", complete(0, NARROW, "11"))
    narrow = replace(cars.space, timesteps=(44, 160))
    birds = replace(make_task("birds", complete(0, DEEP, "11")), space=narrow)
    cell = regret_matrix((birds, cars)).cells["cars", "birds"]
    assert cell.missing == OUTSIDE
    assert cell.why == "timestep 260 is not in the space; valid: 44, 160"


def test_the_setting_of_a_dataset_is_the_one_that_its_study_says_to_use(make_task: TaskMaker) -> None:
    final = Final(LATE, 1, Accuracy(6, 10), Accuracy(11, 20), 1.0, 0, 0)
    plain = make_task("birds", complete(0, DEEP, "1111111000"), complete(1, LATE, "1110000001"))
    birds = replace(plain, study=replace(plain.study, finals=(final,)))
    assert birds.best.setting == LATE
    found = task_row(birds)
    assert (found.setting, found.trials, found.images) == (LATE, 2, 1500)
    assert found.validation is not None
    assert found.test is not None
    assert (found.validation.value, found.test.value) == (0.6, 0.55)
    cell = regret_matrix((birds, make_task("cars", complete(0, DEEP, "1")))).cells["cars", "birds"]
    assert cell.loss is not None
    assert cell.loss.value == pytest.approx(-0.3)  # chosen by other seeds, it may be behind here
    assert task_row(plain).test is None


def test_the_best_of_a_block_over_all_else(make_task: TaskMaker) -> None:
    several = complete(3, DEEP.reading(Tap(13, 90), Tap(16, 44)), "1111")
    birds = make_task(
        "birds", complete(0, DEEP, "0111"), complete(1, COARSE, "0001"), complete(2, LATE, "1100"), several
    )
    found = best_by_block(birds)
    assert [(best.block, best.trial.number, best.validation.value) for best in found] == [(13, 2, 0.5), (16, 0, 0.75)]
    assert [best.loss for best in found] == [0.25, 0]
