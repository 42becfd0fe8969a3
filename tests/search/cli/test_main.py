"""The command as its user types it, on real digits and the bundled U-Net; what runs trials in processes of its own."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from search.database.store import Store
from tests.support import small_archives
from tests.support.command_line import Search
from tests.support.images import class_folders
from tests.support.terminal import like, on_a_terminal

QUICK = ("--heads", "linear", "--blocks", "8-13", "--timesteps", "20", "--final-seeds", "2", "--finalists", "2")
DIGITS = ("run", "--dataset", "digits", *QUICK)


def typed(home: Path, *words: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "search", *words]
    environment = {**os.environ, "SEARCH_HOME": str(home)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=timeout, check=False)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which `search run` has made ten trials on digits, though it was killed after the second."""
    folder = tmp_path_factory.mktemp("home")
    command = [sys.executable, "-m", "search", *DIGITS, "--trials", "10", "--home", str(folder)]
    with (
        (folder / "killed.log").open("w") as log,
        subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True) as run,
    ):
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and run.poll() is None and complete_trials(folder) < 2:
            time.sleep(0.1)
        os.killpg(run.pid, signal.SIGKILL)
    assert 2 <= complete_trials(folder) < 10
    assert "screening the settings first" in (folder / "killed.log").read_text()
    ran = typed(folder, *DIGITS, "--trials", "10")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "the study has 10 finished trials" in ran.stdout
    assert "screening" not in ran.stdout  # which the first run did
    assert "Traceback" not in ran.stderr
    return folder


def complete_trials(home: Path) -> int:
    with Store.open(f"sqlite:///{home / 'studies.db'}") as store:
        return sum(study.complete for study in store.studies())


def test_a_killed_run_is_continued_to_the_count_and_repeats_nothing(home: Path) -> None:
    with Store.open(f"sqlite:///{home / 'studies.db'}") as store:
        study = store.read_study(store.find_study("digits"))
    finished = [trial.setting for trial in study.trials if trial.state in ("complete", "pruned")]
    assert len(finished) == len(set(finished)) == 10
    assert study.count("running") == 0


def best(home: Path) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(typed(home, "best", "--dataset", "digits", "--json").stdout)
    return answer


def test_a_run_leaves_an_answer_a_report_and_a_study(home: Path) -> None:
    answer = best(home)
    setting, interval = answer["setting"], answer["test_interval"]
    assert setting.keys() == {"block", "timestep", "pool", "draws", "head"}
    assert interval[0] < answer["test_accuracy"] < interval[1]
    assert answer["validation_accuracy"] > 0.85
    assert answer["trials"] == 10
    assert 360 < answer["passes"] < 1437 + 360  # the rest was made by the screening
    assert answer["passes_saved"] > 0
    reports = list((home / "reports").glob("*.html"))
    assert [report.stem for report in reports] == [answer["study"]]
    listed = typed(home, "status").stdout
    assert str(answer["study"]) in listed


def test_the_same_command_has_nothing_left_to_do_and_a_larger_one_goes_on(search: Search, home: Path) -> None:
    before = best(home)
    again = search(*DIGITS, "--trials", "10", "--home", str(home))
    assert again.code == 0, again.stderr
    assert best(home) == before
    more = search(*DIGITS, "--trials", "12", "--home", str(home))
    assert more.code == 0, more.stderr
    assert best(home)["trials"] == 12
    assert best(home)["study"] == before["study"]


