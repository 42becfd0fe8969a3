"""No result of a worker waits for a slow sampler, and neither does Ctrl-C."""

import threading
import time
from collections.abc import Collection, Sequence

from optuna.trial import FrozenTrial

from objectives.results import Accuracy, Evaluation
from search.database.records import RunRecord
from search.database.store import Store
from search.samplers.proposers import RandomProposer
from search.scheduling.coordinator import PROPOSAL_SECONDS, Coordinator
from search.scheduling.requests import NoTrialYet, TrialRequest
from search.scheduling.trials.driver import StudyDriver
from spaces import Setting, Space
from tests.support.stages import NoFinals


class Waiting:
    """A proposer that waits before each proposal."""

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def propose(self, trials: Sequence[FrozenTrial], space: Space, taken: Collection[Setting]) -> Setting | None:
        assert self.go_on.wait(30)
        return RandomProposer(0).propose(trials, space, taken)


def test_no_result_waits_for_a_slow_sampler(store: Store, study: str, space: Space, run_record: RunRecord) -> None:
    proposer, run = Waiting(), store.begin_run(study, run_record)
    driver = StudyDriver(store, study, space, proposer, seed=0, budget=9, run_id=run, workers=2)
    coordinator = Coordinator(driver, NoFinals(), lambda event: None)
    threading.Timer(0.2, proposer.go_on.set).start()
    assert isinstance(coordinator.next_request("a"), TrialRequest)  # nothing runs, so it waits
    assert isinstance(coordinator.next_request("b"), TrialRequest)
    driver.wait_for_proposal()
    proposer.go_on.clear()
    assert isinstance(coordinator.next_request("c"), TrialRequest)
    began = time.monotonic()
    assert coordinator.next_request("d") == NoTrialYet(proposing=True)
    assert not coordinator.handle_result("a", {"worker": "ready"})
    assert not coordinator.handle_result("a", {"report": Evaluation(Accuracy(9, 10), {}, 0, 0)})
    assert [trial.state for trial in store.read_study(study).trials] == ["complete", "running", "running"]
    assert time.monotonic() - began < 10  # and not the 30 s of the proposer
    proposer.go_on.set()
    driver.wait_for_proposal()
    time.sleep(PROPOSAL_SECONDS)
    assert isinstance(coordinator.next_request("d"), TrialRequest)


def test_a_signal_ends_the_wait_for_a_proposal(store: Store, study: str, space: Space, run_record: RunRecord) -> None:
    proposer, run = Waiting(), store.begin_run(study, run_record)
    driver = StudyDriver(store, study, space, proposer, seed=0, budget=9, run_id=run)
    coordinator = Coordinator(driver, NoFinals(), lambda event: None)
    threading.Timer(0.3, coordinator._interrupt).start()
    began = time.monotonic()
    assert isinstance(coordinator.next_request("a"), NoTrialYet)
    assert time.monotonic() - began < 5
    proposer.go_on.set()
