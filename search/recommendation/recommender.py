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
from dashboards.selection.elimination import AS_GOOD
from dashboards.statistics import optimism
from objectives.results import ComparedSetting, Extracted, ScreenedSetting, ScreeningResults
from search.surrogates.past_tasks import PUBLISHED_TASKS, PastTask
from search.surrogates.screening_posterior import (
    ScoresByImages,
    ScreeningPosterior,
    screening_posterior,
    settings_at,
)
from spaces import Setting, Space

Screen = Callable[[Sequence[Setting], int], Iterator[Extracted | ScreenedSetting]]
"""Screens settings of one timestep on the first n images, as `objectives.probing.screening.Screener.screen` does."""

MIN_IMAGES, MIN_IMAGES_PER_CLASS = 300, 8
"""Images that a timestep is first screened on. With fewer for each class, ridge scores rank settings differently from
heads that are fitted on all images (docs/benchmarks.md)."""

MIN_TIMESTEPS = 2
"""Timesteps that are always screened, even beyond the limits."""

SHARE = 0.1
"""Share of all forward passes (every image at every timestep) that may choose a timestep where the caller gives no
limit."""

WORTHWHILE = 0.1
"""A further timestep must be expected to improve on the best by this many standard errors of the best."""

TIED = 1.96
"""Standard errors of the squared error within which a setting stays in the race."""

MARGIN = 5
"""The intervals of compared settings are as wide as for so many times their pairs. Leave-one-out classifiers share
images, so that differences vary more than those of independent images (docs/benchmarks.md, Recommendation)."""

RIVALS = 8
"""Settings of the chosen timestep that are measured on all images. Each one costs a decomposition."""

MOST_TAPS = 3
"""Taps of the settings with several of them that are compared with the recommended one."""

CANDIDATE_TAPS = 8
"""Blocks, the best first, that are tried as a further tap."""

CHEAPER = (0.75, 0.5, 0.25)
"""The most that an alternative may cost, as shares of the cost of the recommended setting."""


