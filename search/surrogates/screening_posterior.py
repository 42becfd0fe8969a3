"""What is thought of every one-tap setting of a space, from those that were screened and from past tasks."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np

from objectives.results import PastTaskWeight, ScreenedSetting
from search.surrogates.gaussian_process import Posterior, Surrogate
from search.surrogates.past_tasks import Array, PastTask, agreement, array_of, reweighted, weights
from spaces import Setting, Space
from spaces.coordinates import mean_coordinates

DRAWS = 256
"""Of what all settings may be worth together."""

Levels = dict[int, dict[Setting, ScreenedSetting]]
"""Images → setting → its score on them. The fewest images have all that were screened, more have fewer of them."""


@final
@dataclass(frozen=True)
class ScreeningPosterior:
    """candidates: settings in question. past: what there is to go by. classes, images: of the new task, of training."""

    candidates: tuple[Setting, ...]
    space: Space
    past: tuple[PastTask, ...]
    classes: int
    images: int
    levels: Levels

    @cached_property
    def screened(self) -> dict[Setting, ScreenedSetting]:
        """Of every setting the score on the most images."""
        latest: dict[Setting, ScreenedSetting] = {}
        for count in sorted(self.levels):
            latest |= self.levels[count]
        return latest

    @cached_property
    def expected(self) -> Array:
        """(m,) of the candidates, more is better. It has no scale before anything is screened, and is of the past."""
        return self._posterior.mean if self.levels else self.carried @ self.first_weights

    def error(self, setting: Setting) -> float:
        """Expected on the fewest images."""
        return -float(self.expected[self._index[setting]])

    @cached_property
    def least(self) -> ScreenedSetting:
        """Of those screened the one of least error."""
        return self.screened[min(self.screened, key=self.error)]

    def as_good(self, errors: float) -> list[ScreenedSetting]:
        """Of those screened the ones that are thought to be within so many standard errors of the least error."""
        settings = [*self.screened]
        behind, deviation = self._posterior.behind(
            [self._index[each] for each in settings], self._index[self.least.setting]
        )
        held = zip(settings, behind, deviation, strict=True)
        return [self.screened[each] for each, mean, error in held if mean <= errors * error + 1e-12]

    def tied(self, errors: float) -> list[ScreenedSetting]:
        """Of those screened the ones whose mean error is within so many standard errors of that of the least, paired by
        image, whatever else is thought of them; the least first."""
        least = self.least
        behind = ((score, *score.error_gap(least)) for score in self.screened.values() if score is not least)
        held = [score for score, mean, error in behind if mean <= errors * error]
        return [least, *sorted(held, key=lambda score: self.error(score.setting))]

    def gains(self) -> dict[int | None, float]:
        """Of each timestep that was not screened, by how much its best may be expected to better the least error."""
        done = {setting.timestep for setting in self.screened}
        least = self._index[self.least.setting]
        others = [index for index, setting in enumerate(self.candidates) if setting.timestep not in done]
        if not others:
            return {}
        drawn = self._posterior.draws([least, *others], DRAWS, seed=0)
        better = np.maximum(drawn[:, 1:] - drawn[:, :1], 0)
        timesteps = np.array([self.candidates[index].timestep for index in others])
        return {
            timestep: float(better[:, timesteps == timestep].max(axis=1).mean())
            for timestep in dict.fromkeys(self.candidates[index].timestep for index in others)
        }

    @cached_property
    def learnt(self) -> tuple[PastTaskWeight, ...]:
        """What each past task came to, that which counts most first."""
        found = zip(self.past, self._agreements, self._weights, strict=True)
        learnt = [PastTaskWeight(past_task.task, float(rank), float(weight)) for past_task, rank, weight in found]
        return tuple(sorted(learnt, key=lambda each: -each.weight))

    @cached_property
    def _posterior(self) -> Posterior:
        at, values, noise = self._observed
        coordinates = array_of([mean_coordinates(self.space.architecture, each) for each in self.candidates]) / 2
        return Surrogate(coordinates, self.carried, self._weights).posterior(at, values, noise)

    @cached_property
    def _observed(self) -> tuple[list[int], Array, Array]:
        """Of every setting that was screened its place among the candidates, less its error, and the variance of that.

        On more images all errors are others. They are moved by what all settings on so many differ from the same on
        fewer, so that what they tell is how these settings stand to each other.
        """
        fewest = min(self.levels)
        values: dict[Setting, float] = {}
        for count in sorted(self.levels):
            scores = self.levels[count]
            errors = np.array([score.errors for score in scores.values()])
            means = -errors.mean(axis=1)
            if count == fewest:
                variances = (errors - errors.mean(axis=0)).var(axis=1)
            else:
                means += np.mean([values[setting] for setting in scores]) - means.mean()
            values.update(zip(scores, means.tolist(), strict=True))
        at = [self._index[setting] for setting in values]
        counts = np.array([len(self.screened[setting].errors) for setting in values])
        return at, np.array([*values.values()]), variances / counts

    @cached_property
    def _index(self) -> dict[Setting, int]:
        return {setting: index for index, setting in enumerate(self.candidates)}

    @cached_property
    def carried(self) -> Array:
        """(m, j): what each past task says of each candidate, as `Surface.at` does."""
        places = [mean_coordinates(self.space.architecture, each) for each in self.candidates]
        return np.array([past_task.at(places) for past_task in self.past]).reshape(len(self.past), len(places)).T

    @cached_property
    def first_weights(self) -> Array:
        """(j,) of the past tasks before anything is screened, summing to 1."""
        return weights(self.past, self.classes, self.images)

    @cached_property
    def _agreements(self) -> Array:
        at, values, _ = self._observed
        return agreement(self.carried[at], values)

    @cached_property
    def _weights(self) -> Array:
        return reweighted(self.first_weights, self._agreements)


def screening_posterior(
    space: Space, past: Sequence[PastTask], classes: int, images: int, levels: Levels
) -> ScreeningPosterior:
    """Of all one-tap settings of a space. classes, images: of the new task, of those that there are to screen."""
    noised = space.architecture.noised
    return ScreeningPosterior(
        candidates=tuple(setting for timestep in space.timesteps for setting in at_timestep(space, timestep)),
        space=space,
        past=tuple(past_task for past_task in past if past_task.noised == noised),
        classes=classes,
        images=images,
        levels=levels,
    )


def at_timestep(space: Space, timestep: int | None) -> list[Setting]:
    """Every block and pool of a timestep, with the head that screens."""
    places = ((block, pool) for block in space.blocks for pool in space.pools_at(block))
    return [Setting(timestep, block, pool, "ridge", min(space.draws)) for block, pool in places]
