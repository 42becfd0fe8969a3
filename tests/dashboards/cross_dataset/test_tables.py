"""What datasets make of each other's best settings: numbers by hand, and the laws they keep."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import hypot, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as some

from dashboards.cross_dataset.tables import (
    FAILED,
    NOT_TRIED,
    OUTSIDE,
    STOPPED,
    Task,
    apart,
    by_block,
    matrix,
    mean_of,
    paired,
    row,
)
from dashboards.study.tables import Estimate
from objectives.results import Accuracy, CorrectMask, Final, IntervalEstimate, StudyResults, Trial, TrialState
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
    found = matrix(tasks)
    assert found.labels == ("birds", "cars")
    assert [cell.loses for cell in found.cells.values() if cell.own] == [IntervalEstimate(0, 0, 0)] * 2
    on_birds, on_cars = found.cells["cars", "birds"], found.cells["birds", "cars"]
    assert (on_birds.setting, on_cars.setting) == (LATE, DEEP)
    # Of 10 images 4 are right with block 16 alone, 1 with block 13 alone.
    assert on_birds.loses is not None
    assert on_birds.loses.value == pytest.approx(0.3)
    half = 1.959964 * sqrt(4.5 + 1.5 - (4.5 - 1.5) ** 2 / 12) / 12
    assert (on_birds.loses.low, on_birds.loses.high) == pytest.approx((3 / 12 - half, 3 / 12 + half))
    assert (on_birds.images, on_birds.paired, on_birds.clear) == (10, True, False)
    assert on_cars.loses is not None
    assert on_cars.loses.value == 0.5
    assert found.known == (on_cars, on_birds)
    assert found.missing == ()
    assert [each.of for each in found.together] == ["cars", "birds"]
    best = found.together[0]
    assert best.mean.value == pytest.approx(0.15)
    assert best.worst is on_birds
    assert best.mean.low == pytest.approx(0.15 - (0.3 - on_birds.loses.low) / 2)


def test_where_answers_were_not_kept_the_interval_is_of_two_accuracies(make_task: TaskMaker) -> None:
    birds = make_task("birds", complete(0, DEEP, "1111111000"), complete(1, LATE, "1110000001", kept=False))
    cell = matrix((birds, make_task("cars", complete(0, LATE, "1")))).cells["cars", "birds"]
    (low, high), (other_low, other_high) = Accuracy(7, 10).interval(), Accuracy(4, 10).interval()
    assert cell.loses is not None
    assert not cell.paired
    assert cell.loses.value == pytest.approx(0.3)
    assert cell.loses.low == pytest.approx(0.3 - hypot(0.7 - low, other_high - 0.4))
    assert cell.loses.high == pytest.approx(0.3 + hypot(high - 0.7, 0.4 - other_low))


@pytest.mark.parametrize(
    ("trials", "missing", "why"),
    [
        ((), NOT_TRIED, "no trial of it is complete"),
        ((tried(1, "running", LATE),), NOT_TRIED, "no trial of it is complete"),
        ((tried(1, "failed", LATE, "interrupted: the run was stopped"),), NOT_TRIED, "no trial of it is complete"),
        ((tried(1, "failed", LATE, "out of memory"),), FAILED, "out of memory"),
        ((tried(1, "failed", LATE, "out of memory"), tried(2, "pruned", LATE, "behind")), STOPPED, "behind"),
    ],
)
def test_a_cell_without_a_complete_trial_is_missing_and_says_why(
    make_task: TaskMaker, trials: Sequence[Trial], missing: str, why: str
) -> None:
    birds, cars = make_task("birds", complete(0, DEEP, "11"), *trials), make_task("cars", complete(0, LATE, "11"))
    found = matrix((birds, cars))
    cell = found.cells["cars", "birds"]
    assert (cell.loses, cell.missing, cell.why) == (None, missing, why)
    assert cell in found.missing
    assert found.known == ()
    assert found.together == ()  # neither setting is known on both


def test_a_setting_outside_a_datasets_space_is_told_as_that(make_task: TaskMaker) -> None:
    cars = make_task("cars", complete(0, NARROW, "11"))
    narrow = replace(cars.space, timesteps=(44, 160))
    birds = replace(make_task("birds", complete(0, DEEP, "11")), space=narrow)
    cell = matrix((birds, cars)).cells["cars", "birds"]
    assert cell.missing == OUTSIDE
    assert cell.why == "timestep 260 is not in the space; valid: 44, 160"


def test_the_setting_of_a_dataset_is_the_one_that_its_study_says_to_use(make_task: TaskMaker) -> None:
    final = Final(LATE, 1, Accuracy(6, 10), Accuracy(11, 20), 1.0, 0, 0)
    plain = make_task("birds", complete(0, DEEP, "1111111000"), complete(1, LATE, "1110000001"))
    birds = replace(plain, study=replace(plain.study, finals=(final,)))
    assert birds.best.setting == LATE
    found = row(birds)
    assert (found.setting, found.trials, found.images) == (LATE, 2, 1500)
    assert found.validation is not None
    assert found.test is not None
    assert (found.validation.value, found.test.value) == (0.6, 0.55)
    cell = matrix((birds, make_task("cars", complete(0, DEEP, "1")))).cells["cars", "birds"]
    assert cell.loses is not None
    assert cell.loses.value == pytest.approx(-0.3)  # chosen by other seeds, it may be behind here
    assert row(plain).test is None


def test_the_best_of_a_block_over_all_else(make_task: TaskMaker) -> None:
    several = complete(3, DEEP.reading(Tap(13, 90), Tap(16, 44)), "1111")
    birds = make_task(
        "birds", complete(0, DEEP, "0111"), complete(1, COARSE, "0001"), complete(2, LATE, "1100"), several
    )
    found = by_block(birds)
    assert [(at.block, at.trial.number, at.validation.value) for at in found] == [(13, 2, 0.5), (16, 0, 0.75)]
    assert [at.loses for at in found] == [0.25, 0]


answered = some.integers(1, 300).flatmap(
    lambda images: some.tuples(*[some.integers(0, 2**images - 1).map(lambda right: CorrectMask(images, right))] * 2)
)


@given(answered)
def test_a_paired_difference_holds_its_value_and_turns_with_its_sides(both: tuple[CorrectMask, CorrectMask]) -> None:
    more, less = both
    found, turned = paired(more, less), paired(less, more)
    assert -1 <= found.low <= found.value <= found.high <= 1
    assert found.value == pytest.approx(more.accuracy.value - less.accuracy.value)
    assert (turned.value, turned.low, turned.high) == pytest.approx((-found.value, -found.high, -found.low))


@given(answered, some.integers(0, 200))
def test_images_that_both_have_right_or_wrong_shrink_it_alone(
    both: tuple[CorrectMask, CorrectMask], more_images: int
) -> None:
    more, less = both
    wider = [CorrectMask(each.total + more_images, each.bits) for each in both]
    found, shrunk = paired(more, less), paired(*wider)
    assert shrunk.value * (more.total + more_images) == pytest.approx(found.value * more.total)


def test_pairing_tells_apart_what_two_accuracies_do_not() -> None:
    more, less = CorrectMask(400, 2**220 - 1), CorrectMask(400, 2**208 - 1)  # right of the same images, and of 12 more
    unpaired = apart(Estimate.of(more.accuracy), Estimate.of(less.accuracy))
    assert paired(more, less).low > 0 > unpaired.low


def test_means_of_one_are_that_one_and_of_many_are_narrower() -> None:
    one = IntervalEstimate(0.1, 0.05, 0.2)
    assert mean_of([one]) == one
    four = mean_of([one] * 4)
    assert (four.value, four.low, four.high) == pytest.approx((0.1, 0.075, 0.15))
    assert mean_of([one, IntervalEstimate(0, 0, 0)]).value == 0.05
