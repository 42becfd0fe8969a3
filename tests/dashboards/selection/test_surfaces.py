"""Everything that shows the answer of a study shows the same one, with what is tied with it and what it may lose."""

import json
from dataclasses import replace

import numpy as np
import pytest

from dashboards.cross_dataset.sentences import rows_sentences
from dashboards.cross_dataset.tables import Task, task_row
from dashboards.optuna_dashboard import DashboardView
from dashboards.study.analysis import NO_ANALYSIS
from dashboards.study.answer import study_answer
from dashboards.study.report import FORMATS
from objectives.results import GMACS, Accuracy, CorrectMask, Final, ImageScores, Reevaluation, StudyResults, Trial
from search.reports.answer import answer_lines, answer_record
from spaces import Setting, Space
from tests.support.studies import small_results

IMAGES = 200
RIGHT = {Setting(10, 3, 1, "linear"): 150, Setting(90, 3, 1, "linear"): 150, Setting(90, 3, 2, "linear"): 60}
CHEAP, ALIKE, WORSE = RIGHT
LOSS, CHANCE = "expected to lose", "no better than chance"


@pytest.fixture
def compared() -> StudyResults:
    """A study of three settings with equal images in the trials and in a round; the cheap one is tested."""
    trials, rounds = [], []
    for number, (setting, right) in enumerate(RIGHT.items()):
        mask = CorrectMask(IMAGES, 2**right - 1)
        trials.append(
            Trial(number, "complete", setting, mask.accuracy, details={GMACS: 1.0 + number}, correct_mask=mask)
        )
        scores = (np.arange(IMAGES) < right).astype("<f4")
        images = ImageScores(np.arange(IMAGES, dtype="<i4").tobytes(), scores.tobytes())
        rounds.append(Reevaluation(setting, 1, mask.accuracy, 1.0, 2, 3, images))
    final = Final(CHEAP, 1, Accuracy(150, IMAGES), Accuracy(45, 50), 1.0, 0, 0)
    counts = {"train": 800, "validation": IMAGES, "test": 50}
    study = small_results(tuple(trials), (final,), rounds=1, majority=0.5, counts=counts)
    return replace(study, reevaluations=tuple(rounds))


def test_every_surface_has_the_answer_what_is_tied_and_the_loss(compared: StudyResults) -> None:
    best = study_answer(compared)
    assert best is not None
    assert (best.setting, best.tied, best.candidates, best.finalists) == (CHEAP, (ALIKE,), 3, 1)
    assert best.expected_loss is not None
    record = answer_record(compared)
    assert (record["setting"], record["tied"]) == (CHEAP.to_dict(), [ALIKE.to_dict()])
    assert "tied        1 other setting is tied with it: 200 validation images cannot tell them apart." in "\n".join(
        answer_lines(compared)
    )
    note = DashboardView.of(compared, None).note
    assert f"**Answer:** `{CHEAP}`" in note
    for text in (
        FORMATS["html"](compared, NO_ANALYSIS),
        FORMATS["md"](compared, NO_ANALYSIS),
        FORMATS["latex"](compared, NO_ANALYSIS),
        note,
    ):
        words = " ".join(text.split())
        assert "1 other setting is tied with it" in words
        assert "1 more is significantly worse" in words
        assert LOSS in words
        assert CHANCE not in words
    for form in ("html", "md", "latex"):
        words = FORMATS[form](compared, NO_ANALYSIS)
        assert "dropped after round 1" in words
        assert "Candidates for the answer" in words
    tables = json.loads(FORMATS["json"](compared, NO_ANALYSIS))
    assert tables["answer"]["setting"] == CHEAP.to_dict()
    assert [row["dropped"] for row in tables["candidates"]] == [None, None, 1]


def test_an_answer_that_guesses_is_called_so_everywhere(compared: StudyResults) -> None:
    guessing = replace(compared, majority=0.9)
    record = answer_record(guessing)
    assert record["better_than_chance"] is False
    assert any(CHANCE in line for line in answer_lines(guessing))
    note = DashboardView.of(guessing, None).note
    for text in (
        FORMATS["html"](guessing, NO_ANALYSIS),
        FORMATS["md"](guessing, NO_ANALYSIS),
        FORMATS["latex"](guessing, NO_ANALYSIS),
        note,
    ):
        assert CHANCE in " ".join(text.split())
    unknown = replace(compared, majority=None)
    assert answer_record(unknown)["better_than_chance"] is None


def test_an_answer_that_is_not_tested_yet_is_shown_with_its_rounds(compared: StudyResults) -> None:
    waiting = replace(compared, finals=())
    best = study_answer(waiting)
    assert best is not None
    assert (best.setting, best.test, best.seeds) == (CHEAP, None, (1,))
    assert "It was not tested yet" in FORMATS["md"](waiting, NO_ANALYSIS)
    assert "mean of 1 seed (1), 200 images each" in FORMATS["html"](waiting, NO_ANALYSIS)
    assert answer_record(waiting)["test_accuracy"] is None


def test_a_former_answer_that_was_tested_is_not_the_answer(compared: StudyResults) -> None:
    former = Final(WORSE, 1, Accuracy(190, IMAGES), Accuracy(50, 50), 1.0, 0, 0)
    both = replace(compared, finals=(former, *compared.finals))
    best = study_answer(both)
    assert best is not None
    assert best.test is not None
    assert (best.setting, best.test.value) == (CHEAP, 0.9)
    assert answer_record(both)["test_accuracy"] == 0.9


def test_the_page_across_datasets_has_the_expected_loss(compared: StudyResults) -> None:
    space = Space(compared.architecture, (10, 90), (3,), (1, 2), ("linear",))
    guessing = task_row(Task("digits", replace(compared, majority=0.9), space))
    assert guessing.better_than_chance is False
    assert any("No better than chance" in sentence for sentence in rows_sentences([guessing]))
    row = task_row(Task("digits", compared, space))
    assert row.better_than_chance
    assert not any("chance" in sentence for sentence in rows_sentences([row]))
    best = study_answer(compared)
    assert best is not None
    assert (row.setting, row.expected_loss) == (CHEAP, best.expected_loss)
    assert row.test is not None
    assert task_row(Task("digits", replace(compared, reevaluations=()), space)).expected_loss is None
