"""`search status` of what real databases hold: a list, and one study in detail, for people and for programs."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from socket import gethostname

import pytest

from objectives.results import Accuracy, Evaluation, Final
from search.cli.status import StudyState
from search.database.models import RunRow, TrialRow
from search.database.records import RunRecord, RunState, StudyRecord
from search.database.store import Store
from search.samplers.catalog import sampler_named
from search.scheduling.driver import StudyDriver
from search.scheduling.requests import TrialRequest
from spaces import Setting, Space
from tests.support.command_line import Search

Facts = Callable[..., StudyRecord]
OPTIONS = {"trials": 12}


def at_work(
    store: Store, facts: StudyRecord, space: Space, run_record: RunRecord, finished: int = 4, failed: int = 0
) -> tuple[str, int, Setting]:
    """A run at work, two of whose trials run: the study, the run, and the first finished setting."""
    name = store.ensure_study(facts)
    run = store.begin_run(name, run_record)
    driver = StudyDriver(store, name, space, sampler_named("random", 0), seed=0, budget=99, run_id=run)
    settings = []
    for number in range(finished + failed + 2):
        asked = driver.next_trial()
        assert isinstance(asked, TrialRequest)
        if number < failed:
            driver.fail(asked.number, f"ValueError: \x1b[31mno {number}")
        elif number < failed + finished:
            settings.append(asked.setting)
            driver.complete(asked.number, Evaluation(Accuracy(19 - number, 20), {"fit": 0.1}, 10, 40))
    return name, run, settings[0]


def ended_at(store: Store, run: int, seconds: list[float]) -> None:
    """As if the run had begun a while ago and its trials had ended at these seconds since then."""
    with store.session() as session:
        row = session.get_one(RunRow, run)
        row.started = row.heartbeat - timedelta(seconds=seconds[-1])
        trials = session.query(TrialRow).filter(TrialRow.validation_correct.is_not(None)).order_by(TrialRow.number)
        for trial, second in zip(trials, seconds, strict=True):
            trial.finished = second


def test_a_study_at_work_is_told_in_detail(store: Store, make_record: Facts, space: Space, tmp_path: Path) -> None:
    facts = RunRecord(2, "search run --dataset digits --trials 12", {}, options=OPTIONS)
    name, run, best = at_work(store, make_record(), space, facts, failed=5)
    ended_at(store, run, [10.0, 30.0, 50.0, 70.0])
    lines = StudyState.of(store, name, tmp_path).lines()
    started = store.read_runs(name)[0].started.astimezone()
    assert lines[:11] == [
        f"study       {name}",
        "dataset     digits: 80 train, 20 validation, 50 test",
        f"backbone    bundled, {len(space)} settings",
        "trials      4 complete, 0 pruned, 5 failed, 2 running",
        f"best        {best}",
        "            validation accuracy 70.0 % (48.1 to 85.5)",
        "            the best of many trials looks better than it is; the finals will tell",
        "passes      40 made, 120 saved by the cache",
        f"at work     since {started:%Y-%m-%d %H:%M} on {gethostname()}, process {os.getpid()}, 2 workers",
        "            4 of 12 trials, 3 a minute, about 2 min 40 s left",
        lines[10],
    ]
    assert lines[10].startswith("            trial 9: ")
    assert lines[12].startswith("failed      trial 4: ")
    assert lines[13] == "            ValueError: \x1b[31mno 4"
    assert lines[18:] == [
        "            and 2 before; --json gives all",
        "command     search run --dataset digits --trials 12",
        "report      not written yet: a run that ends well writes it",
        f"storage     {store.address}",
    ]


@pytest.mark.parametrize(
    ("state", "said"),
    [("finished", "finished"), ("interrupted", "interrupted"), ("failed", "failed"), (None, "killed")],
)
def test_how_the_last_run_ended_is_told(
    sqlite_url: str, make_record: Facts, space: Space, tmp_path: Path, state: RunState | None, said: str
) -> None:
    with Store.open(sqlite_url) as store:
        facts = RunRecord(1, "search run", {}, pid=2**22 + 1)  # a process that cannot be
        name, run, _ = at_work(store, make_record(), space, facts)
        if state is not None:
            store.end_run(run, state)
        lines = StudyState.of(store, name, tmp_path).lines()
    assert f"on {gethostname()}: {said}" in next(line for line in lines if line.startswith("last run"))
    assert not any(line.startswith("at work") for line in lines)


def test_finals_and_the_report_are_told(sqlite_url: str, make_record: Facts, space: Space, tmp_path: Path) -> None:
    with Store.open(sqlite_url) as store:
        facts = RunRecord(2, "search run", {}, options={"trials": 4})
        name, _, best = at_work(store, make_record(), space, facts)
        for seed in (1, 2):
            store.record_final(name, Final(best, seed, Accuracy(18, 20), Accuracy(40, 50), 1.0, 0, 0))
        (tmp_path / f"{name}.html").write_text("a report")
        lines = StudyState.of(store, name, tmp_path).lines()
    assert "            test accuracy 80.0 % (67.0 to 88.8); mean of 2 seeds" in lines
    assert any(line.endswith("2 finals made, which follow the trials") for line in lines)
    today = datetime.now().astimezone()
    assert any(line.startswith(f"report      {tmp_path}/{name}.html, of {today:%Y-}") for line in lines)


def test_programs_are_told_the_same(search: Search, make_record: Facts, space: Space, tmp_path: Path) -> None:
    assert json.loads(search("status", "--json").stdout) == []
    with Store.open(f"sqlite:///{tmp_path}/home/studies.db") as store:
        facts = RunRecord(2, "search run", {}, options=OPTIONS)
        name, run, _ = at_work(store, make_record(), space, facts, failed=1)
        ended_at(store, run, [10.0, 30.0, 50.0, 70.0])
        other = store.ensure_study(replace(make_record(), dataset="cub", chosen_name="[red]mine"))
    listed = {row["study"]: row for row in json.loads(search("status", "--json").stdout)}
    assert listed[name]["trials"] == {"complete": 4, "pruned": 0, "failed": 1, "running": 2}
    assert (listed[name]["best"], listed[name]["at_work"]) == (0.9, True)
    assert (listed[other]["best"], listed[other]["last_run"]) == (None, None)
    told = json.loads(search("status", "--study", name, "--json").stdout)
    assert told["trials"] == listed[name]["trials"]
    assert told["best"]["validation_accuracy"] == 0.9
    assert (told["passes"], told["passes_saved"], told["report"]) == (40, 120, None)
    assert [failure["trial"] for failure in told["failures"]] == [0]
    (ran,) = told["runs"]
    assert (ran["state"], ran["pid"], ran["goal"], ran["trials_a_minute"]) == ("at work", os.getpid(), 12, 3.0)
    assert ran["seconds_left"] == pytest.approx(160, abs=15)
    assert json.loads(search("status", "--dataset", "cub", "--json").stdout)["best"] is None


def test_names_and_reasons_are_data(search: Search, make_record: Facts, space: Space, tmp_path: Path) -> None:
    with Store.open(f"sqlite:///{tmp_path}/home/studies.db") as store:
        facts = replace(make_record(), chosen_name="[red]mine")
        at_work(store, facts, space, RunRecord(2, "search run", {}), failed=1)
    assert "[red]mine" in search("status").stdout
    told = search("status", "--study", "[red]mine").stdout
    assert "\x1b" not in told
    assert r"ValueError: \x1b[31mno 0" in told


def test_a_password_is_not_told(postgresql_url: str, search: Search, make_record: Facts) -> None:
    with Store.open(postgresql_url) as store:
        typed = store.address.masked(f"search run --storage {postgresql_url}")
        store.begin_run(store.ensure_study(make_record()), RunRecord(2, typed, {}))
    for words in ((), ("--json",)):
        told = search("status", "--dataset", "digits", "--storage", postgresql_url, *words).stdout
        assert "search:***@127.0.0.1" in told
        assert "s3cret" not in told
