"""A run counts its stages, which add up to its time, and the forward passes that no trial keeps."""

import time
from typing import Any

from objectives.results import Accuracy, Evaluation, Extracted
from search.database.records import RunCosts, RunRecord
from search.database.store import Store
from search.events import Event, PartStarted, Progressed, Retried, SearchEnded, TrialEnded, TrialStarted
from search.running.costs import CostCounter
from search.scheduling.requests import ScreeningRequest, TrialRequest
from spaces import Setting
from tests.support.studies import MakeRecord

SETTING = Setting(10, 3, 1, "linear")
PART = ScreeningRequest((SETTING,), 20)
DONE, BROKEN, STOPPED, LOST = (TrialRequest(number, SETTING, 1) for number in range(4))


def test_a_run_counts_the_passes_that_no_trial_keeps_and_its_stages_add_up() -> None:
    seen: list[Any] = []
    began = time.monotonic() - 3
    counter = CostCounter(seen.append, began)
    events: list[Event] = [
        PartStarted(PART),
        Progressed(PART, Extracted(20, 20, 20)),
        TrialStarted(DONE),
        Progressed(DONE, Extracted(5, 9, 5)),
        Progressed(DONE, Extracted(9, 9, 4)),
        TrialEnded(DONE, "complete", Evaluation(Accuracy(1, 2), {}, 9, 9)),
        Progressed(BROKEN, Extracted(3, 9, 3)),
        TrialEnded(BROKEN, "failed", reason="no memory"),
        Progressed(LOST, Extracted(4, 9, 4)),
        Retried(LOST, "its worker process was killed", 2),
        Progressed(STOPPED, Extracted(2, 9, 2)),
        SearchEnded(),
    ]
    for event in events:
        counter(event)
    costs = counter.costs
    assert seen == events
    assert (costs.screening_passes, costs.unfinished_passes) == (20, 9)
    assert list(costs.stages) == ["start", "screening", "trials", "end"]
    assert 3 <= sum(costs.stages.values()) <= time.monotonic() - began


def test_a_study_has_the_costs_of_all_its_runs(sqlite_url: str, make_record: MakeRecord) -> None:
    with Store.open(sqlite_url) as store:
        name = store.ensure_study(make_record())
        for screening in (600, 0):
            with store.run(name, RunRecord(1, "search run", {}, began=time.monotonic() - 2)) as run:
                store.record_costs(run, RunCosts({"start": 2.0}, screening, 7))
        with store.run(name, RunRecord(1, "search run", {})):
            pass  # a run that was killed keeps no costs
        results = store.read_study(name)
    assert (results.screening_passes, results.unfinished_passes, results.passes_made) == (600, 14, 614)
    assert results.stages == {"start": 4.0}
    assert 2 <= results.wall_seconds < 4  # the second began while the first was at work
