"""Which errors end a job, and after which it is tried again."""

import io
import json
import pickle
from pathlib import Path

import pytest

from search.database.connection.outages import OutageError, UnusableError
from search.database.store import Store
from search.queue.process import Reporter, end_of
from search.running.process import ProcessDiedError
from spaces import StorageError, UsageError


def test_a_job_is_tried_again_where_its_error_is_not_its_own() -> None:
    with pytest.raises(StorageError) as refused:
        Store.open("postgresql://search@127.0.0.1:1/none")
    lost = pickle.loads(pickle.dumps(refused.value))
    assert isinstance(lost, UnusableError)
    again = [lost, OutageError.of("studies.db", "it is locked"), ProcessDiedError("killed by signal 9")]
    assert [end_of(error) for error in again] == ["died"] * 3
    own = [UsageError("no"), StorageError("study 'a' was made with seed 1"), ZeroDivisionError()]
    assert [end_of(error) for error in own] == ["failed"] * 3


def test_a_folder_in_place_of_the_database_is_unusable(tmp_path: Path) -> None:
    with pytest.raises(UnusableError):
        Store.open(f"sqlite:///{tmp_path}")


def test_the_trials_that_end_during_a_pause_are_reported_at_once() -> None:
    output = io.StringIO()
    reporter = Reporter(output)
    for stage, finished in (("trials", 1), ("trials", 2), ("paused", 2), ("paused", 2), ("paused", 3), ("trials", 3)):
        reporter.progress({"stage": stage, "finished": finished})
    sent = [json.loads(line)["progress"] for line in output.getvalue().splitlines()]
    assert [(record["stage"], record["finished"]) for record in sent] == [
        ("trials", 1),
        ("paused", 2),
        ("paused", 3),
        ("trials", 3),
    ]