@final
@dataclass
class Recommender:
    """Screens the one-tap settings of a space, a timestep at a time, and recommends one.

    The forward passes over some images at one timestep score all its blocks and pool sizes. The first timestep is the
    one that past tasks predict to be best. Each next one is the one with the largest expected improvement. Then the
    settings that are tied with the best are screened on twice as many images, again and again, until the limit is
    reached. At last the best settings of one timestep are measured: screened on all images, and compared. So are
    settings with further taps at this timestep, which cost no further pass.

    labels: of the images that may be screened, in their order. max_passes: the most forward passes, each of one image
    at one timestep. max_seconds: time limit; no round starts unless it would finish in time, judging by the passes so
    far. The first `MIN_TIMESTEPS` are screened whatever the limits. Without limits, `SHARE` of all forward passes may
    be made until the timestep is chosen, and then the missing ones of its images. training_images: of the dataset, if
    they are more than the labels. measures: whether to measure; a search does so itself. passes_made: so far.
    """

    space: Space
    screen: Screen
    labels: Sequence[int]
    max_passes: int | None = None
    max_seconds: float | None = None
    past_tasks: Sequence[PastTask] = PUBLISHED_TASKS
    clock: Callable[[], float] = time.monotonic
    training_images: int | None = None
    measures: bool = True
    passes_made: int = field(default=0, init=False)
    _measuring: int = field(default=0, init=False)
    _measured: dict[Setting, ScreenedSetting] | None = field(default=None, init=False)
    _with_more_taps: list[ScreenedSetting] = field(default_factory=list, init=False)
    _on_half: ScreenedSetting | None = field(default=None, init=False)
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
        yield from self._add_taps()
        if self.measures:
            yield from self._measure(started)

    @property
    def first_images(self) -> int:
        """The number of images that each timestep is first screened on."""
        return min(len(self.labels), max(MIN_IMAGES, MIN_IMAGES_PER_CLASS * len(set(self.labels))))

    @property
    def pass_limit(self) -> int:
        """The most forward passes that may be made, apart from the time limit."""
        if self._is_limited or not self.measures:
            return self._choosing_limit
        return self._choosing_limit + len(self.labels) - self.first_images

    @property
    def _is_limited(self) -> bool:
        return self.max_passes is not None or self.max_seconds is not None

    @property
    def _choosing_limit(self) -> int:
        """The most forward passes that may be made until the timestep is chosen, apart from the time limit."""
        every_pass = len(self.labels) * len(self.space.timesteps)
        if self._is_limited:
            return every_pass if self.max_passes is None else min(self.max_passes, every_pass)
        return max(int(SHARE * every_pass), self.min_passes)

    @property
    def min_passes(self) -> int:
        """The forward passes of the first timesteps, which are always made."""
        return self.first_images * min(MIN_TIMESTEPS, len(self.space.timesteps))

    @property
    def least_settings(self) -> int:
        """The settings of the first timesteps, which are always scored."""
        first = self.space.timesteps[: min(MIN_TIMESTEPS, len(self.space.timesteps))]
        return sum(len(settings_at(self.space, timestep)) for timestep in first)

    def _passes_left(self, started: float) -> int:
        left = self._choosing_limit - self.passes_made
        if self.max_seconds is None:
            return left
        seconds = max(self.clock() - started, 1e-9)
        return min(left, int(self.passes_made * (self.max_seconds - seconds) / seconds))

    @property
    def recommendation(self) -> ScreeningResults:
        """The recommended setting, and what it was compared with."""
        posterior, recommended = self.posterior, self._recommended
        first = self._scores[min(self._scores)]
        images = len(recommended.correct)
        rivals = [setting for setting in self._rivals if setting != recommended.setting]
        others = self._best_of_other_timesteps(recommended.setting.timestep)
        settings = 1 + len(rivals) + len(self._with_more_taps) + len(others)
        pairs = MARGIN * settings * (settings - 1) // 2  # the same images chose the best of them
        compared = [self._compared(setting, recommended.setting, pairs) for setting in rivals]
        cheaper: dict[Setting, ComparedSetting] = {}
        for share in CHEAPER:
            affordable = next((other for other in compared if other.cost <= share), None)
            if affordable is not None:
                cheaper.setdefault(affordable.screened.setting, affordable)
        return ScreeningResults(
            best=recommended,
            compared=tuple(compared),
            cheaper=tuple(cheaper.values()),
            more_taps=tuple(self._against(score, recommended, pairs) for score in self._with_more_taps),
            other_timesteps=tuple(self._compared(setting, recommended.setting, pairs) for setting in others),
            screened=tuple(posterior.screened.values()),
            images=self._training_images,
            passes=self.passes_made,
            measuring=self._measuring,
            on_half=self._on_half,
            on_fewest_images=tuple(first.values()) if len(self._scores) > 1 else (),
            chance=max(Counter(self.labels[:images]).values()) / images,
            optimism=optimism([score for score in posterior.screened.values() if len(score.correct) == images]),
            past_tasks=posterior.past_task_weights,
        )

    @property
    def _recommended(self) -> ScreenedSetting:
        """The cheapest of the settings that are `AS_GOOD` as the best.

        This is the one-standard-error rule (Breiman et al. 1984, section 3.4.3) with a smaller share of the error.
        """
        within = self.posterior.within(AS_GOOD)
        if self._measured is not None:
            least = min(self._measured, key=self.posterior.expected_error)
            within = [self._measured[least], *(score for score in within if score.setting in self._measured)]
        return min(within, key=self._cost)

    def _measure(self, started: float) -> Iterator[Extracted | ScreenedSetting]:
        """Screen the rivals on all images, or on as many as the limits allow; then the best one on half of them."""
        images, rivals = len(self._recommended.correct), self._rivals
        left = self._passes_left(started) if self._is_limited else len(self.labels)
        more_images = min(len(self.labels), images + max(left, 0))
        if more_images - images < images // 4:
            more_images = images
        missing = [setting for setting in rivals if setting not in self._scores.get(more_images, {})]
        if missing:
            self._measuring = more_images - images
            yield from self._screen(missing, more_images, new_images=more_images - images)
        self._measured = {setting: self._scores[more_images][setting] for setting in rivals}
        several, self._with_more_taps = [score.setting for score in self._with_more_taps], []
        if several:
            for report in self.screen(several, more_images):
                if isinstance(report, ScreenedSetting):
                    self._with_more_taps.append(report)
                yield report
        half = more_images // 2
        if more_images < self._training_images and half >= 2 * len(set(self.labels)):
            for report in self.screen([self._recommended.setting], half):
                if isinstance(report, ScreenedSetting):
                    self._on_half = report
                yield report

    @property
    def _rivals(self) -> list[Setting]:
        """The best settings of the recommended timestep, the best first, with the recommended one.

        They are `RIVALS` at any cost, and the best at each cost of `CHEAPER`.
        """
        if self._measured is not None:
            return sorted(self._measured, key=self.posterior.expected_error)
        recommended, first = self._recommended, self._scores[min(self._scores)]
        scores = [score for score in first.values() if score.setting.timestep == recommended.setting.timestep]
        scores.sort(key=lambda score: self.posterior.expected_error(score.setting))
        rivals = {recommended.setting, *(score.setting for score in scores[:RIVALS])}
        for share in CHEAPER:
            limit = share * self._cost(recommended)[0]
            rivals.update(score.setting for score in [s for s in scores if self._cost(s)[0] <= limit][:1])
        return [score.setting for score in scores if score.setting in rivals]

    def _best_of_other_timesteps(self, timestep: int | None) -> list[Setting]:
        best: dict[int | None, Setting] = {}
        for score in sorted(self._scores[min(self._scores)].values(), key=lambda score: score.error):
            best.setdefault(score.setting.timestep, score.setting)
        return [setting for other, setting in best.items() if other != timestep]

    def _compared(self, setting: Setting, recommended: Setting, pairs: int) -> ComparedSetting:
        """Compare a setting with the recommended one on as many images as both were screened on."""
        images = max(n for n, scores in self._scores.items() if {setting, recommended} <= scores.keys())
        return self._against(self._scores[images][setting], self._scores[images][recommended], pairs)

    def _against(self, score: ScreenedSetting, recommended: ScreenedSetting, pairs: int) -> ComparedSetting:
        loss = accuracy_loss(score, recommended, comparisons=pairs)
        return ComparedSetting(score, self._cost(score)[0] / self._cost(recommended)[0], loss)

    def _add_taps(self) -> Iterator[Extracted | ScreenedSetting]:
        """Select further taps forward, on the first images: each time the one with which the error is least.

        Features of several taps are concatenated. The selection ends where the error does not fall.
        """
        first = self._scores[min(self._scores)]
        score = first[self._recommended.setting]
        timestep, pool = score.setting.timestep, score.setting.pool
        alone = [setting for setting in first if (setting.timestep, setting.pool) == (timestep, pool)]
        taps = [setting.taps[0] for setting in sorted(alone, key=self.posterior.expected_error)[:CANDIDATE_TAPS]]
        for _ in range(MOST_TAPS - 1):
            taps = [tap for tap in taps if tap not in score.setting.taps]
            settings = [score.setting.reading(*score.setting.taps, tap) for tap in taps]
            scores = []
            for report in self.screen(settings, min(self._scores)):
                if isinstance(report, ScreenedSetting):
                    scores.append(report)
                yield report
            best = min(scores, key=lambda other: other.error, default=score)
            if best.error >= score.error:
                return
            self._with_more_taps.append(score := best)

    @property
    def _training_images(self) -> int:
        return self.training_images or len(self.labels)

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
        if len(tied) < 2 or more_images - images < max(images // 4, 1):
            return None
        return [setting for setting in tied if setting.timestep in timesteps], more_images

    def _cost(self, score: ScreenedSetting) -> tuple[float, int]:
        """Return the GMAC of the forward passes of one image, and the number of features that the head reads."""
        setting, architecture = score.setting, self.space.architecture
        width = sum(architecture.block(tap.block).channels for tap in setting.taps) * setting.pool**2
        return architecture.pass_gmacs(setting), width
