"""Predicts the seconds of a trial from those of earlier trials: its missing forward passes, and the fit of its head."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import final

import numpy as np
from optuna.trial import FrozenTrial

from search.database.optuna_storage.parameters import to_setting
from spaces import Setting, Space

GMACS_PER_SECOND = 50.0
"""Speed of forward passes before one was measured: that of one or two CPU cores."""

FIT_SECONDS = 0.1
"""Seconds of a fit on `REFERENCE_WIDTH` features, before a head of its kind was fitted."""

REFERENCE_WIDTH = 1000

OVERHEAD_SECONDS = 0.02
"""Seconds of every trial besides passes and fit."""

# The logarithm of a fit's seconds is a level of its head, plus an exponent times the logarithm of the width. These are
# the standard deviation of a level, the mean and standard deviation of the exponent, and that of a single fit.
LEVEL_DEVIATION, EXPONENT, EXPONENT_DEVIATION, FIT_DEVIATION = 2.0, 0.7, 0.3, 0.3


@dataclass(frozen=True)
class TrialCost:
    """The measured cost of a trial.

    passes: forward passes of one image that the trial made. pass_seconds: their time. fit_seconds: the time of reading
    features and fitting the head.
    """

    setting: Setting
    passes: int
    pass_seconds: float
    fit_seconds: float


def measured_cost(trial: FrozenTrial) -> TrialCost | None:
    """Return the cost of a trial, or None where its time is unknown.

    A trial of `search run` has its cost in its attributes. The whole duration of any other trial counts as its fit.
    """
    setting = to_setting(trial.params)
    seconds, passes = (trial.user_attrs.get(name) for name in ("seconds", "passes"))
    if isinstance(seconds, Mapping):
        made = passes.get("made", 0) if isinstance(passes, Mapping) else 0
        fit_seconds = seconds.get("fit", 0.0) + seconds.get("read", 0.0)
        return TrialCost(setting, made, seconds.get("extract", 0.0), fit_seconds)
    if trial.duration is None:
        return None
    return TrialCost(setting, 0, 0.0, trial.duration.total_seconds())


@final
@dataclass(frozen=True)
class CostModel:
    """Predicts the seconds of a trial.

    images: number of images whose features a setting needs. cached_passes: (timestep, whether clean), as in
    `Space.forward_passes` → how many passes are cached; a fraction where some images are. costs: of the trials so far.
    """

    space: Space
    images: int
    cached_passes: Mapping[tuple[int | None, bool], float] = field(default_factory=dict)
    costs: Sequence[TrialCost] = ()

    def seconds(self, setting: Setting) -> float:
        """Return the predicted seconds of a trial of the setting now."""
        return OVERHEAD_SECONDS + self.missing_passes(setting) * self.seconds_per_pass + self.fit_seconds(setting)

    def missing_passes(self, setting: Setting) -> float:
        """Return how many forward passes of one image the setting needs that are not cached."""
        clean, wanted = setting.draws == 0, setting.passes_per_timestep
        cached = (self.cached_passes.get((timestep, clean), 0.0) for timestep in setting.passes)
        return sum(max(wanted - passes, 0.0) for passes in cached) * self.images

    @cached_property
    def seconds_per_pass(self) -> float:
        """The seconds of one image's pass. It is the same for all settings: each pass runs to the deepest block."""
        passes, seconds = sum(cost.passes for cost in self.costs), sum(cost.pass_seconds for cost in self.costs)
        if passes and seconds:
            return seconds / passes
        return self.space.architecture.block(max(self.space.blocks)).cumulative_gmacs / GMACS_PER_SECOND

    def fit_seconds(self, setting: Setting) -> float:
        """Return the predicted seconds of reading features and fitting the head."""
        levels, exponent = self._fit
        return math.exp(levels[setting.head] + exponent * self._log_width(setting))

    @cached_property
    def _fit(self) -> tuple[Mapping[str, float], float]:
        """The level of each head, and the exponent.

        They are the most probable ones, by a linear regression of the logarithm of seconds with normal priors, that is
        a ridge regression (Hastie, Tibshirani & Friedman 2009, section 3.4.1).
        """
        heads = list(dict.fromkeys(cost.setting.head for cost in self.costs))
        rows = [
            [self._log_width(cost.setting), *(float(head == cost.setting.head) for head in heads)]
            for cost in self.costs
        ]
        targets = [math.log(max(cost.fit_seconds, 1e-3)) for cost in self.costs]
        means = np.array([EXPONENT, *[math.log(FIT_SECONDS)] * len(heads)])
        deviations = np.array([EXPONENT_DEVIATION, *[LEVEL_DEVIATION] * len(heads)])
        # Each prior is one more row of the least-squares problem.
        matrix = np.vstack([np.reshape(rows, (-1, len(means))) / FIT_DEVIATION, np.diag(1 / deviations)])
        vector = np.concatenate([np.array(targets) / FIT_DEVIATION, means / deviations])
        solution: list[float] = np.linalg.lstsq(matrix, vector, rcond=None)[0].tolist()
        exponent, *levels = solution
        return defaultdict(lambda: math.log(FIT_SECONDS), zip(heads, levels, strict=True)), exponent

    def _log_width(self, setting: Setting) -> float:
        """Return the logarithm of the number of features, relative to `REFERENCE_WIDTH`."""
        channels = sum(self.space.architecture.block(tap.block).channels for tap in setting.taps)
        return math.log(channels * setting.pool**2 / REFERENCE_WIDTH)
