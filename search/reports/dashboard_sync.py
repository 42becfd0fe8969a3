"""A study's note and figures in Optuna Dashboard, written anew while a run works on it."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from search.database.store import Store

SHORTEST = 15.0
"""Seconds between two."""

SPARING = 20
"""At least so many times what the last one took lies between two: some hundredths of a run's time at most."""


@contextmanager
def refreshing(store: Store, study: str, run: int, report: Path, every: float = SHORTEST) -> Iterator[None]:
    """From a thread of its own, at once and whenever trials have ended since; a last time where the block raises.

    run: its id. report: where the study's report will lie. every: seconds at least. What goes wrong is logged, and the
    run goes on.
    """
    stop, shown = threading.Event(), -1

    def refresh(last: bool = False) -> None:
        nonlocal shown
        try:
            ended = sum(trial.state.is_finished() for trial in store.trials(study))
            if last or ended != shown:
                show(store, study, report, last=last, run=run)
                shown = ended
        except Exception as error:
            logging.getLogger(__name__).warning("Optuna Dashboard was not refreshed: %s", error)

    def work() -> None:
        wait = 0.0
        while not stop.wait(wait):
            since = time.monotonic()
            refresh()
            wait = max(every, SPARING * (time.monotonic() - since))

    thread = threading.Thread(target=work, name=f"dashboard of {study}", daemon=True)
    thread.start()
    try:
        yield
    except BaseException:
        stop.set()
        thread.join()
        refresh(last=True)
        raise
    finally:
        stop.set()
        thread.join()


def show(store: Store, study: str, report: Path, last: bool = True, run: int | None = None) -> None:
    """The note and figures of the study as it is now. Raises StorageError where the database cannot be used.

    last: of a run. Until then the note keeps its version, so that whoever edits theirs meanwhile can save it.
    run: the id of the one that shows it; at its last it is no more among those at work, though the database may not
    know yet that it ended.
    """
    from dashboards.optuna_dashboard import NOTE_VERSION, Shown

    kept = store.read_study(study)
    at_work = store.live_runs(study) - ({run} if last else set())
    shown = Shown.of(kept, report, len(at_work))  # which takes longest, before the note of others is read
    with store.edit_attributes(study, keep=() if last else (NOTE_VERSION,)) as optuna_study:
        shown.save(optuna_study)
