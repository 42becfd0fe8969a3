import csv
import json
from collections.abc import Callable
from dataclasses import replace
from io import StringIO

import pytest

from dashboards.study import tables
from dashboards.study.answer.answer import study_answer
from dashboards.study.choices.analysis import Analysis
from dashboards.study.choices.tables import Importance
from dashboards.study.data import study_csv, study_json
from objectives.results import METRICS, StudyResults
from spaces import Setting, Tap

StudyMaker = Callable[..., StudyResults]
ANALYSIS = Analysis((Importance("pool", {"fANOVA": 0.75}), Importance("block", {"fANOVA": 0.25})))


def test_json_holds_every_table_as_numbers(realistic: StudyMaker) -> None:
    study = realistic()
    found = json.loads(study_json(study, ANALYSIS))
    best = study_answer(study)
    assert best is not None
    assert best.test is not None
    assert found["answer"]["setting"] == best.setting.to_dict()
    assert found["answer"]["test"] == {
        "value": best.test.value,
        "low": best.test.low,
        "high": best.test.high,
        "images": best.test.images,
        "metric": "accuracy",
    }
    cells = tables.block_by_timestep(study).cells
    assert {(row["block"], row["timestep"]): row["best"]["value"] for row in found["blocks"]} == {
        key: cell.best.value for key, cell in cells.items()
    }
    assert found["interaction"]["cells"][0]["at"] == [
        found["answer"]["setting"]["block"] if best.trial is None else study.complete[0].setting.block,
        study.complete[0].setting.pool,
    ]
    assert [row["choice"] for row in found["importances"]] == ["pool", "block"]
    assert len(found["history"]) == len(study.complete)
    assert found["trials"]["failed"] == study.count("failed")


@pytest.mark.parametrize("kind", ["no trial", "only finals"])
def test_json_of_a_study_that_cannot_tell_much(study: StudyMaker, realistic: StudyMaker, kind: str) -> None:
    found = json.loads(study_json(study() if kind == "no trial" else study((), realistic().finals)))
    assert (found["answer"] is None) == (kind == "no trial")
    assert found["leaderboard"] is None


def test_csv_has_a_row_a_trial_with_all_that_is_known_of_it(realistic: StudyMaker) -> None:
    study = realistic()
    rows = list(csv.DictReader(StringIO(study_csv(study))))
    assert [int(row["number"]) for row in rows] == [trial.number for trial in study.trials]
    assert [row["state"] for row in rows] == [trial.state for trial in study.trials]
    for row, trial in zip(rows, study.trials, strict=True):
        assert (row["block"], row["pool"], row["head"]) == (
            str(trial.setting.block),
            str(trial.setting.pool),
            trial.setting.head,
        )
        assert row["mlp.width"] == ("128" if trial.setting.head == "mlp" else "")
        accuracy = trial.estimate(METRICS["accuracy"])
        assert row["accuracy"] == ("" if accuracy is None else str(accuracy.value))
        assert row["reason"] == (trial.reason or "")


def test_csv_holds_commas_quotes_and_several_taps_and_spells_line_ends(realistic: StudyMaker) -> None:
    trial = realistic().complete[0]
    several = replace(trial, reason='a, "b"\nc', setting=Setting(44, 13, 2, "linear").reading(Tap(13, 44), Tap(16, 90)))
    (row,) = csv.DictReader(StringIO(study_csv(replace(realistic(), trials=(several,)))))
    assert (row["reason"], row["block"], row["timestep"]) == ('a, "b"\\x0ac', "13 + 16", "44 + 90")
    assert list(csv.DictReader(StringIO(study_csv(replace(realistic(), trials=()))))) == []
