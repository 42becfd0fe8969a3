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


class Control(Protocol):
    """The limits of a run, and what people want of it meanwhile.

    Each method is quick, may be called often, and does not raise.
    """

    @property
    def is_paused(self) -> bool:
        """Whether nothing shall begin now."""
        ...

    @property
    def skips_screening(self) -> bool:
        """Whether the trials shall begin although the screening is not complete."""
        ...

    @property
    def gives_back(self) -> bool:
        """Whether parts of the screening and trials that run now shall end without a result."""
        ...

    def why_no_trial(self) -> str | None:
        """Return in words why no further trial begins; None where one may begin."""
        ...

    def why_not(self, request: FinalRequest | BaselineRequest) -> str | None:
        """Return in words why a final or a baseline does not begin; None where it may begin."""
        ...

    def why_end_now(self) -> str | None:
        """Return in words why all that runs ends at once; None where it may go on."""
        ...


class Unlimited:
    """The control of a run without limits, of which nobody wants anything."""

    is_paused = skips_screening = gives_back = False

    def why_no_trial(self) -> str | None:
        return None

    def why_not(self, request: FinalRequest | BaselineRequest) -> str | None:
        return None

    def why_end_now(self) -> str | None:
        return None


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
