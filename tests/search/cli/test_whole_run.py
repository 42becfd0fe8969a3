"""Whole runs of the command on real digits and the bundled U-Net, with worker processes.

The quick tests of `test_finished_run.py` look at one run more closely.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from search.database.store import Store
from tests.support.command_line import Ran, Search, search_process
from tests.support.images import class_folders
from tests.support.made_once import made_once
from tests.support.terminal import run_on_terminal, without_clocks

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

QUICK = ("--heads", "linear", "--blocks", "8-13", "--timesteps", "20", "--final-seeds", "2", "--finalists", "2")
DIGITS = ("run", "--dataset", "digits", *QUICK)


def typed(home: Path, *words: str) -> Ran:
    return search_process(home, home, *words)


def _kill_and_continue(folder: Path) -> None:
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
    assert ran.code == 0, ran.stdout + ran.stderr
    assert "the study has 10 finished trials" in ran.stdout
    assert "screening the settings" not in ran.stdout  # which the first run did
    assert "Traceback" not in ran.stderr


@pytest.fixture(scope="session")
def killed_and_continued(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which `search run` has made ten trials on digits, though it was killed after the second."""
    return made_once(tmp_path_factory, "killed and continued", _kill_and_continue)


@pytest.fixture
def home(killed_and_continued: Path, tmp_path: Path) -> Path:
    """A copy of that home, for a test to change."""
    return Path(shutil.copytree(killed_and_continued, tmp_path / "home"))


def complete_trials(home: Path) -> int:
    with Store.open(f"sqlite:///{home / 'studies.db'}") as store:
        return sum(study.complete for study in store.studies())


def test_a_killed_run_is_continued_to_the_count_and_repeats_nothing(home: Path) -> None:
    with Store.open(f"sqlite:///{home / 'studies.db'}") as store:
        study = store.read_study(store.find_study("digits"))
    finished = [trial.setting for trial in study.trials if trial.state in ("complete", "pruned")]
    assert len(finished) == len(set(finished)) == 10
    assert study.count("running") == 0


