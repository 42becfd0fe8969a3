"""Decides what a screening looks at next, and which setting it recommends.

It loads neither torch nor Optuna. The caller gives the function that screens.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np
from scipy.stats import sem

from dashboards.screening.tables import accuracy_loss
from objectives.results import CheaperSetting, Extracted, ScreenedSetting, ScreeningResults
from search.surrogates.past_tasks import PUBLISHED_TASKS, PastTask
from search.surrogates.screening_posterior import (
    ScoresByImages,
    ScreeningPosterior,
    screening_posterior,
    settings_at,
)
from spaces import Setting, Space

Screen = Callable[[Sequence[Setting], int], Iterator[Extracted | ScreenedSetting]]
"""Screens settings of one timestep on the first n images, as `objectives.screening.Screener.screen` does."""

MIN_IMAGES, MIN_IMAGES_PER_CLASS = 300, 8
"""Images that a timestep is first screened on. With fewer for each class, ridge scores rank settings differently from
heads that are fitted on all images (docs/benchmarks.md)."""

MIN_TIMESTEPS = 2
"""Timesteps that are always screened, even beyond the limits."""

SHARE = 0.1
"""Share of all forward passes (every image at every timestep) that is allowed where the caller gives no limit."""

WORTHWHILE = 0.1
"""A further timestep must be expected to improve on the best by this many standard errors of the best."""

AS_GOOD = 0.25
"""Standard errors within which a cheaper setting counts as equally good. One, the classic rule, cost up to two points
of accuracy (docs/benchmarks.md, Selection)."""

TIED = 1.96
"""Standard errors within which two settings do not differ significantly."""

CHEAPER = (0.75, 0.5, 0.25)
"""The most that an alternative may cost, as shares of the cost of the recommended setting."""


@final
@dataclass
class Recommender:
    """Screens the one-tap settings of a space, a timestep at a time, and recommends one.

    The forward passes over some images at one timestep score all its blocks and pool sizes. The first timestep is the
    one that past tasks predict to be best. Each next one is the one with the largest expected improvement. Then the
    settings that are tied with the best are screened on twice as many images, again and again, until the limit is
    reached.

    labels: of the images that may be screened, in their order. max_passes: the most forward passes, each of one image
    at one timestep. max_seconds: time limit; no round starts unless it would finish in time, judging by the passes so
    far. The first `MIN_TIMESTEPS` are screened whatever the limits. Without limits, `SHARE` of all forward passes may
    be made. passes_made: so far.
    """

    space: Space
    screen: Screen
    labels: Sequence[int]
    max_passes: int | None = None
    max_seconds: float | None = None
    past_tasks: Sequence[PastTask] = PUBLISHED_TASKS
    clock: Callable[[], float] = time.monotonic
    passes_made: int = field(default=0, init=False)
    _scores: ScoresByImages = field(default_factory=dict, init=False)
    _posterior: ScreeningPosterior | None = field(default=None, init=False)

    def run(self) -> Iterator[Extracted | ScreenedSetting]:
        """Screen, and yield what the screening reports. `recommendation` has the result afterwards."""
        images, started = self.first_images, self.clock()
        for timestep in self._timesteps(started):
            yield from self._screen(settings_at(self.space, timestep), images, new_images=images)
        while (tied := self._next_tied(images, self._passes_left(started))) is not None:
            settings, more_images = tied
            for timestep in dict.fromkeys(setting.timestep for setting in settings):
                of_timestep = [setting for setting in settings if setting.timestep == timestep]
                yield from self._screen(of_timestep, more_images, new_images=more_images - images)
            images = more_images

    @property
    def first_images(self) -> int:
        """The number of images that each timestep is first screened on."""
        return min(len(self.labels), max(MIN_IMAGES, MIN_IMAGES_PER_CLASS * len(set(self.labels))))

    @property
    def pass_limit(self) -> int:
        """The most forward passes that may be made, apart from the time limit."""
        every_pass = len(self.labels) * len(self.space.timesteps)
        if self.max_passes is not None or self.max_seconds is not None:
            return every_pass if self.max_passes is None else min(self.max_passes, every_pass)
        return max(int(SHARE * every_pass), self.min_passes)

    @property
    def min_passes(self) -> int:
        """The forward passes of the first timesteps, which are always made."""
        return self.first_images * min(MIN_TIMESTEPS, len(self.space.timesteps))

    def _passes_left(self, started: float) -> int:
        left = self.pass_limit - self.passes_made
        if self.max_seconds is None:
            return left
        seconds = max(self.clock() - started, 1e-9)
        return min(left, int(self.passes_made * (self.max_seconds - seconds) / seconds))

    @property
    def recommendation(self) -> ScreeningResults:
        """The cheapest of the settings that are `AS_GOOD` as the best, and alternatives to it.

        This is the one-standard-error rule (Breiman et al. 1984, section 3.4.3) with a smaller share of the error.
        """
        posterior = self.posterior
        recommended = min(posterior.within(AS_GOOD), key=self._cost)
        first = self._scores[min(self._scores)]
        cheaper: list[Setting] = []
        for share in CHEAPER:
            limit = share * self._cost(recommended)[0]
            affordable = [setting for setting, score in first.items() if self._cost(score)[0] <= limit]
            alternative = min(affordable, key=posterior.expected_error, default=None)
            if alternative is not None and alternative not in cheaper:
                cheaper.append(alternative)
        images = len(recommended.correct)
        return ScreeningResults(
            best=recommended,
            tied=tuple(score for score in posterior.tied(TIED) if score is not recommended),
            cheaper=tuple(self._alternative(setting, recommended.setting) for setting in cheaper),
            screened=tuple(posterior.screened.values()),
            images=len(self.labels),
            passes=self.passes_made,
            on_fewest_images=tuple(first.values()) if len(self._scores) > 1 else (),
            chance=max(Counter(self.labels[:images]).values()) / images,
            past_tasks=posterior.past_task_weights,
        )

    def _alternative(self, setting: Setting, recommended: Setting) -> CheaperSetting:
        """Compare two settings on as many images as both were screened on."""
        scores = self._scores[
            max(images for images, scores in self._scores.items() if setting in scores and recommended in scores)
        ]
        score, better = scores[setting], scores[recommended]
        return CheaperSetting(score, self._cost(score)[0] / self._cost(better)[0], accuracy_loss(score, better))

    def _screen(
        self, settings: Sequence[Setting], images: int, new_images: int
    ) -> Iterator[Extracted | ScreenedSetting]:
        self.passes_made += new_images
        self._posterior = None
        for report in self.screen(settings, images):
            if isinstance(report, ScreenedSetting):
                self._scores.setdefault(images, {})[report.setting] = report
            yield report

    def _timesteps(self, started: float) -> Iterator[int | None]:
        """Yield the timesteps to screen, until no other one is worthwhile or affordable."""
        yield self.posterior.candidates[int(np.argmax(self.posterior.mean))].timestep
        while improvements := self.posterior.expected_improvements():
            timestep = max(improvements, key=lambda candidate: improvements[candidate])
            too_dear = self.first_images > self._passes_left(started)
            too_little = improvements[timestep] < WORTHWHILE * self._standard_error
            if self.passes_made >= self.min_passes and (too_dear or too_little):
                return
            yield timestep

    @property
    def posterior(self) -> ScreeningPosterior:
        """The posterior of all settings, given all that was screened so far."""
        if self._posterior is None:
            self._posterior = screening_posterior(
                self.space, self.past_tasks, len(set(self.labels)), len(self.labels), self._scores
            )
        return self._posterior

    @property
    def _standard_error(self) -> float:
        """The standard error of the best setting's mean error."""
        return float(sem(self.posterior.best.errors))

    def _next_tied(self, images: int, passes_left: int) -> tuple[list[Setting], int] | None:
        """Return the settings tied with the best, and on how many images to screen them next.

        That is twice as many images, or as many as the limit allows. Where the limit allows few, timesteps are left
        out. None where nothing is tied, or where there would be hardly more images.
        """
        tied = [score.setting for score in self.posterior.tied(TIED) if score.setting in self._scores[images]]
        timesteps = list(dict.fromkeys(setting.timestep for setting in tied))
        more_images = min(2 * images, len(self.labels))
        while len(timesteps) > 1 and (more_images - images) * len(timesteps) > passes_left:
            timesteps.pop()
        more_images = min(more_images, images + passes_left // max(len(timesteps), 1))
        if len(tied) < 2 or more_images - images < images // 4:
            return None
        return [setting for setting in tied if setting.timestep in timesteps], more_images

    def _cost(self, score: ScreenedSetting) -> tuple[float, int]:
        """Return the GMAC of the forward passes of one image, and the number of features that the head reads."""
        setting, architecture = score.setting, self.space.architecture
        width = sum(architecture.block(tap.block).channels for tap in setting.taps) * setting.pool**2
        return architecture.pass_gmacs(setting), width