def test_a_terminal_shows_the_run_and_ctrl_c_leaves_it_tidy(home: Path) -> None:
    words = ["-m", "search", *DIGITS, "--trials", "60"]
    shown = on_a_terminal(words, 80, 24, {"SEARCH_HOME": str(home)}, ctrl_c_at=r"\D1[4-9]/60")
    assert shown.code == 130
    assert 4 < shown.redrawn < 24
    said = [" | ".join(like(state)) for state in shown.states]
    assert any(re.search(r"trial at work for \| \d+ block .* \| trial best by validation accuracy", it) for it in said)
    assert any(re.search(r"trials 1\d/60 about .* left", state) for state in said)
    *_, interrupted = kept = like(shown.lines[-9:])
    assert interrupted == "interrupted: every finished trial is kept; type the same command again to go on"
    assert re.fullmatch(r"trials 1\d/60( about .* left)?", kept[0])
    assert [line.split()[0] for line in kept[2:3]] == ["trial"]
    assert not any("Traceback" in line for line in shown.lines)
    assert "interrupted: the run was stopped" in typed(home, "status", "--dataset", "digits").stdout


def test_a_report_can_be_written_anywhere(search: Search, home: Path, tmp_path: Path) -> None:
    written = search(
        "report", "--home", str(home), "--dataset", "digits", "--out", str(tmp_path / "deep" / "mine.html")
    )
    assert written.code == 0
    page = (tmp_path / "deep" / "mine.html").read_text()
    assert "digits" in page
    assert "data:image/jpeg" in page  # of what it confuses


@pytest.mark.parametrize(
    ("form", "suffix", "beginning"),
    [
        ("md", "md", "# digits: which features of bundled"),
        ("latex", "tex", "% Needs \\usepackage{booktabs}"),
        ("json", "json", '{\n  "study": {'),
        ("csv", "csv", "number,state,block,timestep,pool,draws,head"),
        ("html", "html", "<!doctype html>"),
    ],
)
def test_a_report_has_other_formats(search: Search, home: Path, form: str, suffix: str, beginning: str) -> None:
    name = best(home)["study"]
    written = search("report", "--home", str(home), "--format", form, "--no-images")
    assert written.code == 0
    path = home / "reports" / f"{name}.{suffix}"
    assert written.stdout.strip() == str(path)
    text = path.read_text()
    assert text.startswith(beginning)
    assert "data:image/jpeg" not in text
    assert search("report", "--home", str(home), "--format", form, "--no-images", "--out", "-").stdout == text


