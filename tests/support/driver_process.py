"""A whole driver in a process of its own, for tests to start several of and to kill.

python driver_process.py URL STUDY SPACE_JSON BUDGET SECONDS_PER_TRIAL SAMPLER
"""

import json
import sys
import time

from objectives.results import Accuracy, Evaluation
from search.database.records import RunRecord
from search.database.store import Store
from search.samplers.catalog import sampler_named
from search.scheduling.requests import NoMoreTrials, TrialRequest
from search.scheduling.trials.driver import StudyDriver
from spaces import Setting, Space


def evaluate(setting: Setting) -> Evaluation:
    correct = 900 - 10 * abs(setting.block - 5) - (setting.timestep or 0) // 10 + 5 * setting.pool
    return Evaluation(Accuracy(correct, 1000), {"fit": 0.01}, passes_made=10, passes_needed=20, details={"l2": 0.1})


def main(url: str, study: str, space_json: str, budget: str, seconds: str, sampler: str) -> None:
    with Store.open(url) as store:
        space = Space.from_dict(store.read_study(study).architecture, json.loads(space_json))
        record = RunRecord(workers=1, command=" ".join(sys.argv), versions={})
        with store.run(study, record, heartbeat_seconds=0.2) as run_id:
            proposer = sampler_named(sampler, 0)
            driver = StudyDriver(store, study, space, proposer, seed=0, budget=int(budget), run_id=run_id)
            driver.reconcile()
            while not isinstance(answer := driver.next_trial(), NoMoreTrials):
                if isinstance(answer, TrialRequest):
                    print(answer.number, flush=True)  # noqa: T201 - the process that started this one reads it
                    time.sleep(float(seconds))
                    driver.complete(answer.number, evaluate(answer.setting))
                else:
                    time.sleep(0.02)


if __name__ == "__main__":
    main(*sys.argv[1:])
