"""`search status` on real databases: the list, and one study in detail, as text and as JSON."""

import json
import os
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from socket import gethostname

import pytest

from objectives.results import Accuracy, Evaluation, Final
from search.database.models import RunRow, TrialRow
from search.database.records import RunRecord, RunState, StudyRecord
from search.database.store import Store
from search.reports.study_state import StudyState
from search.samplers.catalog import sampler_named
from search.scheduling.requests import TrialRequest
from search.scheduling.trials.driver import StudyDriver
from spaces import Setting, Space
from tests.support.command_line import Search
from tests.support.studies import MakeRecord

OPTIONS = {"trials": 12}


def start_run(
    store: Store, facts: StudyRecord, space: Space, run_record: RunRecord, finished: int = 4, failed: int = 0
) -> tuple[str, int, Setting]:
    """Start a run with two running trials. Return its study, its id, and the first complete trial's setting."""
    name = store.ensure_study(facts)
    run = store.begin_run(name, run_record)
    driver = StudyDriver(store, name, space, sampler_named("random", 0), seed=0, budget=99, run_id=run)
    settings = []
    for number in range(finished + failed + 2):
        request = driver.next_trial()
        assert isinstance(request, TrialRequest)
        if number < failed:
            driver.fail(request.number, f"ValueError: \x1b[31mno {number}")
        elif number < failed + finished:
            settings.append(request.setting)
            driver.complete(request.number, Evaluation(Accuracy(19 - number, 20), {"fit": 0.1}, 10, 40))
    return name, run, settings[0]


def backdate_trials(store: Store, run: int, seconds: list[float]) -> None:
    """Move the run's start back in time, and let its trials end this many seconds after the start."""
    with store.session() as session:
        row = session.get_one(RunRow, run)
        row.started = row.heartbeat - timedelta(seconds=seconds[-1])
        trials = session.query(TrialRow).filter(TrialRow.validation_correct.is_not(None)).order_by(TrialRow.number)
        for trial, second in zip(trials, seconds, strict=True):
            trial.finished = second


def test_a_study_with_a_running_search_is_shown_in_detail(
    store: Store, make_record: MakeRecord, space: Space, tmp_path: Path
) -> None:
    facts = RunRecord(2, "search run --dataset digits --trials 12", {}, options=OPTIONS)
    name, run, best = start_run(store, make_record(), space, facts, failed=5)
    backdate_trials(store, run, [10.0, 30.0, 50.0, 70.0])
    lines = StudyState.of(store, name, tmp_path).lines()
    started = store.read_runs(name)[0].started.astimezone()
    assert lines[:8] == [
        f"study       {name}",
        "dataset     digits: 80 train, 20 validation, 50 test",
        f"backbone    bundled, {len(space)} settings",
        "trials      4 complete, 0 pruned, 5 failed, 2 running",
        f"setting     {best}",
        "validation  70.0 %  (95 % interval 48.1 to 85.5)",
        "test        not measured yet: the candidates have not been compared, and the best of many trials looks better "
        "on",
        "            validation than it is",
    ]
    passes = next(index for index, line in enumerate(lines) if line.startswith("passes"))
    assert lines[passes : passes + 3] == [
        "passes      40 made; a plain script that makes its own for each trial: 160",
        f"running     since {started:%Y-%m-%d %H:%M} on {gethostname()}, process {os.getpid()}, 2 workers",
        "            4 of 12 trials, 3 a minute, about 2 min 40 s left",
    ]
    assert any(line.startswith("not tried   ") for line in lines[8:passes])
    lines = lines[passes - 7 :]
    assert lines[10].startswith("            trial 9: ")
    assert lines[12].startswith("failed      trial 4: ")
    assert lines[13] == r"            ValueError: \x1b[31mno 4"
    assert lines[18:] == [
        "            and 2 earlier ones; --json lists all",
        "command     search run --dataset digits --trials 12",
        "report      not written yet; a run writes it when it has finished",
        f"storage     {store.address}",
    ]


@pytest.mark.parametrize(
    ("state", "ending"),
    [("finished", "finished"), ("interrupted", "interrupted"), ("failed", "failed"), (None, "killed")],
)
def test_the_end_of_the_last_run_is_shown(
    sqlite_url: str, make_record: MakeRecord, space: Space, tmp_path: Path, state: RunState | None, ending: str
) -> None:
    with Store.open(sqlite_url) as store:
        facts = RunRecord(1, "search run", {}, pid=2**22 + 1)  # a process that cannot be
        name, run, _ = start_run(store, make_record(), space, facts)
        if state is not None:
            store.end_run(run, state)
        lines = StudyState.of(store, name, tmp_path).lines()
    assert f"on {gethostname()}: {ending}" in next(line for line in lines if line.startswith("last run"))
    assert not any(line.startswith("running ") for line in lines)


