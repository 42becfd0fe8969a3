"""The stages of a run beside its trials, as the coordinator sees them: where its other requests come from."""

from collections.abc import Sequence
from typing import Protocol

from objectives.results import Baseline, Final, Reevaluation, ScreenedPart
from search.scheduling.requests import BaselineRequest, FinalRequest, NoTrialYet, ScreeningRequest


class Finals(Protocol):
    """The evaluations under other seeds that follow the trials. They come in rounds."""

    def next_round(self) -> Sequence[FinalRequest]:
        """Return what the next round still lacks, given all results so far; nothing after the last round."""
        ...

    def most_later(self) -> int:
        """Return the most evaluations of all rounds after the one that comes next."""
        ...

    def keep(self, final: Final | Reevaluation) -> None:
        """Save a result."""
        ...


class Baselines(Protocol):
    """The trivial classifiers that stand beside the answer. A run ends well without them."""

    def next_request(self, answer_is_tested: bool) -> BaselineRequest | None:
        """Return a baseline to be made; None if there is none. answer_is_tested: whether all finals are done."""
        ...

    def keep(self, baseline: Baseline) -> None:
        """Save a result."""
        ...


class Screening(Protocol):
    """The screening that comes before the trials."""

    def next_request(self) -> ScreeningRequest | NoTrialYet | None:
        """Return the next part; NoTrialYet where it depends on parts that are still running; None after the last."""
        ...

    def keep(self, part: ScreenedPart) -> None:
        """Take the result of a part."""
        ...
