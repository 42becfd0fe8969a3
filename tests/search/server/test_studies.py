"""Studies over HTTP: their answers are those of the command line, in pages and files, and follow the database."""

import csv
import io
import time
from pathlib import Path

import pyarrow.parquet
import pytest

from search.client import Client
from search.database.store import Store
from search.reports.answer import answer_record
from spaces import SearchError
from tests.benchmarks.bookkeeping import make_driver, make_space, trial
from tests.support.api_server import ApiServer


def test_the_answer_is_that_of_search_best(served: ApiServer, study: str) -> None:
    with Store.open(served.settings.database) as store, Client(served.url, served.tokens["viewer"]) as client:
        assert client.best(study) == answer_record(store.read_study(study))
        (listed,) = client.studies()
        assert listed["study"] == study
        assert listed["trials"]["complete"] == 12
        shown = client.study(study)
        assert shown["best"]["setting"] == client.best(study)["setting"]
        assert "storage" not in shown
        assert [found["study"] for found in client.studies("digits")] == [study]
        assert client.studies("birds") == []
        assert client.lines(study)["best"][0] == f"study       {study}"
        with pytest.raises(SearchError, match="there is no study 'digit'"):
            client.best("digit")


def test_the_name_of_a_dataset_in_place_of_a_study_gets_the_names_of_its_studies(served: ApiServer, study: str) -> None:
    detail = served.ask("POST", "/api/v1/studies/digits/pause", "admin").json()["detail"]
    assert detail == (
        "there is no study 'digits'; this address takes the name of a study, not of a dataset; "
        f"studies of 'digits': {study}"
    )
    detail = served.ask("POST", "/api/v1/studies/nothing/pause", "admin").json()["detail"]
    assert "this address takes the name of a study; `search status` lists them" in detail


def test_trials_come_in_pages_and_as_csv_and_parquet(served: ApiServer, study: str, tmp_path: Path) -> None:
    with Client(served.url, served.tokens["viewer"]) as client:
        trials = list(client.trials(study))
        assert [row["number"] for row in trials] == list(range(12))
        page = served.ask("GET", f"/api/v1/studies/{study}/trials?offset=10&limit=5", "viewer").json()
        assert (page["total"], page["trials"]) == (12, trials[10:])
        rows = list(csv.DictReader(io.StringIO(client.download_trials(study, tmp_path / "t.csv", "csv").read_text())))
        assert [float(row["accuracy"]) for row in rows] == [row["accuracy"] for row in trials]
        table = pyarrow.parquet.read_table(client.download_trials(study, tmp_path / "t.parquet"))
        assert table.column("accuracy").to_pylist() == [row["accuracy"] for row in trials]
    assert served.ask("GET", f"/api/v1/studies/{study}/trials?limit=1001", "viewer").status_code == 422


def test_a_report_is_served_in_a_sandbox_and_may_be_written(served: ApiServer, study: str, tmp_path: Path) -> None:
    answer = served.ask("GET", f"/api/v1/studies/{study}/report", "viewer")
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    with Client(served.url, served.tokens["viewer"]) as client:
        assert client.report(study, tmp_path / "report.md", "md") == tmp_path / "report.md"
    assert study in (tmp_path / "report.md").read_text()


def test_an_answer_follows_the_database_within_seconds(served: ApiServer, home: Path) -> None:
    with Store.open(served.settings.database) as store, Client(served.url, served.tokens["admin"]) as client:
        space = make_space()
        record = client.studies()[0]["study"]
        before = client.study(record)["trials"]["complete"]
        driver = make_driver(store, record, space, "random", 7)
        trial(driver)
        store.end_run(driver.run_id, "finished")

        def counts() -> set[int]:  # each answer is kept for a second of its own
            return {client.study(record)["trials"]["complete"], len(list(client.trials(record)))}

        deadline = time.monotonic() + 10
        while counts() != {before + 1} and time.monotonic() < deadline:
            time.sleep(0.1)
        assert counts() == {before + 1}


def test_a_study_is_stopped_renamed_and_deleted(served: ApiServer) -> None:
    with Client(served.url, served.tokens["admin"]) as client:
        (name,) = [study["study"] for study in client.studies()]
        with pytest.raises(SearchError, match="no run works on study"):
            client.stop(name)
        with pytest.raises(SearchError, match="`name` must be at most 60"):
            client.rename(name, "../x")
        client.rename(name, "renamed")
        assert client.best("renamed")["study"] == "renamed"
        with pytest.raises(SearchError, match="there is no study"):
            client.best(name)
        assert client.delete("renamed")["trials"] >= 12
        assert client.studies() == []
