"""The output and files of one whole run, and the reports that are written from it."""

import json
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from search.cli.main import main
from search.database.store import Store
from tests.support.command_line import Search


def study_name(home: Path) -> str:
    with Store.open(f"sqlite:///{home / 'studies.db'}") as store:
        return store.find_study()


def test_a_run_leaves_a_best_setting_a_report_and_a_study(search: Search, finished_home: Path) -> None:
    answer = json.loads(search("best", "--dataset", "folder", "--json").stdout)
    setting, interval = answer["setting"], answer["test_interval"]
    of_the_mlp = {"learning_rate", "weight_decay", "width"}
    assert setting.keys() == {"block", "timestep", "further", "pool", "draws", "head"} | of_the_mlp
    assert interval[0] < answer["test_accuracy"] < interval[1]
    assert answer["validation_accuracy"] > 0.85
    assert answer["trials"] == 3
    assert answer["passes"] == (300 + 100) * 2 * 2  # two timesteps, two noise draws
    assert answer["passes_saved"] > 0
    reports = list((finished_home / "reports").glob("*.html"))
    assert [report.stem for report in reports] == [answer["study"]] == [study_name(finished_home)]
    listed = search("status").stdout
    assert str(answer["study"]) in listed
    with Store.open(f"sqlite:///{finished_home / 'studies.db'}") as store:
        (pixels,) = store.read_study(str(answer["study"])).baselines  # its space begins too late for a first block
    assert (pixels.kind, pixels.validation.total, pixels.test.total, pixels.seed) == ("pixels", 300, 100, 4)
    assert pixels.test.value > 0.5


def test_a_run_prints_its_progress_and_how_to_use_its_result(finished_search: Path, finished_home: Path) -> None:
    said = (finished_search / "stdout").read_text()
    assert "digits: 400 images of 10 classes (300 train and validate in 3 folds, 100 test)" in said
    assert "the study has 3 finished trials, of 3 asked for" in said
    export = f"search export --study {study_name(finished_home)} --home {finished_search}/home"
    assert export in said.replace("'", "")  # a folder's name may need quotes
    assert "Traceback" not in (finished_search / "stderr").read_text()


def test_a_report_can_be_written_anywhere(search: Search, finished_home: Path, tmp_path: Path) -> None:
    written = search("report", "--dataset", "folder", "--out", str(tmp_path / "deep" / "mine.html"))
    assert written.code == 0
    page = (tmp_path / "deep" / "mine.html").read_text()
    assert "digit 0" in page
    assert "data:image/jpeg" in page  # of what it confuses


@pytest.mark.parametrize(
    ("form", "suffix", "beginning"),
    [
        ("md", "md", "# digits: which features of net"),
        ("latex", "tex", "% Needs \\usepackage{booktabs}"),
        ("json", "json", '{\n  "study": {'),
        (
            "csv",
            "csv",
            "number,state,block,timestep,pool,draws,head,mlp.learning_rate,mlp.weight_decay,mlp.width,images,correct,"
            "accuracy,accuracy low,accuracy high,top-5,",
        ),
        ("html", "html", "<!doctype html>"),
    ],
)
def test_a_report_has_other_formats(
    search: Search, finished_home: Path, form: str, suffix: str, beginning: str
) -> None:
    written = search("report", "--format", form, "--no-images")
    assert written.code == 0
    path = finished_home / "reports" / f"{study_name(finished_home)}.{suffix}"
    assert written.stdout.strip() == str(path)
    text = path.read_text()
    assert text.startswith(beginning)
    assert "data:image/jpeg" not in text
    assert search("report", "--format", form, "--no-images", "--out", "-").stdout == text


def test_a_report_on_standard_output_is_utf8_whatever_the_terminal_shows(
    finished_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["search", "report", "--out", "-", "--format", "md", "--home", str(finished_home)]
    monkeypatch.setattr(sys, "argv", words)
    output = BytesIO()
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(output, encoding="ascii"))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert "\N{NO-BREAK SPACE}%" in output.getvalue().decode("utf-8")
