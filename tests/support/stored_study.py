"""A study with as many trials as wanted, stored by the driver as a run stores them, without a network or an image."""

from pathlib import Path

from search.database.store import Store
from tests.benchmarks.bookkeeping import make_driver, make_record, make_space, trial


def store_study(storage: str | Path, trials: int) -> str:
    """Store a study of so many finished trials, and return its name."""
    with Store.open(storage) as store:
        space = make_space()
        name = store.ensure_study(make_record(space))
        driver = make_driver(store, name, space, "random", 1)
        for _ in range(trials):
            trial(driver)
        store.end_run(driver.run_id, "finished")
    return name
