"""Requests to the runs of a study, and studies that are deleted and renamed, on both databases."""

from pathlib import Path

import pytest

from objectives.home import Home
from search.database.records import RunRecord
from search.database.store import Store
from search.study.control import delete_study, deletion, rename_study, request_pause, request_resume, request_stop
from spaces import SearchError, UsageError
from tests.support.studies import MakeRecord


@pytest.fixture
def study(store: Store, make_record: MakeRecord) -> str:
    return store.ensure_study(make_record(protocol={"seed": "0"}))


def test_a_request_reaches_another_store_and_is_forgotten_by_the_next_run(
    store: Store, storage_url: str, study: str, run_record: RunRecord
) -> None:
    with Store.open(storage_url) as other:
        run = store.begin_run(study, run_record)
        assert store.read_request(study) is None
        assert [run.pid for run in request_stop(other, study).runs] == [run_record.pid]
        assert store.read_request(study) == "stop"
        assert request_stop(other, "digits", now=True).study == study
        assert store.read_request(study) == "stop now"
        with pytest.raises(SearchError, match="is being stopped"):
            request_pause(other, study)
        store.record_reason(run, "stopped")
        store.end_run(run, "finished")
        store.begin_run(study, run_record)
        assert store.read_request(study) is None
        assert [summary.reason for summary in store.read_runs(study)] == ["stopped", None]


def test_a_paused_run_is_resumed(store: Store, study: str, run_record: RunRecord) -> None:
    store.begin_run(study, run_record)
    with pytest.raises(SearchError, match="is not paused"):
        request_resume(store, study)
    request_pause(store, study)
    assert store.read_request(study) == "pause"
    [summary] = store.studies()
    assert summary.request == "pause"
    request_resume(store, study)
    assert store.read_request(study) is None


def test_a_second_run_keeps_what_is_wanted_of_the_first(store: Store, study: str, run_record: RunRecord) -> None:
    store.begin_run(study, run_record)
    request_pause(store, study)
    with store.run(study, run_record):
        assert store.read_request(study) == "pause"


@pytest.mark.parametrize("request_it", [request_stop, request_pause, request_resume])
def test_nothing_is_asked_of_a_study_without_a_run(store: Store, study: str, request_it: object) -> None:
    assert callable(request_it)
    with pytest.raises(SearchError, match="no run works on study"):
        request_it(store, study)


def test_a_deleted_study_leaves_its_classifier_and_other_studies(
    store: Store, study: str, make_record: MakeRecord, run_record: RunRecord, tmp_path: Path
) -> None:
    other, home = store.ensure_study(make_record(protocol={"seed": "0"}, chosen_name="other")), Home(tmp_path)
    for file in (
        home.reports / f"{study}.html",
        home.reports / "other.html",
        home.classifiers / f"{study}.safetensors",
    ):
        file.parent.mkdir(exist_ok=True)
        file.touch()
    run = store.begin_run(study, run_record)
    with pytest.raises(SearchError, match="a run works on study"):
        delete_study(store, home, study)
    with pytest.raises(SearchError, match="cannot be deleted meanwhile"):
        store.delete_study(study)
    store.end_run(run, "finished")
    assert deletion(store, home, study).others == ("other",)
    delete_study(store, home, study)
    assert store.names() == {other}
    assert [file.name for file in home.reports.iterdir()] == ["other.html"]
    assert (home.classifiers / f"{study}.safetensors").exists()
    with pytest.raises(SearchError, match="no study"):
        deletion(store, home, study)


def test_a_renamed_study_is_found_by_its_new_name_alone(
    store: Store, study: str, make_record: MakeRecord, run_record: RunRecord, tmp_path: Path
) -> None:
    store.ensure_study(make_record(protocol={"seed": "0"}, chosen_name="other"))
    home = Home(tmp_path)
    home.classifiers.mkdir()
    (home.classifiers / f"{study}.safetensors").touch()
    assert rename_study(store, home, study, "mine") == study
    assert store.names() == {"mine", "other"}
    assert store.load("mine").study_name == "mine"
    assert [file.name for file in home.classifiers.iterdir()] == ["mine.safetensors"]
    assert store.ensure_study(make_record(protocol={"seed": "0"}, chosen_name="mine")) == "mine"
    for taken in ("other", "Other"):
        with pytest.raises(SearchError, match="choose another"):
            rename_study(store, home, "mine", taken)
    with pytest.raises(UsageError, match="letters, digits"):
        rename_study(store, home, "mine", "a/b")
    run = store.begin_run("mine", run_record)
    with pytest.raises(SearchError, match="a run works on study"):
        rename_study(store, home, "mine", "yours")
    store.end_run(run, "finished")
    assert rename_study(store, home, "mine", "yours") == "mine"
