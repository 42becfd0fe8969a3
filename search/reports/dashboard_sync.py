"""Keeps a study's note and figures in Optuna Dashboard up to date during a run."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from search.database.connection.outages import OutageError
from search.database.store import Store

SHORTEST = 15.0
"""The least seconds between two refreshes."""

SPARING = 20
"""A pause is at least this many times as long as the refresh before it. Refreshes take at most 5 % of a run."""


@contextmanager
def refreshing(store: Store, study: str, run: int, report: Path, every: float = SHORTEST) -> Iterator[None]:
    """Refresh in a thread: at once, whenever trials have ended, and once more if the `with` block raises.

    run: id of the run. report: path of the study's future report. every: least pause in seconds. An error of a refresh
    is logged, and the run continues; but not that the database does not answer, which the run says.
    """
    stop, shown = threading.Event(), -1

    def refresh(last: bool = False) -> None:
        nonlocal shown
        try:
            ended = sum(trial.state.is_finished() for trial in store.trials(study).own)
            if last or ended != shown:
                show(store, study, report, last=last, run=run)
                shown = ended
        except OutageError:
            pass  # the run says it
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
    """Write the current note and figures of a study. Raises StorageError if the database cannot be used.

    last: whether this is the last refresh of a run. Earlier refreshes keep the note's version, so that a person who
    edits the note meanwhile can save it. run: id of the run that refreshes. Its last refresh does not count it as
    running, although the database may not yet record its end.
    """
    from dashboards.optuna_dashboard import NOTE_VERSION, DashboardView

    results = store.read_study(study)
    at_work = store.live_runs(study) - ({run} if last else set())
    # This takes longest, so it comes before the attributes are locked.
    view = DashboardView.of(results, report, len(at_work))
    with store.edit_attributes(study, keep=() if last else (NOTE_VERSION,)) as optuna_study:
        view.save(optuna_study)