def test_the_running_trials_of_a_killed_run_are_interrupted(
    sqlite_url: str, make_record: MakeRecord, space: Space, tmp_path: Path
) -> None:
    with Store.open(sqlite_url) as store:
        facts = RunRecord(1, "search run", {}, pid=2**22 + 1)  # a process that cannot be
        name, _, _ = start_run(store, make_record(), space, facts)
        lines = StudyState.of(store, name, tmp_path).lines()
        (listed,) = store.studies()
        trials = store.read_study(name).trials
    assert "trials      4 complete, 0 pruned, 0 failed, 0 running, 2 interrupted" in lines
    assert (listed.running, listed.interrupted, listed.at_work) == (0, 2, False)
    assert [trial.reason for trial in trials[4:]] == ["interrupted: the process that ran it is gone"] * 2


def test_finals_and_the_report_are_shown(
    sqlite_url: str, make_record: MakeRecord, space: Space, tmp_path: Path
) -> None:
    with Store.open(sqlite_url) as store:
        facts = RunRecord(2, "search run", {}, options={"trials": 4})
        name, _, best = start_run(store, make_record(), space, facts)
        for seed in (1, 2):
            store.record_final(name, Final(best, seed, Accuracy(18, 20), Accuracy(40, 50), 1.0, 0, 0))
        (tmp_path / f"{name}.html").write_text("a report")
        lines = StudyState.of(store, name, tmp_path).lines()
    assert "test        80.0 %  (95 % interval 67.0 to 88.8; mean of 2 seeds)" in lines
    assert any(line.endswith("now re-evaluating on other splits, 2 fits done") for line in lines)
    today = datetime.now().astimezone()
    assert any(line.startswith(f"report      {tmp_path}/{name}.html, written {today:%Y-}") for line in lines)


def test_json_has_the_same_facts(search: Search, make_record: MakeRecord, space: Space, tmp_path: Path) -> None:
    assert json.loads(search("status", "--json").stdout) == []
    with Store.open(f"sqlite:///{tmp_path}/home/studies.db") as store:
        facts = RunRecord(2, "search run", {}, options=OPTIONS)
        name, run, _ = start_run(store, make_record(), space, facts, failed=1)
        backdate_trials(store, run, [10.0, 30.0, 50.0, 70.0])
        other = store.ensure_study(replace(make_record(), dataset="cub", chosen_name="[red]mine"))
    listed = {row["study"]: row for row in json.loads(search("status", "--json").stdout)}
    assert listed[name]["trials"] == {"complete": 4, "pruned": 0, "failed": 1, "running": 2, "interrupted": 0}
    assert (listed[name]["best"], listed[name]["at_work"]) == (0.9, True)
    assert (listed[other]["best"], listed[other]["last_run"]) == (None, None)
    state = json.loads(search("status", "--study", name, "--json").stdout)
    assert state["trials"] == listed[name]["trials"]
    assert state["best"]["validation_accuracy"] == 0.9
    assert (state["passes"], state["passes_saved"], state["report"]) == (40, 120, None)
    assert [failure["trial"] for failure in state["failures"]] == [0]
    (record,) = state["runs"]
    assert (record["state"], record["pid"], record["goal"]) == ("at work", os.getpid(), 12)
    assert record["trials_a_minute"] == 3.0
    assert record["seconds_left"] == pytest.approx(160, abs=15)
    assert json.loads(search("status", "--dataset", "cub", "--json").stdout)["best"] is None


def test_control_characters_and_markup_in_names_are_escaped(
    search: Search, make_record: MakeRecord, space: Space, tmp_path: Path
) -> None:
    with Store.open(f"sqlite:///{tmp_path}/home/studies.db") as store:
        facts = replace(make_record(), chosen_name="[red]mine")
        start_run(store, facts, space, RunRecord(2, "search run", {}), failed=1)
    assert "[red]mine" in search("status").stdout
    output = search("status", "--study", "[red]mine").stdout
    assert "\x1b" not in output
    assert r"ValueError: \x1b[31mno 0" in output


def test_a_password_is_not_shown(postgresql_url: str, search: Search, make_record: MakeRecord) -> None:
    with Store.open(postgresql_url) as store:
        store.begin_run(store.ensure_study(make_record()), RunRecord(2, "search run", {}))
    for words in ((), ("--json",)):
        output = search("status", "--dataset", "digits", "--storage", postgresql_url, *words).stdout
        assert "postgresql+psycopg://search@127.0.0.1" in output
        assert "s3cret" not in output


def test_the_environment_names_the_database(
    search: Search, make_record: MakeRecord, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(sqlite_url) as store:
        name = store.ensure_study(make_record())
    monkeypatch.setenv("SEARCH_STORAGE", sqlite_url)
    assert name in search("status").stdout
    monkeypatch.setenv("SEARCH_STORAGE", "mysql://host/database")
    assert search("status").code == 1
