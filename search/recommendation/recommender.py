"""Which setting for a new dataset, for the price of a few passes: what is screened next, and what it comes to.

Knows neither torch nor Optuna: whoever makes it gives it the function that screens.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np
from scipy.stats import sem

from objectives.results import CheaperSetting, Extracted, Recommendation, ScreenedSetting
from search.surrogates.past_tasks import PUBLISHED, PastTask
from search.surrogates.screening_posterior import Levels, ScreeningPosterior, at_timestep, screening_posterior
from spaces import Setting, Space

Screen = Callable[[Sequence[Setting], int], Iterator[Extracted | ScreenedSetting]]
"""Settings that read one timestep, on the first so many images: as `objectives.screening.Screener.screen`."""

FIRST_IMAGES, FIRST_OF_CLASS = 300, 8
"""With fewer images a class their ranks are others than those of heads that are fitted on all (docs/benchmarks.md)."""

FIRST_TIMESTEPS = 2

SHARE = 0.1
"""Of the passes that all timesteps over all images would take, where no other limit is given."""

WORTHWHILE = 0.1
"""Of the standard error of the least error: what a further timestep must be expected to better it by."""

AS_GOOD = 0.25
"""Standard errors within which a cheaper setting is taken for as good. One, the classic rule, cost up to two points of
accuracy (docs/benchmarks.md, Selection)."""

TIED = 1.96
"""Standard errors within which two settings are not told apart."""

CHEAPER = (0.75, 0.5, 0.25)
"""Of the cost of the recommended setting, what an alternative may cost."""


@final
@dataclass
class Recommender:
    """Successive refinement over the one-tap settings of a space.

    A pass scores all blocks and pools of its timestep. The first is the timestep that past tasks make most of, the next
    ones those from which most is expected, going by all that was screened and by the past (`search.surrogates`); then
    more images for the settings that are not told from the best yet, until the limit is spent.

    labels: of the images that there are to screen, in their order. passes: of one image at one timestep, that it may
    take in all. seconds: that it may take; nothing is begun that would end later, going by what passes took so far.
    Whatever they are the first timesteps are screened; with neither, `SHARE` of all passes. past: what there is to go
    by.
    """

    space: Space
    screen: Screen
    labels: Sequence[int]
    passes: int | None = None
    seconds: float | None = None
    past: Sequence[PastTask] = PUBLISHED
    clock: Callable[[], float] = time.monotonic
    spent: int = field(default=0, init=False)
    _levels: Levels = field(default_factory=dict, init=False)
    _outlook: ScreeningPosterior | None = field(default=None, init=False)

    def run(self) -> Iterator[Extracted | ScreenedSetting]:
        """Screens; what comes is for whoever shows progress."""
        count, began = self.first_images, self.clock()
        for timestep in self._timesteps(began):
            yield from self._score(at_timestep(self.space, timestep), count, new=count)
        while (race := self._race(count, self._left(began))) is not None:
            settings, larger = race
            for timestep in dict.fromkeys(setting.timestep for setting in settings):
                mine = [setting for setting in settings if setting.timestep == timestep]
                yield from self._score(mine, larger, new=larger - count)
            count = larger

    @property
    def first_images(self) -> int:
        return min(len(self.labels), max(FIRST_IMAGES, FIRST_OF_CLASS * len(set(self.labels))))

    @property
    def limit(self) -> int:
        """Passes."""
        everything = len(self.labels) * len(self.space.timesteps)
        if self.passes is not None or self.seconds is not None:
            return everything if self.passes is None else min(self.passes, everything)
        return max(int(SHARE * everything), self.least)

    @property
    def least(self) -> int:
        """Passes of the first timesteps, which are screened whatever the limit."""
        return self.first_images * min(FIRST_TIMESTEPS, len(self.space.timesteps))

    def _left(self, began: float) -> int:
        """Passes that may still be made."""
        left = self.limit - self.spent
        if self.seconds is None:
            return left
        taken = max(self.clock() - began, 1e-9)
        return min(left, int(self.spent * (self.seconds - taken) / taken))

    @property
    def recommendation(self) -> Recommendation:
        """The cheapest of those that are `AS_GOOD` as the least error, as the one-standard-error rule would have it
        (Breiman et al. 1984, section 3.4.3)."""
        outlook = self.outlook
        best = min(outlook.as_good(AS_GOOD), key=self._cost)
        first = self._levels[min(self._levels)]
        cheaper: list[Setting] = []
        for share in CHEAPER:
            affordable = [each for each, score in first.items() if self._cost(score)[0] <= share * self._cost(best)[0]]
            found = min(affordable, key=outlook.error, default=None)
            if found is not None and found not in cheaper:
                cheaper.append(found)
        return Recommendation(
            best=best,
            tied=tuple(score for score in outlook.tied(TIED) if score is not best),
            cheaper=tuple(self._alternative(setting, best.setting) for setting in cheaper),
            screened=tuple(outlook.screened.values()),
            images=len(self.labels),
            passes=self.spent,
            on_fewest_images=tuple(first.values()) if len(self._levels) > 1 else (),
            chance=max(Counter(self.labels[: len(best.correct)]).values()) / len(best.correct),
            past_tasks=outlook.learnt,
        )

    def _alternative(self, setting: Setting, best: Setting) -> CheaperSetting:
        """On as many images as both were screened on."""
        level = max(count for count, scores in self._levels.items() if setting in scores and best in scores)
        mine, theirs = self._levels[level][setting], self._levels[level][best]
        return CheaperSetting(mine, self._cost(mine)[0] / self._cost(theirs)[0], mine.accuracy_loss(theirs))

    def _score(self, settings: Sequence[Setting], count: int, new: int) -> Iterator[Extracted | ScreenedSetting]:
        self.spent += new
        self._outlook = None
        for report in self.screen(settings, count):
            if isinstance(report, ScreenedSetting):
                self._levels.setdefault(count, {})[report.setting] = report
            yield report

    def _timesteps(self, began: float) -> Iterator[int | None]:
        """The next to be screened, as long as there is something to expect of one."""
        yield self.outlook.candidates[int(np.argmax(self.outlook.expected))].timestep
        while gains := self.outlook.gains():
            timestep = max(gains, key=lambda each: gains[each])
            enough = self.first_images > self._left(began) or gains[timestep] < WORTHWHILE * self._unsure
            if self.spent >= self.least and enough:
                return
            yield timestep

    @property
    def outlook(self) -> ScreeningPosterior:
        """As of now."""
        if self._outlook is None:
            self._outlook = screening_posterior(
                self.space, self.past, len(set(self.labels)), len(self.labels), self._levels
            )
        return self._outlook

    @property
    def _unsure(self) -> float:
        """The standard error of the least mean error."""
        return float(sem(self.outlook.least.errors))

    def _race(self, count: int, left: int) -> tuple[list[Setting], int] | None:
        """What is not told from the best, with twice the images or as many as the limit leaves, of fewer timesteps
        where it leaves few; None where that is no question or no help."""
        race = [score for score in self.outlook.tied(TIED) if score.setting in self._levels[count]]
        timesteps = list(dict.fromkeys(score.setting.timestep for score in race))
        larger = min(2 * count, len(self.labels))
        while len(timesteps) > 1 and (larger - count) * len(timesteps) > left:
            timesteps.pop()
        larger = min(larger, count + left // max(len(timesteps), 1))
        if len(race) < 2 or larger - count < count // 4:
            return None
        return [score.setting for score in race if score.setting.timestep in timesteps], larger

    def _cost(self, score: ScreenedSetting) -> tuple[float, int]:
        """GMAC of an image's passes, then the width of what the head reads."""
        setting, architecture = score.setting, self.space.architecture
        width = sum(architecture.block(tap.block).channels for tap in setting.taps) * setting.pool**2
        return architecture.pass_gmacs(setting), width
