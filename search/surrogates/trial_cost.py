"""What a trial will take, learnt from those that were made: its missing passes, and the fit of its head."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, final

import numpy as np
from optuna.trial import FrozenTrial

from search.database.parameters import to_setting
from spaces import Setting, Space

GMACS_PER_SECOND = 50.0
"""Of passes, before any was measured: a core's or two's."""

FIT_SECONDS = 0.1
"""Of a head on `FIT_WIDTH` features, before any of its kind was fitted."""

FIT_WIDTH = 1000

FIXED_SECONDS = 0.02
"""That every trial takes besides."""

# Of the logarithm of a fit's seconds: standard deviations of a head's own level, of the exponent of the width and of
# single fits.
LEVEL_DEVIATION, EXPONENT, EXPONENT_DEVIATION, FIT_DEVIATION = 2.0, 0.7, 0.3, 0.3


@dataclass(frozen=True)
class TrialCost:
    """passes: of one image, made; extracting: seconds that they took. fitting: seconds of reading and fitting."""

    setting: Setting
    passes: int
    extracting: float
    fitting: float


def cost_of(trial: FrozenTrial) -> TrialCost | None:
    """As a trial of a search tells it in its attributes; of any other all that it took, as its fit."""
    setting = to_setting(trial.params)
    seconds: Mapping[str, float] | None = trial.user_attrs.get("seconds")
    if seconds is not None:
        passes: Mapping[str, int] = trial.user_attrs.get("passes", {})
        fitting = seconds.get("fit", 0.0) + seconds.get("read", 0.0)
        return TrialCost(setting, passes.get("made", 0), seconds.get("extract", 0.0), fitting)
    if trial.duration is None:
        return None
    return TrialCost(setting, 0, 0.0, trial.duration.total_seconds())


@final
@dataclass(frozen=True)
class CostModel:
    """images: that a setting's features are made of. cached: timestep → how many draws of it, parts of one too, were
    made already. spent: by the trials so far."""

    space: Space
    images: int
    cached: Mapping[int | None, float] = field(default_factory=dict)
    spent: Sequence[TrialCost] = ()

    def seconds(self, setting: Setting) -> float:
        """Of a trial of it, now."""
        return FIXED_SECONDS + self.passes(setting) * self.pass_seconds + self.fit_seconds(setting)

    def passes(self, setting: Setting) -> float:
        """That are missing."""
        missing = sum(max(setting.draws - self.cached.get(timestep, 0.0), 0.0) for timestep in setting.passes)
        return missing * self.images

    @cached_property
    def pass_seconds(self) -> float:
        """Every pass goes as deep as the deepest block of the space and keeps all, whatever the setting reads."""
        made, seconds = sum(each.passes for each in self.spent), sum(each.extracting for each in self.spent)
        if made and seconds:
            return seconds / made
        return self.space.architecture.block(max(self.space.blocks)).cumulative_gmacs / GMACS_PER_SECOND

    def fit_seconds(self, setting: Setting) -> float:
        level, exponent = self._fits[setting.head], self._fits[""]
        return math.exp(level + exponent * self._width(setting))

    @cached_property
    def _fits(self) -> defaultdict[str, float]:
        """Of each head its level, and the exponent under no name: the ridge regression of the logarithm of seconds."""
        heads = list(dict.fromkeys(each.setting.head for each in self.spent))
        count = len(heads) + 1
        rows: list[Any] = [row / FIT_DEVIATION for row in (self._row(each, heads) for each in self.spent)]
        told = [math.log(max(each.fitting, 1e-3)) / FIT_DEVIATION for each in self.spent]
        for place in range(count):
            deviation, mean = (EXPONENT_DEVIATION, EXPONENT) if place == 0 else (LEVEL_DEVIATION, math.log(FIT_SECONDS))
            rows.append(np.eye(count)[place] / deviation)
            told.append(mean / deviation)
        exponent, *levels = np.linalg.lstsq(np.array(rows), np.array(told), rcond=None)[0].tolist()
        found = defaultdict(lambda: math.log(FIT_SECONDS), zip(heads, levels, strict=True))
        found[""] = exponent
        return found

    def _row(self, spent: TrialCost, heads: Sequence[str]) -> np.ndarray[Any, Any]:
        return np.array([self._width(spent.setting), *(float(head == spent.setting.head) for head in heads)])

    def _width(self, setting: Setting) -> float:
        """ln of the number of features, 0 at `FIT_WIDTH`."""
        channels = sum(self.space.architecture.block(tap.block).channels for tap in setting.taps)
        return math.log(channels * setting.pool**2 / FIT_WIDTH)
