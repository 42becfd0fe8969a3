"""Everything that shows the answer of a study shows the same one, with what is tied with it and what it may lose."""

import json
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from dashboards.cross_dataset.sentences import rows_sentences
from dashboards.cross_dataset.tables import Task, task_row
from dashboards.formatting import interval
from dashboards.optuna_dashboard import DashboardView
from dashboards.study.answer.answer import study_answer
from dashboards.study.answer.sentences import best_trial_sentence, loss_sentence, tied_sentence
from dashboards.study.choices.analysis import NO_ANALYSIS
from dashboards.study.report import FORMATS
from dashboards.study.sections import sections
from dashboards.study.tables import block_by_timestep, pooling_groups
from objectives.home import Home
from objectives.results import (
    ACCURACY,
    GMACS,
    Accuracy,
    Baseline,
    CorrectMask,
    Final,
    ImageScores,
    Reevaluation,
    StudyResults,
    Trial,
)
from search.reports.answer import answer_facts, answer_lines, answer_record
from search.reports.study_state import StudyState
from search.study.export import untested_note
from search.study.study import Study
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


def test_a_run_stopped_while_candidates_were_compared_is_told_alike_everywhere(compared: StudyResults) -> None:
    stopped = replace(compared, finals=())
    lines = StudyState(stopped, (), None, "sqlite:///studies.db").lines()
    assert "test        not measured yet: the run was stopped while candidates were compared" in lines
    assert answer_facts(stopped, running=True)["test"] == ["not measured yet: candidates are being compared"]
    assert "The answer has the best mean" in " ".join(" ".join(lines).split())
    note = untested_note(stopped)
    assert f"this is its answer so far, {CHEAP}: the cheapest, then the simplest, of the candidates" in note
    assert "best trial" not in note
    assert f"this is the best trial, {CHEAP}," in untested_note(replace(stopped, reevaluations=()))


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


@pytest.fixture
def finished(compared: StudyResults) -> StudyResults:
    """The study with a better single trial than the answer, baselines and untried timesteps."""
    mask = CorrectMask(IMAGES, 2**151 - 1)
    lucky = replace(compared.trials[1], validation=mask.accuracy, correct_mask=mask)
    space = Space(compared.architecture, (10, 50, 90), (3,), (1, 2), ("linear",))
    baselines = (
        Baseline("pixels", None, 8, 192, 0, Accuracy(60, IMAGES), Accuracy(18, 50), 1.0),
        Baseline("first block", CHEAP, 2, 16, 0, Accuracy(80, IMAGES), Accuracy(22, 50), 1.0),
    )
    trials = (compared.trials[0], lucky, compared.trials[2])
    return replace(compared, trials=trials, space=space, screened=(CHEAP,), baselines=baselines)


def text_of(written: str) -> str:
    """Return HTML, LaTeX or Markdown with the spaces, signs and quotes that a reader sees."""
    plain = written.replace("\\%", "%").replace("~", " ").replace("\\", "")
    return " ".join(unescape(plain).replace("\N{NO-BREAK SPACE}", " ").split())


def test_two_surfaces_never_disagree(finished: StudyResults, tmp_path: Path) -> None:
    answer = study_answer(finished)
    assert answer is not None
    assert answer.test is not None
    assert answer.best_trial is not None
    assert (answer.setting, answer.best_trial.number) == (CHEAP, 1)
    texts = {form: text_of(FORMATS[form](finished, NO_ANALYSIS)) for form in ("html", "md", "latex")}
    texts["note"] = text_of(DashboardView.of(finished, None).note)
    numbers = [answer.test, answer.validation, *(baseline.test for baseline in answer.baselines)]
    sentences = [
        tied_sentence(answer, 3),
        best_trial_sentence(answer),
        loss_sentence(answer),
        "Not tried: timestep 50 (not screened either).",
    ]
    for name, text in texts.items():
        assert str(CHEAP) in text, name
        for estimate in numbers:
            assert f"{100 * estimate.value:.1f} %" in text, (name, estimate)
        for estimate in numbers[:2]:
            assert interval(estimate) in text, (name, estimate)
        for sentence in sentences:
            assert text_of(sentence) in text, name
    state = StudyState(finished, (), None, "sqlite:///studies.db")
    for lines in (answer_lines(finished), state.lines()):
        text = " ".join(" ".join(lines).split())
        assert f"setting {CHEAP}" in text
        for estimate in numbers:
            assert ACCURACY.text(estimate.value) in text
            assert f"{ACCURACY.number(estimate.low)} to {ACCURACY.number(estimate.high)}" in text
        assert text_of(best_trial_sentence(answer)) in text
        assert "not tried timestep 50" in text
    records = [answer_record(finished), state.to_dict()["best"]]
    assert records[0] == records[1]
    assert records[0]["setting"] == CHEAP.to_dict()
    assert records[0]["test_accuracy"] == answer.test.value
    assert [row["test_accuracy"] for row in records[0]["baselines"]] == [0.36, 0.44]
    assert records[0]["coverage"]["timestep"] == {"tried": [10, 90], "untried": [50]}
    report = json.loads(FORMATS["json"](finished, NO_ANALYSIS))["answer"]
    assert (report["setting"], report["test"]["value"]) == (CHEAP.to_dict(), answer.test.value)
    assert Study(finished, Home(tmp_path), "sqlite:///studies.db").best == answer
    row = task_row(Task("digits", finished, Space(finished.architecture, (10, 90), (3,), (1, 2), ("linear",))))
    assert (row.setting, row.test, row.validation) == (CHEAP, answer.test, answer.validation)


def test_figures_and_tables_mark_the_answer_and_not_the_best_trial(finished: StudyResults) -> None:
    assert finished.complete[0].setting == ALIKE
    cells = block_by_timestep(finished)
    assert cells.best is not None
    assert (cells.best.block.number, cells.best.timestep) == (CHEAP.block, CHEAP.timestep)
    assert [group.name for group in pooling_groups(finished) if group.chosen] == ["1"]
    marked = {
        section.id: section.table.rows[section.table.chosen]
        for section in sections(finished)
        if section.table is not None and section.table.chosen is not None and section.id in ("candidates", "cost")
    }
    assert marked["candidates"][-1] == "chosen"
    assert all("10" in row for row in marked.values())
