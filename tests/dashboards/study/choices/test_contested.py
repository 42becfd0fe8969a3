from collections.abc import Callable
from dataclasses import replace

import pytest

from dashboards.study.choices.contested import ContestedImage, contested
from objectives.results import Accuracy, CorrectMask, StudyResults, Trial
from spaces import Setting

StudyMaker = Callable[..., StudyResults]


def trial(number: int, right: str) -> Trial:
    """right: an image a character, the first first."""
    answers = CorrectMask(len(right), sum(1 << at for at, each in enumerate(right) if each == "+"))
    setting = Setting(44, 6 + number, 1, "linear")
    return Trial(number, "complete", setting, answers.accuracy, correct_mask=answers)


@pytest.fixture
def eight(study: StudyMaker) -> StudyResults:
    """A study of eight trials. The first two are good and the last two are bad."""
    rights = ("++++-+--", "+++-+++-", *("+++-+---",) * 4, "---+----", "-+------")
    return study(tuple(trial(number, right) for number, right in enumerate(rights)))


def test_images_are_told_by_how_much_better_good_settings_are(eight: StudyResults) -> None:
    found = contested(eight)
    assert found is not None
    assert (found.settings, found.images) == (2, 8)
    assert sorted(found.gained[:3], key=lambda each: each.position) == [
        ContestedImage(position, 1.0, 0.0) for position in (0, 2, 5)
    ]
    assert {each.position for each in found.gained} == {0, 1, 2, 4, 5, 6}
    assert found.lost == ()
    assert found.always == 4
    assert found.never == 1
    assert contested(eight, top=1) == replace(found, gained=found.gained[:1])


def test_what_the_bad_have_right_and_the_good_wrong_is_told_apart(study: StudyMaker) -> None:
    rights = ("+++-", "+++-", *("++--",) * 4, "---+", "---+")
    found = contested(study(tuple(trial(number, right) for number, right in enumerate(rights))))
    assert found is not None
    assert found.lost == (ContestedImage(3, 0.0, 1.0),)


def test_too_few_trials_or_answers_tell_nothing(eight: StudyResults) -> None:
    assert contested(replace(eight, trials=eight.trials[:7])) is None
    assert contested(replace(eight, trials=tuple(replace(each, correct_mask=None) for each in eight.trials))) is None
    forgotten = tuple(replace(each, correct_mask=None, validation=Accuracy(0, 8)) for each in eight.trials[:2])
    assert contested(replace(eight, trials=(*forgotten, *eight.trials[2:]))) is None
