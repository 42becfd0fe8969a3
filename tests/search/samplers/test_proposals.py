"""Proposals are made ahead, in a thread of their own. A slow sampler delays no result and no other run."""

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

import pytest
from optuna.trial import FrozenTrial, TrialState

from objectives.results import Accuracy, Evaluation
from search.database.optuna_storage.parameters import to_setting
from search.database.records import RunRecord, StudyRecord
from search.database.store import Store
from search.samplers.catalog import SAMPLERS, sampler_named
from search.samplers.cost_aware import CostAwareProposer
from search.samplers.proposals import Proposals, Situation, several
from search.samplers.proposers import Proposer, RandomProposer
from search.scheduling.requests import NoTrialYet, TrialRequest
from search.scheduling.trials.driver import StudyDriver
from search.surrogates.gaussian_process import Array, GaussianProcess, Indices
from search.surrogates.past_tasks import PriorKnowledge
from spaces import Setting, Space
from tests.support.sampling import search, trial_of

EVALUATION = Evaluation(Accuracy(18, 20), {"fit": 0.5}, passes_made=7, passes_needed=10)


@dataclass
class SlowProposer:
    """A random proposer that waits before each proposal until it may go on, and keeps what it was asked."""

    seed: int = 0
    go_on: threading.Event = field(default_factory=threading.Event)
    asked: list[Sequence[FrozenTrial]] = field(default_factory=list)

    def propose(self, trials: Sequence[FrozenTrial], space: Space, taken: Collection[Setting]) -> Setting | None:
        self.asked.append(trials)
        assert self.go_on.wait(30)
        return RandomProposer(self.seed).propose(trials, space, taken)


@pytest.fixture
def slow() -> Iterator[SlowProposer]:
    proposer = SlowProposer()
    yield proposer
    proposer.go_on.set()


MakeDriver = Callable[..., StudyDriver]


@pytest.fixture
def make_driver(
    store: Store, make_record: Callable[..., StudyRecord], space: Space, run_record: RunRecord
) -> MakeDriver:
    study = store.ensure_study(make_record())

    def made(proposer: Proposer, workers: int = 1, budget: int = 50) -> StudyDriver:
        run = store.begin_run(study, run_record)
        return StudyDriver(store, study, space, proposer, seed=0, budget=budget, run_id=run, workers=workers)

    return made


def situation(space: Space, settings: Sequence[Setting], finished: int | None = None) -> Situation:
    trials = tuple(trial_of(number, setting, space) for number, setting in enumerate(settings))
    return Situation(trials, set(settings), len(trials) if finished is None else finished)


def taken_from(proposals: Proposals, now: Situation) -> Setting | None:
    """Take a proposal, and wait for it."""
    for _ in range(100):
        setting = proposals.next_free(now)
        if setting is not None or proposals.exhausted:
            return setting
        proposals.prepare_now(now, 1)
        proposals.wait(5)
    raise AssertionError("no proposal came")


def test_nobody_waits_while_a_proposal_is_made(make_driver: MakeDriver, slow: SlowProposer) -> None:
    busy, other = make_driver(slow, workers=2), make_driver(RandomProposer(1))
    slow.go_on.set()
    first = busy.next_trial()
    assert isinstance(first, TrialRequest)
    busy.wait_for_proposal()
    slow.go_on.clear()
    assert isinstance(busy.next_trial(), TrialRequest)
    started = time.monotonic()
    assert busy.next_trial(wait=False) == NoTrialYet(proposing=True)
    assert not busy.report_epoch(first.number, 1, 0.5)
    busy.complete(first.number, EVALUATION)
    assert busy.next_trial(wait=False) == NoTrialYet(proposing=True)
    assert isinstance(other.next_trial(), TrialRequest)  # the study is not locked
    assert time.monotonic() - started < 5  # and not the 30 s of the proposer
    slow.go_on.set()
    assert isinstance(busy.next_trial(), TrialRequest)


def test_a_proposal_is_ready_when_the_trial_before_it_ends(make_driver: MakeDriver, slow: SlowProposer) -> None:
    driver = make_driver(slow)
    slow.go_on.set()
    for made in range(1, 6):
        request = driver.next_trial()
        assert isinstance(request, TrialRequest)
        driver.wait_for_proposal()
        assert len(slow.asked) == made + 1
        driver.complete(request.number, EVALUATION)
    assert [[trial.state.name for trial in trials] for trials in slow.asked[:3]] == [
        [],
        ["RUNNING"],
        ["COMPLETE", "RUNNING"],
    ]


def test_nothing_is_made_beyond_the_budget(make_driver: MakeDriver, slow: SlowProposer) -> None:
    driver = make_driver(slow, budget=2)
    slow.go_on.set()
    requests = [driver.next_trial(), driver.next_trial()]
    driver.wait_for_proposal()
    assert len(slow.asked) == len(requests) == 2