def test_a_mistake_ends_a_process_as_it_should(tmp_path: Path) -> None:
    ran = typed(tmp_path, "run", "--dataset", "digitz")
    assert ran.returncode == 2
    assert "did you mean 'digits'?" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (
            ("run", "--dataset", "digitz"),
            2,
            "unknown dataset 'digitz'; did you mean 'digits'? known: aircraft, aircraft-family",
        ),
        (("run", "--dataset", "digits", "--backbone", "bundeld"), 2, "unknown backbone 'bundeld'"),
        (
            ("run", "--dataset", "digits", "--sampler", "tpee"),
            2,
            "known: cost-aware, gp, greedy, grid, qmc, random, tpe",
        ),
        (("run", "--dataset", "digits", "--heads", "mpl"), 2, "unknown head 'mpl'; did you mean 'mlp'"),
        (("run", "--dataset", "digits", "--metric", "top-5"), 2, "known: accuracy, mean-per-class, nll"),
        (
            ("run", "--dataset", "digits", "--objectives", "cost"),
            2,
            "takes one metric, accuracy or mean-per-class or nll",
        ),
        (("run", "--dataset", "digits", "--trials", "0"), 2, "greater than or equal to 1"),
        (("run", "--dataset", "digits", "--folds", "1"), 2, "greater than or equal to 2"),
        (("run", "--dataset", "digits", "--folds", "3", "--validation-fraction", "0.2"), 2, "leave one of them out"),
        (("run", "--dataset", "digits", "--blocks", "13", "--pools", "8"), 2, "valid: 1, 2, 4"),
        (("run", "--dataset", "digits", "--blocks", "x"), 2, "expected numbers and ranges"),
        (("run", "--dataset", "cub"), 1, "add --data-root DIR"),
        (("run", "--dataset", "cub", "--data-root", "/nowhere"), 1, "/nowhere does not exist"),
        (("run", "--dataset", "digits", "--storage", "mysql://me:hushhush@host/db"), 1, "must be SQLite or PostgreSQL"),
        (("run", "--dataset", "digits", "--storage", "postgresql://me:hushhush@127.0.0.1:1/db"), 1, "me:***@127.0.0.1"),
        (("run", "--dataset", "digits", "--space", "wide"), 2, "known: a .toml file, default, paper"),
        (("best", "--dataset", "digits"), 1, "no study of dataset 'digits'"),
        (("report", "--study", "mine"), 1, "no study of name 'mine'"),
        (("report", "--format", "pdf"), 2, "unknown format 'pdf'; known: csv, html, json, latex, md"),
        (("run",), 2, "--dataset"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_users_mistake_is_one_clear_line(
    search: Search, tmp_path: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    ran = search(*words)
    assert ran.code == code
    assert message in ran.stderr
    assert "Traceback" not in ran.stderr
    assert "hushhush" not in ran.stdout + ran.stderr
    assert not (tmp_path / "home" / "cache").exists()
    if code == 1:
        assert len(ran.stderr.splitlines()) == 1


def test_folds_flips_and_balance_belong_to_the_study_and_its_report_tells_of_them(
    search: Search, tmp_path: Path
) -> None:
    asked = ("--folds", "3", "--flips", "--balanced")
    ran = search(*DIGITS, "--trials", "2", *asked, "--home", str(tmp_path))
    assert ran.code == 0, ran.stderr
    told = "1,437 train and validate in 3 folds, 360 test"
    assert f"({told})" in ran.stdout
    with Store.open(f"sqlite:///{tmp_path / 'studies.db'}") as store:
        study = store.read_study(store.find_study("digits"))
    assert study.provenance["folds"] == "3"
    assert study.provenance["flips"] == "horizontal"
    assert study.provenance["classes weigh"] == "the same"
    assert "validation fraction" not in study.provenance
    assert [trial.validation.total for trial in study.complete if trial.validation] == [1437, 1437]
    assert study.passes_made == 2 * 1437 + 360
    report = (tmp_path / "reports" / f"{study.name}.html").read_text()
    assert told in report
    assert "classes weigh" in report


def test_other_objectives_make_a_study_of_their_own_that_is_told_by_them(search: Search, home: Path) -> None:
    by_accuracy = best(home)
    ran = search(*DIGITS, "--trials", "4", "--objectives", "nll,cost", "--home", str(home))
    assert ran.code == 0, ran.stderr
    assert "validation  negative log-likelihood 0." in ran.stdout
    answer = best(home)  # of the study that ran last
    assert answer["study"] != by_accuracy["study"]
    assert (by_accuracy["metric"], answer["metric"]) == ("accuracy", "nll")
    assert answer["scores"]["test"].keys() == {"accuracy", "top-5", "mean-per-class", "nll", "ece"}
    low, high = answer["scores"]["test"]["nll"]["interval"]
    assert low < answer["scores"]["test"]["nll"]["value"] < high
    with Store.open(f"sqlite:///{home / 'studies.db'}") as store:
        study, trials = store.read_study(answer["study"]), store.trials(answer["study"])
    assert study.provenance["metric"] == "nll"
    assert study.provenance["objectives"] == "nll, cost"
    assert study.passes_made == 0  # the killed run, its continuation and the screening have made them all
    assert study.provenance.keys().isdisjoint({"folds", "flips", "classes weigh"})  # which were not asked for
    values = {trial.number: trial.values for trial in trials}
    for trial in study.complete:
        assert trial.scores is not None
        assert values[trial.number] == pytest.approx([-trial.scores.values["nll"].value, trial.gmacs])
    assert {final.setting for final in study.finals} == {study.pareto_front[0].setting, study.pareto_front[-1].setting}
    assert "front       GMAC" in ran.stdout
    assert [row["gmacs"] for row in answer["front"]] == [trial.gmacs for trial in study.pareto_front]
    assert by_accuracy["front"]  # told of any study
    page = (home / "reports" / f"{study.name}.html").read_text()
    assert "Test negative log-likelihood" in page
    assert "What it confuses" in page
    assert study.pictures
    for trial in study.complete:
        assert trial.correct_mask is not None
        assert trial.correct_mask.accuracy == trial.validation
    assert "Negative log-likelihood against cost" in page
    compared = search("compare", by_accuracy["study"], answer["study"], "--home", str(home))
    assert "exact paired test on 360 test images" in compared.stdout
    assert "their protocols differ too: metric, objectives" in compared.stdout


def test_a_broken_image_stops_the_run_before_it_starts_and_may_be_skipped(search: Search, tmp_path: Path) -> None:
    class_folders(tmp_path / "images", 12)
    broken = tmp_path / "images" / "dark ones" / "image 3.png"
    broken.write_bytes(broken.read_bytes()[:200])
    command = ("run", "--dataset", "folder", "--data-root", str(tmp_path / "images"), *QUICK, "--trials", "3")
    refused = search(*command)
    assert refused.code == 1
    assert "image 3.png" in refused.stderr
    assert not (tmp_path / "home").exists()
    ran = search(*command, "--skip-unreadable")
    assert ran.code == 0, ran.stderr
    assert "1 unreadable" in ran.stdout


@pytest.mark.parametrize(
    ("per_class", "words", "message"),
    [
        (2, (), "class 'dark ones' has 2 images, the fewest"),
        (12, ("--folds", "11"), "too few for 11 folds; ask for fewer"),
    ],
    ids=["one split", "folds"],
)
def test_too_few_images_are_refused(
    search: Search, tmp_path: Path, per_class: int, words: tuple[str, ...], message: str
) -> None:
    class_folders(tmp_path / "images", per_class)
    ran = search("run", "--dataset", "folder", "--data-root", str(tmp_path / "images"), *words)
    assert ran.code == 1
    assert message in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    assert not (tmp_path / "home").exists()


def test_a_class_that_is_only_tested_is_refused(search: Search, tmp_path: Path) -> None:
    class_folders(tmp_path, 12)
    images = [(image.relative_to(tmp_path), image.parent.name) for image in tmp_path.rglob("*.png")]
    lines = [
        f"{path},{name},{'train' if name == 'dark ones' and i % 3 else 'test'}" for i, (path, name) in enumerate(images)
    ]
    (tmp_path / "images.csv").write_text("\n".join(["path,label,split", *lines]))
    ran = search("run", "--dataset", "csv", "--data-root", str(tmp_path / "images.csv"))
    assert ran.code == 1
    assert "class 'helle Bilder ü' has 0 images to carve the validation split from" in ran.stderr
    assert not (tmp_path / "home").exists()


def test_a_run_reads_what_was_fetched_into_its_home(search: Search, tmp_path: Path) -> None:
    small_archives.cub(tmp_path / "home/datasets/cub")
    ran = search("run", "--dataset", "cub")
    assert ran.code == 1
    assert "of 9 images for the validation split" in ran.stderr  # found and read: it is too small, no more


@pytest.mark.parametrize("module", ["spaces", "search", "dashboards", "search.cli.main", "objectives.results"])
def test_light_modules_load_neither_torch_nor_ray(module: str) -> None:
    check = (
        f"import sys, {module}; print([m for m in ('torch', 'ray', 'optuna', 'plotly', 'sklearn') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    check = (
        "import atexit, sys\n"
        "atexit.register(lambda: print([m for m in ('torch', 'ray', 'optuna', 'plotly') if m in sys.modules]))\n"
        "sys.argv = ['search', '--help']\n"
        "from search.cli.main import main\n"
        "main()"
    )
    ran = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert "Search a dataset's best setting" in ran.stdout
    assert ran.stdout.splitlines()[-1] == "[]"
