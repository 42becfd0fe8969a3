"""Stages of a run for tests of the coordinator: a screening, finals and baselines, each of a few requests."""

from objectives.results import Accuracy, Baseline, Final, Reevaluation, ScreenedPart
from search.scheduling.coordinator import Coordinator
from search.scheduling.events import BaselineEnded, Retried, TrialEnded, TrialEvent
from search.scheduling.requests import BaselineRequest, FinalRequest, NoTrialYet, Request, ScreeningRequest
from spaces import Setting

DEATH = "its worker process was killed"


PART = ScreeningRequest((Setting(10, 3, 1, "ridge"), Setting(10, 3, 2, "ridge")), 300)


FIRST_BLOCK = Setting(10, 3, 4, "linear")
PIXELS = Baseline("pixels", None, 4, 48, 0, Accuracy(9, 20), Accuracy(21, 50), 0.5)


class NoFinals:
    def next_round(self) -> list[FinalRequest]:
        return []

    def most_later(self) -> int:
        return 0

    def keep(self, final: Final | Reevaluation) -> None:
        raise AssertionError("no final was asked for")


class TwoRounds:
    """A screening of two parts, the second of which depends on the first."""

    def __init__(self) -> None:
        self.requests, self.results = [PART, PART], 0

    def next_request(self) -> ScreeningRequest | NoTrialYet | None:
        if len(self.requests) == self.results + 1:
            return NoTrialYet()
        return self.requests.pop() if self.requests else None

    def keep(self, part: ScreenedPart) -> None:
        self.results += 1


class OneRound:
    """A round of some finals of one setting, one for each seed."""

    def __init__(self, finals: int) -> None:
        self.setting = Setting(10, 3, 1, "linear")
        self.requests = [FinalRequest(self.setting, seed) for seed in range(1, 1 + finals)]
        self.kept: list[int] = []

    def next_round(self) -> list[FinalRequest]:
        return [request for request in self.requests if request.seed not in self.kept]

    def most_later(self) -> int:
        return 0

    def keep(self, final: Final | Reevaluation) -> None:
        self.kept.append(final.seed)

    def result(self, seed: int) -> dict[str, Final]:
        accuracy = Accuracy(9, 10)
        return {"report": Final(self.setting, seed, accuracy, accuracy, 1.0, 0, 0)}


class TwoBaselines:
    """The pixels at any time, and the first block after the finals."""

    def __init__(self) -> None:
        self.settings: list[Setting | None] = [None, FIRST_BLOCK]
        self.kept: list[Baseline] = []

    def next_request(self, answer_is_tested: bool) -> BaselineRequest | None:
        ready = self.settings if answer_is_tested else [setting for setting in self.settings if setting is None]
        if not ready:
            return None
        setting = ready[0]
        self.settings.remove(setting)
        return BaselineRequest(setting)

    def keep(self, baseline: Baseline) -> None:
        self.kept.append(baseline)


class BrokenBaselines(TwoBaselines):
    def next_request(self, answer_is_tested: bool) -> BaselineRequest | None:
        raise RuntimeError("no such column")


def requested(coordinator: Coordinator, trial_id: str) -> Request:
    """Return the next request at once, without the pause after an answer that there is none yet."""
    coordinator._wait_until = 0
    request = coordinator.next_request(trial_id)
    while isinstance(request, NoTrialYet) and request.proposing:
        coordinator.driver.wait_for_proposal(10)
        coordinator._wait_until = 0
        request = coordinator.next_request(trial_id)
    assert isinstance(request, Request)
    return request


def retries_of(coordinator: Coordinator) -> list[TrialEvent]:
    """Return the list to which the coordinator appends what is tried again, and what ends without a result."""
    events: list[TrialEvent] = []

    def keep(event: TrialEvent) -> None:
        if isinstance(event, (Retried, TrialEnded, BaselineEnded)):
            events.append(event)

    coordinator.on_event = coordinator.finals.on_event = coordinator.baselines.on_event = keep
    return events
