"""What a trial has cost so far, for one that is stopped before it can tell."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from objectives.results import Epoch, Evaluation, Extracted, Rung


@final
@dataclass
class TrialTimer:
    """As its reports tell. Begins when it is made; seconds by phase as of an Evaluation."""

    made: int = 0
    needed: int = 0
    before: Mapping[str, float] = field(default_factory=dict)
    since: float = field(default_factory=time.monotonic)
    extracted: float = field(default_factory=time.monotonic)

    def extract(self, report: Extracted) -> None:
        self.made += report.made
        self.needed = report.total
        self.extracted = time.monotonic()

    def report_rung(self, rung: Rung) -> None:
        """A rung knows what all has cost until there."""
        self.before = rung.evaluation.seconds
        self.since = self.extracted = time.monotonic()

    def evaluation(self, epoch: Epoch) -> Evaluation:
        phases = {"extract": self.extracted - self.since, "fit": time.monotonic() - self.extracted}
        seconds = {**self.before, **{name: self.before.get(name, 0.0) + spent for name, spent in phases.items()}}
        return Evaluation(epoch.validation, seconds, self.made, self.needed, {"epochs": epoch.number}, epoch.score)
