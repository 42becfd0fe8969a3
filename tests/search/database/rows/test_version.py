"""The version of a study in SQLite and PostgreSQL: it changes with whatever a reader of the study sees."""

import pytest

from search.database.store import Store
from spaces import StorageError
from tests.benchmarks.bookkeeping import make_driver, make_record, make_space, trial


def test_the_version_changes_with_runs_and_trials_and_not_otherwise(store: Store) -> None:
    empty = store.version()
    space = make_space()
    name = store.ensure_study(make_record(space))
    versions = [empty, store.version()]
    of_study = [store.version(name)]
    driver = make_driver(store, name, space, "random", 1)
    for _ in range(2):
        trial(driver)
        versions.append(store.version())
        of_study.append(store.version(name))
    store.end_run(driver.run_id, "finished")
    versions.append(store.version())
    of_study.append(store.version(name))
    assert len({*versions}) == len(versions)
    assert len({*of_study}) == len(of_study)
    assert store.version(name) == of_study[-1]
    assert store.version() == versions[-1]


def test_there_is_no_version_of_no_study(store: Store) -> None:
    with pytest.raises(StorageError, match="there is no study 'none'"):
        store.version("none")
