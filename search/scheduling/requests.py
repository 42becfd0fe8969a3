"""The requests that a worker receives: a part of a screening, a trial, a final, a baseline; or that there is none."""

from dataclasses import dataclass

from spaces import Setting


@dataclass(frozen=True, slots=True)
class ScreeningRequest:
    """Settings of one timestep to screen, on the first `images` images of the screening's order."""

    settings: tuple[Setting, ...]
    images: int


@dataclass(frozen=True, slots=True)
class TrialRequest:
    """A trial to run.

    number: of the trial in its study. attempt: 1, or more where earlier trials of the setting were interrupted.
    """

    number: int
    setting: Setting
    attempt: int


@dataclass(frozen=True, slots=True)
class FinalRequest:
    """A setting to evaluate under another seed than the search's.

    test: whether its head is then refitted on train + validation and tested; otherwise no test image is read.
    """

    setting: Setting
    seed: int
    test: bool = True


@dataclass(frozen=True, slots=True)
class BaselineRequest:
    """A trivial classifier to fit and test, see `objectives.results.Baseline`. setting: None for the pixels."""

    setting: Setting | None


Request = ScreeningRequest | TrialRequest | FinalRequest | BaselineRequest


@dataclass(frozen=True, slots=True)
class NoTrialYet:
    """There is no trial now, but there may be one later.

    proposing: whether a proposal is being made. Otherwise running trials fill the budget, and one of them may fail.
    """

    proposing: bool = False


@dataclass(frozen=True, slots=True)
class NoMoreTrials:
    """There is no further trial in this run. reason: why, in words."""

    reason: str
