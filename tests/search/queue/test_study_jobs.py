"""The jobs of a study, in SQLite and PostgreSQL: what is queued, what a run at work gets, and what is refused."""

from pathlib import Path

import pytest

from objectives.home import Home
from search.database.jobs.job_table import JobTable
from search.database.jobs.worker_table import WorkerTable
from search.database.records import RunRecord
from search.database.store import Store
from search.options.run_options import RunOptions
from search.queue.study_jobs import settings_in, submit_export, submit_settings
from spaces import BackboneError, SearchError
from tests.benchmarks.bookkeeping import make_driver, make_record, make_space, trial

SETTING = {"block": "5", "timestep": 90, "pool": 2, "head": "ridge"}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.at(tmp_path)


@pytest.fixture
def study(store: Store) -> str:
    """The name of a study without trials, and of which no run is alive."""
    name = store.ensure_study(make_record(make_space()))
    record = RunRecord(workers=1, command="search run", versions={}, options=RunOptions("digits").to_record())
    store.end_run(store.begin_run(name, record), "finished")
    return name


def test_an_export_needs_an_answer_and_keeps_its_study_and_moved_places(store: Store, home: Home, study: str) -> None:
    with pytest.raises(SearchError, match="has no complete trial yet; `search run` makes some"):
        submit_export(store, home, store.read_study(study), "ann")
    driver = make_driver(store, study, make_space(), "random", 1)
    trial(driver)
    store.end_run(driver.run_id, "finished")
    results = store.read_study(study)
    with pytest.raises(BackboneError, match="there is no network in /nowhere"):
        submit_export(store, home, results, "ann", backbone="/nowhere")
    job = submit_export(store, home, results, "ann", data_root=home.folder)
    assert (job.kind, job.study, job.owner, job.state) == ("export", study, "ann", "queued")
    assert job.options == {"data_root": str(home.folder)}
    jobs, worker = JobTable(store), WorkerTable(store).register(lambda _: ((0,), ()))
    store.rename_study(study, "renamed")
    claimed = jobs.claim(worker)
    assert claimed is not None
    assert (claimed.id, claimed.study) == (job.id, "renamed")


def test_settings_are_given_to_a_run_at_work_or_become_a_job(store: Store, home: Home, study: str) -> None:
    driver = make_driver(store, study, make_space(), "random", 1)
    trial(driver)
    results = store.read_study(study)
    settings = settings_in(results, [SETTING])
    assert submit_settings(store, home, results, settings, True, "ann") is None
    assert store.read_study(study).waiting == 1
    store.end_run(driver.run_id, "finished")
    job = submit_settings(store, home, results, settings, False, "ann")
    assert job is not None
    assert (job.kind, job.study) == ("try", study)
    assert [*job.options] == ["settings"]
    measured = [results.complete[0].setting]
    assert submit_settings(store, home, results, measured, False, "ann") is None
    finals = submit_settings(store, home, results, measured, True, "ann")
    assert finals is not None
    assert finals.options["finals"] is True
