"""Which setting for a new dataset, for the price of a few passes: what is screened next, and what it comes to.

Knows neither torch nor Optuna: whoever makes it gives it the function that screens.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import final

from objectives.results import Extracted
from objectives.screened import Alternative, Recommendation, Screened
from spaces import Setting, Space

Screen = Callable[[Sequence[Setting], int], Iterator[Extracted | Screened]]
"""Settings that read one timestep, on the first so many images: as `objectives.screening.Screener.screen`."""

FIRST_IMAGES, FIRST_OF_CLASS = 150, 4
FIRST_TIMESTEPS = 3

SHARE = 0.1
"""Of the passes that all timesteps over all images would take, where no other limit is given."""

TIED = 1.96
"""Standard errors within which two settings are not told apart."""

CHEAPER = (0.75, 0.5, 0.25)
"""Of the cost of the recommended setting, what an alternative may cost."""


@final
@dataclass
class Recommender:
    """Successive refinement over the one-tap settings of a space.

    Few timesteps of the space first, each pass scoring all its blocks and pools; then the neighbours of the best one,
    along which accuracy is close to unimodal; then more images for the settings that are not told from the best yet,
    until the limit is spent.

    labels: of the images that there are to screen, in their order. passes: of one image at one timestep, that it may
    take in all. seconds: that it may take; nothing is begun that would end later, going by what passes took so far.
    Whatever they are the first timesteps are screened; with neither, `SHARE` of all passes.
    """

    space: Space
    screen: Screen
    labels: Sequence[int]
    passes: int | None = None
    seconds: float | None = None
    clock: Callable[[], float] = time.monotonic
    spent: int = field(default=0, init=False)
    _levels: dict[int, dict[Setting, Screened]] = field(default_factory=dict, init=False)
    """Images → setting → its score on them. The fewest images have all settings, more have fewer."""

    def run(self) -> Iterator[Extracted | Screened]:
        """Screens; what comes is for whoever shows progress."""
        count, began = self.first_images, self.clock()
        for timestep in self._spread(min(FIRST_TIMESTEPS, len(self._timesteps))):
            yield from self._score(self._at(timestep), count, new=count)
        while (near := self._neighbours()) and count <= self._left(began):
            yield from self._score(self._at(near[0]), count, new=count)
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
        everything = len(self.labels) * len(self._timesteps)
        if self.passes is not None or self.seconds is not None:
            return everything if self.passes is None else min(self.passes, everything)
        return max(int(SHARE * everything), self.least)

    @property
    def least(self) -> int:
        """Passes of the first timesteps, which are screened whatever the limit."""
        return self.first_images * min(FIRST_TIMESTEPS, len(self._timesteps))

    def _left(self, began: float) -> int:
        """Passes that may still be made."""
        left = self.limit - self.spent
        if self.seconds is None:
            return left
        taken = max(self.clock() - began, 1e-9)
        return min(left, int(self.spent * (self.seconds - taken) / taken))

    @property
    def recommendation(self) -> Recommendation:
        """The one-standard-error rule (Breiman et al. 1984, section 3.4.3): of what is as good, the cheapest."""
        best = min(self._near(1.0), key=self._cost)
        first = self._levels[min(self._levels)]
        screened: dict[Setting, Screened] = {}
        for count in sorted(self._levels):
            screened |= self._levels[count]
        cheaper: list[Setting] = []
        for share in CHEAPER:
            affordable = [score for score in first.values() if self._cost(score)[0] <= share * self._cost(best)[0]]
            found = min(affordable, key=lambda score: (score.error, self._cost(score)), default=None)
            if found is not None and found.setting not in cheaper:
                cheaper.append(found.setting)
        return Recommendation(
            best=best,
            tied=tuple(score for score in self._near(TIED) if score is not best),
            cheaper=tuple(self._alternative(setting, best.setting) for setting in cheaper),
            screened=tuple(screened.values()),
            images=len(self.labels),
            passes=self.spent,
            first=tuple(first.values()) if len(self._levels) > 1 else (),
            chance=max(Counter(self.labels[: len(best.right)]).values()) / len(best.right),
        )

    def _alternative(self, setting: Setting, best: Setting) -> Alternative:
        """On as many images as both were screened on."""
        level = max(count for count, scores in self._levels.items() if setting in scores and best in scores)
        mine, theirs = self._levels[level][setting], self._levels[level][best]
        return Alternative(mine, self._cost(mine)[0] / self._cost(theirs)[0], mine.loses(theirs))

    def _score(self, settings: Sequence[Setting], count: int, new: int) -> Iterator[Extracted | Screened]:
        self.spent += new
        for report in self.screen(settings, count):
            if isinstance(report, Screened):
                self._levels.setdefault(count, {})[report.setting] = report
            yield report

    def _at(self, timestep: int | None) -> list[Setting]:
        """Every block and pool of a timestep."""
        places = ((block, pool) for block in self.space.blocks for pool in self.space.pools_at(block))
        return [Setting(timestep, block, pool, "ridge", min(self.space.draws)) for block, pool in places]

    @property
    def _timesteps(self) -> list[int | None]:
        """The less noisy first."""
        return sorted(self.space.timesteps, key=lambda timestep: timestep or 0)

    def _spread(self, count: int) -> list[int | None]:
        """So many of the timesteps, each in the middle of its share of them."""
        timesteps = self._timesteps
        return [timesteps[int((place + 0.5) * len(timesteps) / count)] for place in range(count)]

    def _neighbours(self) -> list[int | None]:
        """The timesteps next to the best one that were not screened."""
        timesteps = self._timesteps
        done = {setting.timestep for scores in self._levels.values() for setting in scores}
        best = timesteps.index(self._near(0.0)[0].setting.timestep)
        return [t for t in timesteps[max(best - 1, 0) : best + 2] if t not in done]

    def _near(self, errors: float) -> list[Screened]:
        """Of those screened on the most images the ones whose mean error is within so many standard errors of the
        least, paired by image; the least first."""
        best, *others = sorted(self._levels[max(self._levels)].values(), key=lambda score: score.error)
        behind = ((score, *score.behind(best)) for score in others)
        return [best, *(score for score, mean, error in behind if mean <= errors * error)]

    def _race(self, count: int, left: int) -> tuple[list[Setting], int] | None:
        """What is not told from the best, with twice the images or as many as the limit leaves, of fewer timesteps
        where it leaves few; None where that is no question or no help."""
        race = self._near(TIED)
        timesteps = list(dict.fromkeys(score.setting.timestep for score in race))
        larger = min(2 * count, len(self.labels))
        while len(timesteps) > 1 and (larger - count) * len(timesteps) > left:
            timesteps.pop()
        larger = min(larger, count + left // len(timesteps))
        if len(race) == 1 or larger - count < count // 4:
            return None
        return [score.setting for score in race if score.setting.timestep in timesteps], larger

    def _cost(self, score: Screened) -> tuple[float, int]:
        """GMAC of an image's passes, then the width of what the head reads."""
        setting, architecture = score.setting, self.space.architecture
        width = sum(architecture.block(tap.block).channels for tap in setting.taps) * setting.pool**2
        return architecture.pass_gmacs(setting), width
