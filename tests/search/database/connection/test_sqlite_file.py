"""A SQLite file that is deleted, replaced or damaged during a run is noticed, and its content rescued."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import event, text

from objectives.results import Accuracy, Evaluation
from search.database.records import RunRecord
from search.database.store import Store
from search.samplers.catalog import sampler_named
from search.scheduling.requests import TrialRequest
from search.scheduling.trials.driver import StudyDriver
from spaces import Space, StorageError
from tests.support.studies import MakeRecord

EVALUATION = Evaluation(Accuracy(18, 20), {"fit": 0.5}, passes_made=7, passes_needed=10)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "st%udies.db"


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    with Store.open(file) as opened:
        yield opened


def delete(file: Path) -> None:
    file.unlink()


def delete_all(file: Path) -> None:
    for part in file.parent.glob(f"{file.name}*"):
        part.unlink()


def move(file: Path) -> None:
    file.rename(file.with_name("elsewhere.db"))


def replace(file: Path) -> None:
    with Store.open(file.with_name("other.db")):
        pass
    file.with_name("other.db").replace(file)


def cut(file: Path) -> None:
    os.truncate(file, 0)


def cut_half(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def overwrite(file: Path) -> None:
    """Copy a larger database over it, as `cp` does."""
    other = file.with_name("other.db")
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE others (content)")
        connection.execute("INSERT INTO others VALUES (zeroblob(4000000))")
    connection.close()
    with other.open("rb") as source, file.open("r+b") as target:
        shutil.copyfileobj(source, target)


def run(
    store: Store, make_record: MakeRecord, record: RunRecord, space: Space, fault: Callable[[], None]
) -> tuple[str, str]:
    """Run until a fault between a trial's start and its end. Return the study, and what the run says."""
    study = store.ensure_study(make_record())

    def work() -> None:
        with store.run(study, record) as run_id:
            driver = StudyDriver(store, study, space, sampler_named("random", 0), seed=0, budget=9, run_id=run_id)
            numbers = [answer.number for _ in range(3) if isinstance(answer := driver.next_trial(), TrialRequest)]
            driver.complete(numbers[0], EVALUATION)
            store.trials(study)
            fault()
            driver.complete(numbers[1], EVALUATION)

    with pytest.raises(StorageError) as raised:
        work()
    assert store.optuna.loss == str(raised.value)
    return study, str(raised.value)


@pytest.mark.parametrize("fault", [delete, delete_all, move, replace])
def test_what_a_lost_file_held_is_rescued(
    fault: Callable[[Path], None],
    file: Path,
    store: Store,
    make_record: MakeRecord,
    run_record: RunRecord,
    space: Space,
) -> None:
    study, words = run(store, make_record, run_record, space, lambda: fault(file))
    rescued = file.with_name(f"{file.stem}-rescued-{os.getpid()}.db")
    assert f"all that it held is in {rescued}: move that file to {file}" in words
    store.close()
    assert not Path(f"{rescued}-wal").exists()
    rescued.replace(file)
    with Store.open(file) as again:
        trials = again.trials(study).own
        assert [trial.state.name for trial in trials] == ["COMPLETE", "COMPLETE", "RUNNING"]
        assert [run.state for run in again.read_runs(study)] == ["failed"]
        with again.run(study, run_record) as run_id:
            driver = StudyDriver(again, study, space, sampler_named("random", 0), seed=0, budget=9, run_id=run_id)
            driver.reconcile()
            assert isinstance(retried := driver.next_trial(), TrialRequest)
            assert (retried.number, retried.attempt) == (3, 2)


@pytest.mark.parametrize("fault", [cut, cut_half, overwrite])
def test_trials_of_a_damaged_file_are_listed(
    fault: Callable[[Path], None],
    file: Path,
    store: Store,
    make_record: MakeRecord,
    run_record: RunRecord,
    space: Space,
) -> None:
    with sqlite3.connect(file) as connection:  # a file with pages that no log has
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    study, words = run(store, make_record, run_record, space, lambda: fault(file))
    listed = file.with_name(f"{file.stem}-rescued-{os.getpid()}.json")
    assert "cannot be read any more" in words
    assert f"listed in {listed}" in words
    states = [trial["state"] for trial in json.loads(listed.read_text())[study]]
    assert states[:1] == ["COMPLETE"]


def test_a_rescue_finds_another_folder(
    file: Path,
    store: Store,
    make_record: MakeRecord,
    run_record: RunRecord,
    space: Space,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    elsewhere = tmp_path_factory.mktemp("working folder")
    monkeypatch.chdir(elsewhere)
    _, words = run(store, make_record, run_record, space, lambda: shutil.rmtree(file.parent))
    assert str(elsewhere) in words or str(file.parent) in words


def test_a_file_may_shrink(file: Path, store: Store, make_record: MakeRecord, run_record: RunRecord) -> None:
    study = store.ensure_study(make_record())
    with store.run(study, run_record) as run_id:
        store.record_heartbeat(run_id)
        connection = sqlite3.connect(file)
        connection.execute("CREATE TABLE others AS SELECT zeroblob(1000000) AS content")
        connection.commit()
        store.record_heartbeat(run_id)
        connection.execute("DROP TABLE others")
        connection.commit()
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        store.record_heartbeat(run_id)
    assert store.optuna.loss is None


def test_without_a_run_the_file_in_its_place_is_opened(file: Path, store: Store, make_record: MakeRecord) -> None:
    store.ensure_study(make_record())
    replace(file)
    for suffix in ("-wal", "-shm"):
        Path(f"{file}{suffix}").unlink(missing_ok=True)
    assert store.studies() == []
    file.unlink()
    with pytest.raises(StorageError, match="No such file or directory"):
        store.studies()
    assert not file.exists()


def test_a_full_disk_ends_a_run_in_words_and_the_next_one_continues(
    file: Path, store: Store, make_record: MakeRecord, run_record: RunRecord, space: Space
) -> None:
    study = store.ensure_study(make_record())
    ended = 0
    with store.session() as session:
        pages = int(session.scalar(text("PRAGMA page_count")) or 0) + 5

    @event.listens_for(store.optuna.engine, "checkout")
    def on_checkout(connection: sqlite3.Connection, _record: object, _proxy: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}")

    def work() -> None:
        nonlocal ended
        with store.run(study, run_record) as run_id:
            driver = StudyDriver(store, study, space, sampler_named("random", 0), seed=0, budget=60, run_id=run_id)
            driver.reconcile()
            while isinstance(request := driver.next_trial(), TrialRequest):
                driver.complete(request.number, EVALUATION)
                ended += 1

    with pytest.raises(StorageError, match="disk is full; free space on its disk"):
        work()
    states = [trial.state.name for trial in store.trials(study).own]
    assert states.count("COMPLETE") == ended
    assert len(states) <= ended + 1
    pages = 1_000_000
    work()
    assert store.optuna.loss is None
    assert [trial.state.name for trial in store.trials(study).own].count("COMPLETE") == 60 == ended