def test_one_round_proposes_for_all_free_workers(make_driver: MakeDriver, slow: SlowProposer) -> None:
    driver = make_driver(slow, workers=4)
    assert driver.next_trial(wait=False) == NoTrialYet(proposing=True)
    slow.go_on.set()
    driver.wait_for_proposal()
    requests = [driver.next_trial(wait=False) for _ in range(4)]
    settings = [request.setting for request in requests if isinstance(request, TrialRequest)]
    assert len(set(settings)) == 4
    # Each proposal knew the ones before it as running trials.
    assert [[to_setting(trial.params) for trial in trials] for trials in slow.asked[:4]] == [
        settings[:count] for count in range(4)
    ]
    assert all(trial.state == TrialState.RUNNING for trials in slow.asked[:4] for trial in trials)


def test_a_proposal_that_another_run_has_tried_is_replaced(space: Space) -> None:
    proposals, start = Proposals(RandomProposer(0), space, workers=3), situation(space, [])
    proposals.prepare_now(start, 3)
    proposals.wait(5)
    expected = several(RandomProposer(0), start, space, [], 3)
    elsewhere = situation(space, expected[:2])
    assert taken_from(proposals, elsewhere) == expected[2]
    again = taken_from(proposals, situation(space, expected))
    assert again is not None
    assert again not in expected


@pytest.mark.parametrize(("before", "new", "is_stale"), [(0, 2, False), (0, 3, True), (60, 6, False), (60, 7, True)])
def test_a_proposal_that_knows_too_little_is_replaced(space: Space, before: int, new: int, is_stale: bool) -> None:
    settings = [*space.settings()][: before + new]
    proposals, early = Proposals(RandomProposer(0), space), situation(space, settings[:before])
    proposals.prepare(early, 1)
    proposals.wait(5)
    (expected,) = several(RandomProposer(0), early, space, [], 1)
    now = situation(space, [*settings[:before], *(s for s in settings[before:] if s != expected)], before + new)
    assert (proposals.next_free(now) is None) == is_stale
    assert taken_from(proposals, now) is not None


def test_an_error_reaches_whoever_wants_a_proposal(space: Space) -> None:
    class Broken:
        def propose(self, trials: Sequence[FrozenTrial], space: Space, taken: Collection[Setting]) -> Setting | None:
            raise ZeroDivisionError("no luck")

    proposals = Proposals(Broken(), space)
    proposals.prepare_now(situation(space, []), 1)
    proposals.wait(5)
    with pytest.raises(ZeroDivisionError, match="no luck"):
        proposals.next_free(situation(space, []))


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "gp"])
def test_proposals_that_are_made_together_differ_and_exhaust_the_space(space: Space, name: str) -> None:
    small = space.narrow(timesteps=(10, 90), blocks=(4, 5, 8), heads=("linear",))
    trials = search(sampler_named(name, 1), small, 6)
    settings = [to_setting(trial.params) for trial in trials]
    now, proposer = Situation(tuple(trials), set(settings), 6), sampler_named(name, 1)
    together = several(proposer, now, small, [], len(small))
    assert sorted(map(str, [*settings, *together])) == sorted(map(str, small.settings()))
    after = Situation((*trials, trial_of(6, together[0], small)), {*settings, together[0]}, 7)
    (later,) = several(proposer, after, small, [], 1)  # of the others none is expected any more
    assert later not in after.tried


def test_the_kriging_believer_needs_one_fit(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    trials = search(CostAwareProposer(0, PriorKnowledge(past_tasks=())), space, 10)
    now = Situation(tuple(trials), {to_setting(trial.params) for trial in trials}, 10)
    one_by_one, taken = list[Setting](), [*trials]
    for number in range(10, 14):  # each with a proposer that remembers nothing
        alone = Situation(tuple(taken), now.tried | set(one_by_one), 10)  # type: ignore[operator]
        one_by_one += several(CostAwareProposer(0, PriorKnowledge(past_tasks=())), alone, space, [], 1)
        taken.append(trial_of(number, one_by_one[-1], space, TrialState.RUNNING))
    fits, fit = list[int](), GaussianProcess._fit

    def counted(process: GaussianProcess, observed: Indices, residuals: Array, noise_variance: Array) -> Array:
        fits.append(len(observed))
        return fit(process, observed, residuals, noise_variance)

    monkeypatch.setattr(GaussianProcess, "_fit", counted)
    assert several(CostAwareProposer(0, PriorKnowledge(past_tasks=())), now, space, [], 4) == one_by_one
    assert fits == [10]
