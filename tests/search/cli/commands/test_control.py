"""The commands that control a study, on a real run with worker processes and on finished studies."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from search.database.store import Store
from tests.support.command_line import Ran, Search, search_process
from tests.support.processes import child_process

QUICK = ("--dataset", "digits", "--heads", "linear", "--blocks", "8-13", "--timesteps", "20", "--no-warm-start")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_run_is_paused_resumed_and_stopped_from_another_process(tmp_path: Path) -> None:
    def typed(*words: str) -> Ran:
        return search_process(tmp_path, tmp_path, *words)

    def wait_until(has_happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 90
        while not has_happened():
            assert time.monotonic() < deadline
            time.sleep(0.2)

    command = [sys.executable, "-m", "search", "run", *QUICK, "--trials", "500", "--home", str(tmp_path)]
    with child_process(command, stdout=subprocess.PIPE, text=True) as run:
        file = tmp_path / "studies.db"
        wait_until(file.exists)
        with Store.open(file) as store:
            wait_until(lambda: any(study.finished >= 2 for study in store.studies()))
            assert "process" in typed("pause", "digits").stdout
            wait_until(lambda: not store.studies()[0].running)
            (study,) = store.studies()
            shown = typed("status", "--study", study.name).stdout
            assert f"it is paused; `search resume {study.name}` continues" in shown
            assert typed("delete", study.name, "--yes").code == 1
            time.sleep(1)
            assert store.studies()[0].finished == study.finished
            assert typed("resume", study.name).code == 0
            wait_until(lambda: store.studies()[0].finished > study.finished)
            assert typed("stop", "digits", "--now").code == 0
            output, _ = run.communicate(timeout=60)
            (ended,) = store.read_runs(study.name)
    assert run.returncode == 0
    assert "paused: nothing begins until `search resume`" in output
    assert "`search stop --now` ended it" in output
    assert "not measured yet" in output
    assert (ended.state, ended.reason) == ("finished", "`search stop --now` ended it")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_run_with_a_time_limit_writes_its_report_and_reaches_a_target_at_once(tmp_path: Path) -> None:
    began = time.monotonic()
    ran = search_process(tmp_path, tmp_path, "run", *QUICK, "--trials", "500", "--for", "25s")
    assert time.monotonic() - began < 60  # the machine may be busy
    assert ran.code == 0, ran.stdout + ran.stderr
    assert "its time of 25 s was up" in ran.stdout
    assert len(list((tmp_path / "reports").glob("*.html"))) == 1
    again = search_process(tmp_path, tmp_path, "run", *QUICK, "--trials", "500", "--target", "0.2")
    assert "a trial reached the target of 20.0 %" in again.stdout


def test_a_study_is_deleted_after_a_yes_and_its_classifier_stays(finished_home: Path, search: Search) -> None:
    (study,) = json.loads(search("status", "--json").stdout)
    name, report = study["study"], finished_home / "reports" / f"{study['study']}.html"
    refused = search("delete", name)
    assert refused.code == 2
    assert "no terminal to ask on; give --yes" in refused.stderr
    assert f"goes        {report}" in refused.stdout
    assert report.exists()
    assert search("rename", name, "mine").code == 0
    assert not report.exists()
    assert "mine" in report.with_name("mine.html").read_text()
    deleted = search("delete", "mine", "--yes")
    assert "goes        study mine with 3 trials and 2 finals" in deleted.stdout
    assert "stays       its features in the cache; no other study uses them" in deleted.stdout
    assert json.loads(search("status", "--json").stdout) == []
    assert search("delete", "mine", "--yes").code == 1


@pytest.mark.parametrize("command", ["stop", "pause", "resume"])
def test_a_finished_study_has_no_run_to_ask(command: str, finished_home: Path, search: Search) -> None:
    ran = search(command, "folder")
    assert ran.code == 1
    assert "no run works on study" in ran.stderr
