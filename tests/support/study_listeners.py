"""A listener to the events of a study, and finals of two settings, for tests of what runs trials."""

from dataclasses import dataclass, field

from objectives.results import Extracted, Final, Reevaluation
from search.database.store import Store
from search.scheduling.events import (
    FinalEnded,
    FinalsPlanned,
    FinalStarted,
    Progressed,
    Retried,
    TrialEnded,
    TrialEvent,
    TrialStarted,
)
from search.scheduling.requests import FinalRequest, Request


@dataclass
class Heard:
    """Remembers what happened."""

    states: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    extracted_images: int = 0
    planned: list[tuple[int, bool, int]] = field(default_factory=list)
    finals: list[Final | Reevaluation] = field(default_factory=list)
    retries: list[Retried] = field(default_factory=list)

    at_work: list[Request] = field(default_factory=list)

    def __call__(self, event: TrialEvent) -> None:
        match event:
            case TrialStarted(request) | FinalStarted(request):
                self.at_work.append(request)
            case Progressed(request, report):
                assert request in self.at_work
                if isinstance(report, Extracted):
                    self.extracted_images += report.made
            case TrialEnded(request, state, _, reason):
                self.at_work.remove(request)
                self.states.append(state)
                self.reasons.append(reason or "")
            case Retried(request):
                self.at_work.remove(request)
                self.retries.append(event)
            case FinalsPlanned(count, test, later):
                self.planned.append((count, test, later))
            case FinalEnded(request, final):
                assert (request.setting, request.seed) == (final.setting, final.seed)
                self.at_work.remove(request)
                self.finals.append(final)


@dataclass
class TwoFinals:
    store: Store
    study: str

    def next_round(self) -> list[FinalRequest]:
        """A round that compares two settings, then one that tests the better one under two seeds."""
        study = self.store.read_study(self.study)
        first, second, *_ = (trial.setting for trial in study.complete)
        if not study.reevaluations:
            return [FinalRequest(first, 1, test=False), FinalRequest(second, 1, test=False)]
        assert len(study.reevaluations) == 2
        done = {final.seed for final in study.finals}
        return [FinalRequest(first, seed) for seed in (1, 2) if seed not in done]

    def most_later(self) -> int:
        return 2

    def keep(self, final: Final | Reevaluation) -> None:
        if isinstance(final, Final):
            self.store.record_final(self.study, final)
        else:
            self.store.record_reevaluation(self.study, final)