def best(home: Path, *words: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(typed(home, "best", *(words or ("--dataset", "digits")), "--json").stdout)
    return answer


def test_a_run_leaves_a_best_setting_a_report_and_a_study(home: Path) -> None:
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


def test_the_same_command_does_nothing_and_more_trials_continue(search: Search, home: Path) -> None:
    before = best(home)
    again = search(*DIGITS, "--trials", "10", "--home", str(home))
    assert again.code == 0, again.stderr
    assert best(home) == before
    more = search(*DIGITS, "--trials", "12", "--home", str(home))
    assert more.code == 0, more.stderr
    assert best(home)["trials"] == 12
    assert best(home)["study"] == before["study"]


@pytest.mark.parametrize("early", [False, True])
def test_sigterm_to_all_processes_of_a_run_does_what_ctrl_c_does(home: Path, early: bool) -> None:
    """systemd, Slurm and `timeout` end a command so. early: while Ray starts, not between its trials."""
    before = complete_trials(home)
    with Store.open(f"sqlite:///{home / 'studies.db'}") as store:
        tried = len(store.read_study(store.find_study("digits")).trials)
    command = [sys.executable, "-u", "-m", "search", *DIGITS, "--trials", "60", "--home", str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        assert run.stdout is not None
        said = [next(line for line in run.stdout if line.startswith("plan: "))]
        while not early and complete_trials(home) < before + 2 and run.poll() is None:
            time.sleep(0.1)
        processes = [psutil.Process(run.pid), *psutil.Process(run.pid).children(recursive=True)]
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGTERM)
        said += run.stdout.readlines()
        assert run.wait(50) == 143  # Ray gives up a lost server after 60 s
    assert said[-1] == "interrupted: every finished trial is kept; type the same command again to continue\n"
    assert psutil.wait_procs(processes, timeout=30)[1] == []
    with Store.open(f"sqlite:///{home / 'studies.db'}") as store:
        trials = store.read_study(store.find_study("digits")).trials
    assert all(trial.state in ("complete", "pruned", "interrupted") for trial in trials)
    reasons = {trial.reason for trial in trials[tried:] if trial.state == "interrupted"}
    assert reasons == (set() if early else {"interrupted: the run was stopped"})


def test_a_terminal_shows_the_run_and_ctrl_c_leaves_it_tidy(home: Path) -> None:
    words = ["-m", "search", *DIGITS, "--trials", "60"]
    shown = run_on_terminal(words, 80, 24, {"SEARCH_HOME": str(home)}, ctrl_c_at=r"\D1[3-5]/60")
    assert shown.code == 130
    assert 4 < shown.redrawn < 24
    said = [" | ".join(without_clocks(state)) for state in shown.states]
    assert any(
        re.search(r"trial running for \| \d+ block .* \| trial best trials by validation accuracy", it) for it in said
    )
    assert any(re.search(r"run about .* left \| trials 1\d/60 \| finals 0/", state) for state in said)
    *_, interrupted = last = without_clocks(shown.lines[-11:])
    assert interrupted == "interrupted: every finished trial is kept; type the same command again to continue"
    assert last[0] == "run"
    assert re.fullmatch(r"trials 1\d/60", last[1])
    assert [line.split()[0] for line in last[2:5:2]] == ["finals", "trial"]
    assert not any("Traceback" in line for line in shown.lines)
    assert re.search(
        r"^trials .*, [1-9] interrupted", typed(home, "status", "--dataset", "digits").stdout, re.MULTILINE
    )


def test_folds_flips_and_balance_belong_to_the_study_and_its_report(search: Search, tmp_path: Path) -> None:
    options = ("--folds", "3", "--flips", "--balanced")
    ran = search(*DIGITS, "--trials", "2", *options, "--home", str(tmp_path))
    assert ran.code == 0, ran.stderr
    counts = "1,437 train and validate in 3 folds, 360 test"
    assert f"({counts})" in ran.stdout
    with Store.open(f"sqlite:///{tmp_path / 'studies.db'}") as store:
        study = store.read_study(store.find_study("digits"))
    assert study.provenance["folds"] == "3"
    assert study.provenance["flips"] == "horizontal"
    assert study.provenance["classes weigh"] == "the same"
    assert "validation fraction" not in study.provenance
    assert [trial.validation.total for trial in study.complete if trial.validation] == [1437, 1437]
    assert study.passes_made == 2 * 1437 + 360
    report = (tmp_path / "reports" / f"{study.name}.html").read_text()
    assert counts in report
    assert "classes weigh" in report


def test_other_objectives_create_another_study_whose_report_uses_them(search: Search, home: Path) -> None:
    by_accuracy = best(home)
    ran = search(*DIGITS, "--trials", "4", "--objectives", "nll,cost", "--home", str(home))
    assert ran.code == 0, ran.stderr
    assert "validation  negative log-likelihood 0." in ran.stdout
    (name,) = re.findall(r"^study +(\S+)$", ran.stdout, re.MULTILINE)
    answer = best(home, "--study", name)
    assert answer["study"] != by_accuracy["study"]
    assert (by_accuracy["metric"], answer["metric"]) == ("accuracy", "nll")
    assert answer["scores"]["test"].keys() == {"accuracy", "top-5", "mean-per-class", "nll", "ece"}
    low, high = answer["scores"]["test"]["nll"]["interval"]
    assert low < answer["scores"]["test"]["nll"]["value"] < high
    with Store.open(f"sqlite:///{home / 'studies.db'}") as store:
        study, trials = store.read_study(answer["study"]), store.trials(answer["study"]).own
    assert study.provenance["metric"] == "nll"
    assert study.provenance["objectives"] == "nll, cost"
    assert study.passes_made == 0  # the killed run, its continuation and the screening have made them all
    assert study.provenance.keys().isdisjoint({"flips", "classes weigh"})  # not requested
    assert study.provenance["folds"] == "5"  # by rule
    assert "(1,437 train and validate in 5 folds, 360 test)" in ran.stdout
    values = {trial.number: trial.values for trial in trials}
    for trial in study.complete:
        assert trial.scores is not None
        assert values[trial.number] == pytest.approx([-trial.scores.values["nll"].value, trial.gmacs])
    assert {final.setting for final in study.finals} == {study.pareto_front[0].setting, study.pareto_front[-1].setting}
    assert "front       GMAC" in ran.stdout
    assert [row["gmacs"] for row in answer["front"]] == [trial.gmacs for trial in study.pareto_front]
    assert by_accuracy["front"]  # every study has one
    page = (home / "reports" / f"{study.name}.html").read_text()
    assert "Test negative log-likelihood" in page
    assert "Most frequent mistakes" in page
    assert study.pictures
    for trial in study.complete:
        assert trial.correct_mask is not None
        assert trial.correct_mask.accuracy == trial.validation
    assert "Negative log-likelihood against cost" in page
    compared = search("compare", by_accuracy["study"], answer["study"], "--home", str(home))
    assert "test on 360 test images" in compared.stdout
    assert "their protocols differ too: metric, objectives" in compared.stdout


def test_a_broken_image_may_be_skipped(search: Search, tmp_path: Path) -> None:
    class_folders(tmp_path / "images", 12)
    broken = tmp_path / "images" / "dark ones" / "image 3.png"
    broken.write_bytes(broken.read_bytes()[:200])
    command = ("run", "--dataset", "folder", "--data-root", str(tmp_path / "images"), *QUICK, "--trials", "3")
    ran = search(*command, "--skip-unreadable")
    assert ran.code == 0, ran.stderr
    assert "1 unreadable" in ran.stdout
