"""Names from the data with control characters, markup and formulas: every format of a study's report spells them."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

from dashboards.optuna_dashboard import DashboardView
from dashboards.study.choices.analysis import NO_ANALYSIS
from dashboards.study.report import FORMATS, render
from objectives.results import Picture, StudyResults, Trial
from spaces.notebook import brief, html_table
from tests.support.names import EVIL, SPELLED, check_page, check_values, unsafe_characters

StudyMaker = Callable[..., StudyResults]


@pytest.fixture(scope="module")
def evil(realistic: StudyMaker) -> StudyResults:
    """A study in which every text from outside is `EVIL`."""
    study = realistic(
        name=EVIL,
        dataset=EVIL,
        backbone=EVIL,
        preset=EVIL,
        called=EVIL,
        classes=(EVIL, *(f"{EVIL} {number}" for number in range(49))),
        provenance={EVIL: EVIL, "Command": f"search run --name {EVIL}"},
        pictures=tuple(Picture(image, None, image % 50, EVIL, b"") for image in range(5)),
        home_words=("--home", EVIL),
    )
    return replace(study, trials=tuple(_explained(trial) for trial in study.trials))


def _explained(trial: Trial) -> Trial:
    return trial if trial.reason is None else replace(trial, reason=EVIL)


def test_the_page_spells_them(evil: StudyResults) -> None:
    check_page(render(evil))


@pytest.mark.parametrize("form", ["md", "latex", "json", "csv"])
def test_every_text_format_spells_them(evil: StudyResults, form: str) -> None:
    text = FORMATS[form](evil, NO_ANALYSIS)
    assert unsafe_characters(text) == set()
    text.encode()
    if form == "json":
        values = json.loads(text)
        check_values(values)
        assert all(part in values["study"]["dataset"] for part in SPELLED)


def test_csv_spells_them_and_makes_no_formula(evil: StudyResults) -> None:
    rows = [*csv.DictReader(StringIO(FORMATS["csv"](evil, NO_ANALYSIS)))]
    reasons = [row["reason"] for row in rows if row["reason"]]
    assert reasons
    assert all(reason.startswith("'=[red]x[/]") and all(part in reason for part in SPELLED) for reason in reasons)


def test_optuna_dashboard_spells_them(evil: StudyResults) -> None:
    view = DashboardView.of(evil, Path("/reports/x.html"))
    assert unsafe_characters(view.note) == set()
    assert SPELLED[0] in view.note
    for figure in view.figures.values():
        check_values(json.loads(figure.to_json()))


def test_a_notebook_spells_them() -> None:
    table = html_table(EVIL, {EVIL: EVIL})
    assert unsafe_characters(table, "") == set()
    assert table.count(SPELLED[0]) == 3
    assert unsafe_characters(brief(EVIL), "") == set()
