"""Keeps a study's note and figures in Optuna Dashboard up to date while a run works."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from search.database.store import Store

SHORTEST = 15.0
"""Seconds from one refresh to the next, at least."""

SPARING = 20
"""A pause is at least this many times as long as the refresh before it, so that refreshes take few percent of a run."""


@contextmanager
def refreshing(store: Store, study: str, run: int, report: Path, every: float = SHORTEST) -> Iterator[None]:
    """Refresh in a thread of its own, at once and whenever trials have ended; once more where the block raises.

    run: id of the run. report: where the study's report will lie. every: shortest pause in seconds. An error is logged,
    and the run continues.
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
            started = time.monotonic()
            refresh()
            wait = max(every, SPARING * (time.monotonic() - started))

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
    """Write the note and figures of the study as it is now. Raises StorageError where the database cannot be used.

    last: whether this is the last refresh of a run. Before it, the note keeps its version, so that a person who is
    editing the note can save it. run: id of the run that refreshes; at its last refresh it no longer counts as at work,
    though the database may not know yet that it ended.
    """
    from dashboards.optuna_dashboard import NOTE_VERSION, DashboardView

    results = store.read_study(study)
    at_work = store.live_runs(study) - ({run} if last else set())
    # This takes longest, so it comes before the attributes are locked.
    view = DashboardView.of(results, report, len(at_work))
    with store.edit_attributes(study, keep=() if last else (NOTE_VERSION,)) as optuna_study:
        view.save(optuna_study)
