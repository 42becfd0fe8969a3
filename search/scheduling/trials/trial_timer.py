"""Measures the cost of a trial from its reports, for a trial that is stopped before it reports its cost itself."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from objectives.results import Epoch, Evaluation, Extracted, Rung


@final
@dataclass
class TrialTimer:
    """The cost of a trial so far. Create it when the trial starts.

    passes_made, passes_needed: forward passes of one image. seconds_before: by phase, up to the last rung.
    started, extracted: times of the monotonic clock, when the trial or its last rung began and when its last features
    were extracted.
    """

    passes_made: int = 0
    passes_needed: int = 0
    seconds_before: Mapping[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    extracted: float = field(default_factory=time.monotonic)

    def extract(self, report: Extracted) -> None:
        self.passes_made += report.made
        self.passes_needed = report.total
        self.extracted = time.monotonic()

    def report_rung(self, rung: Rung) -> None:
        """Take over the seconds of a rung, which include all that came before."""
        self.seconds_before = rung.evaluation.seconds
        self.started = self.extracted = time.monotonic()

    def evaluation(self, epoch: Epoch) -> Evaluation:
        """Return the evaluation of a trial that stops after this epoch."""
        phases = {"extract": self.extracted - self.started, "fit": time.monotonic() - self.extracted}
        seconds = {name: self.seconds_before.get(name, 0.0) + elapsed for name, elapsed in phases.items()}
        return Evaluation(
            epoch.validation,
            {**self.seconds_before, **seconds},
            self.passes_made,
            self.passes_needed,
            {"epochs": epoch.number},
            epoch.score,
        )
