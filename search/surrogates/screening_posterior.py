"""Predicts the score of every one-tap setting of a space, from the settings that were screened and from past tasks."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np

from objectives.results import PastTaskWeight, ScreenedSetting
from search.surrogates.gaussian_process import GaussianProcess, Posterior
from search.surrogates.past_tasks import (
    Array,
    PastTask,
    initial_weights,
    rank_correlations,
    scaled,
    updated_weights,
)
from spaces import Setting, Space
from spaces.coordinates import Coordinates, mean_coordinates

SAMPLES = 256
"""Joint samples of the posterior from which expected improvements are computed."""

ScoresByImages = dict[int, dict[Setting, ScreenedSetting]]
"""Number of images → setting → its score on them. All screened settings have a score on the fewest images."""


@final
@dataclass(frozen=True)
class ScreeningPosterior:
    """The predicted scores of m candidates. A score is the negative mean squared error.

    candidates: settings of the space. past_tasks: of the same kind of network. classes, images: the numbers of classes
    and of training images of the new task. scores: of the settings that were screened; may be empty.
    """

    candidates: tuple[Setting, ...]
    space: Space
    past_tasks: tuple[PastTask, ...]
    classes: int
    images: int
    scores: ScoresByImages

    @cached_property
    def screened(self) -> dict[Setting, ScreenedSetting]:
        """The score of each screened setting on the most images that it has."""
        latest: dict[Setting, ScreenedSetting] = {}
        for images in sorted(self.scores):
            latest |= self.scores[images]
        return latest

    @cached_property
    def mean(self) -> Array:
        """(m,) predicted scores of the candidates. Before anything is screened they have no unit, only an order."""
        return self._posterior.mean if self.scores else self.past_predictions @ self.initial_weights

    def expected_error(self, setting: Setting) -> float:
        """Return the predicted error on the fewest images."""
        return -float(self.mean[self._index[setting]])

    @cached_property
    def best(self) -> ScreenedSetting:
        """The screened setting with the smallest predicted error."""
        return self.screened[min(self.screened, key=self.expected_error)]

    def within(self, standard_errors: float) -> list[ScreenedSetting]:
        """Return the screened settings whose predicted gap to `best` is at most so many standard errors."""
        settings = [*self.screened]
        gaps, errors = self._posterior.gaps(
            [self._index[setting] for setting in settings], self._index[self.best.setting]
        )
        return [
            self.screened[setting]
            for setting, gap, error in zip(settings, gaps, errors, strict=True)
            if gap <= standard_errors * error + 1e-12
        ]

    def tied(self, standard_errors: float) -> list[ScreenedSetting]:
        """Return the screened settings whose measured gap to `best` is at most so many standard errors, best first.

        The gap is paired by image. Unlike `within` it uses neither past tasks nor similar settings.
        """
        best = self.best
        gaps = ((score, *score.error_gap(best)) for score in self.screened.values() if score is not best)
        tied = [score for score, gap, error in gaps if gap <= standard_errors * error]
        return [best, *sorted(tied, key=lambda score: self.expected_error(score.setting))]

    def expected_improvements(self) -> dict[int | None, float]:
        """Return, for each timestep that was not screened, how far its best setting is expected to beat `best`."""
        screened = {setting.timestep for setting in self.screened}
        others = [index for index, setting in enumerate(self.candidates) if setting.timestep not in screened]
        if not others:
            return {}
        samples = self._posterior.samples([self._index[self.best.setting], *others], SAMPLES, seed=0)
        improvements = np.maximum(samples[:, 1:] - samples[:, :1], 0)
        timesteps = np.array([self.candidates[index].timestep for index in others])
        return {
            timestep: float(improvements[:, timesteps == timestep].max(axis=1).mean())
            for timestep in dict.fromkeys(self.candidates[index].timestep for index in others)
        }

    @cached_property
    def past_task_weights(self) -> tuple[PastTaskWeight, ...]:
        """The rank correlation and the weight of each past task, the largest weight first."""
        past_tasks = zip(self.past_tasks, self._rank_correlations, self._weights, strict=True)
        weights = [
            PastTaskWeight(task.task, float(correlation), float(weight)) for task, correlation, weight in past_tasks
        ]
        return tuple(sorted(weights, key=lambda task: -task.weight))

    @cached_property
    def past_predictions(self) -> Array:
        """(m, j): the score that each past task predicts of each candidate, as `PastTask.predict` returns it."""
        predictions = [task.predict(self._coordinates) for task in self.past_tasks]
        return np.array(predictions).reshape(len(self.past_tasks), len(self.candidates)).T

    @cached_property
    def initial_weights(self) -> Array:
        """(j,) weights of the past tasks before anything is screened, summing to 1."""
        return initial_weights(self.past_tasks, self.classes, self.images)

    @cached_property
    def _posterior(self) -> Posterior:
        observed, values, noise_variance = self._observations
        process = GaussianProcess(scaled(self._coordinates) / 2, self.past_predictions, self._weights)
        return process.posterior(observed, values, noise_variance)

    @cached_property
    def _observations(self) -> tuple[list[int], Array, Array]:
        """Indices, scores (negative mean errors) and noise variances of the screened settings.

        Errors on more images differ from those on fewer, whatever the setting. So the scores on more images are
        shifted: the settings that have both keep their mean score. The shifted scores tell how these settings compare
        with each other.
        """
        fewest = min(self.scores)
        values: dict[Setting, float] = {}
        for images in sorted(self.scores):
            scores = self.scores[images]
            errors = np.array([score.errors for score in scores.values()])
            means = -errors.mean(axis=1)
            if images == fewest:
                variances = (errors - errors.mean(axis=0)).var(axis=1)
            else:
                means += np.mean([values[setting] for setting in scores]) - means.mean()
            values.update(zip(scores, means.tolist(), strict=True))
        observed = [self._index[setting] for setting in values]
        counts = np.array([len(self.screened[setting].errors) for setting in values])
        return observed, np.array([*values.values()]), variances / counts

    @cached_property
    def _index(self) -> dict[Setting, int]:
        return {setting: index for index, setting in enumerate(self.candidates)}

    @cached_property
    def _coordinates(self) -> list[Coordinates]:
        return [mean_coordinates(self.space.architecture, setting) for setting in self.candidates]

    @cached_property
    def _rank_correlations(self) -> Array:
        observed, values, _ = self._observations
        return rank_correlations(self.past_predictions[observed], values)

    @cached_property
    def _weights(self) -> Array:
        return updated_weights(self.initial_weights, self._rank_correlations)


def screening_posterior(
    space: Space, past_tasks: Sequence[PastTask], classes: int, images: int, scores: ScoresByImages
) -> ScreeningPosterior:
    """Return the posterior of all one-tap settings of a space. classes, images: numbers of the new task."""
    noised = space.architecture.noised
    return ScreeningPosterior(
        candidates=tuple(setting for timestep in space.timesteps for setting in settings_at(space, timestep)),
        space=space,
        past_tasks=tuple(task for task in past_tasks if task.noised == noised),
        classes=classes,
        images=images,
        scores=scores,
    )


def settings_at(space: Space, timestep: int | None) -> list[Setting]:
    """Return a setting for every block and pool size at a timestep, with the ridge head that screening fits.

    Each has the fewest noise draws of the space; none only if all settings of the space have clean passes.
    """
    draws = min(filter(None, space.draws), default=0)
    return [Setting(timestep, block, pool, "ridge", draws) for block in space.blocks for pool in space.pools_at(block)]
