"""What a worker is asked for."""

from dataclasses import dataclass

from spaces import Setting


@dataclass(frozen=True, slots=True)
class TrialRequest:
    """A trial to run: its number in the study and its setting; attempt 1 unless it was interrupted before."""

    number: int
    setting: Setting
    attempt: int


@dataclass(frozen=True, slots=True)
class FinalRequest:
    """A finalist to re-evaluate under a seed."""

    setting: Setting
    seed: int
