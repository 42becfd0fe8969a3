"""A run as a whole is killed."""

import os
import signal
import time

from search.database.store import Store
from tests.faults.row import Case, Row, demand

COMMAND = ("run", "--dataset", "digits", "--trials", "8", "--heads", "linear", "--blocks", "3,8,16", "--pools", "1")
"""A search of about half a minute."""


def kill_run(case: Case) -> None:
    """Kill all processes of a run at a random moment, and type the same command again."""
    with case.started(*COMMAND) as run:
        time.sleep(case.random.uniform(0.0, 40.0))
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
    ended = case.finished(*COMMAND)
    demand(ended.returncode == 0, f"the next run ended with {ended.returncode}: {ended.stderr[-500:]}")
    with Store.open(case.url) as store:
        [study] = store.studies()
        trials = store.read_study(study.name).trials
    settings = [trial.setting for trial in trials if trial.state in ("complete", "pruned")]
    demand(len(settings) >= 8, f"only {len(settings)} of 8 trials are finished")
    demand(len(settings) == len(set(settings)), "a setting is finished twice")


ROWS = [
    Row("run killed by signal 9; the same command continues, no trial is lost or doubled", kill_run),
]
