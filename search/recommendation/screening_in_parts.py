"""A screening that is made in parts, by whoever has time: the workers of a search."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, final

from objectives.results import Extracted, ScreenedPart, ScreenedSetting
from search.database.store import Store
from search.recommendation.recommender import Recommender
from search.recommendation.screen import known_tasks, save
from search.scheduling.requests import NoTrialYet, ScreeningRequest
from spaces import Setting, Space

if TYPE_CHECKING:
    from objectives.probing.spec import ProbeSpec

PARTS_PER_WORKER = 3
"""Parts of a round for each worker. With more, less time is lost at the end of a round, and more on messages."""

NO_NEWS = Extracted(0, 0, 0)
"""The report of the recommender while it waits for parts."""


@final
class ScreeningInParts:
    """Gives out the parts of a screening and collects their results; saves the screening when it is complete.

    The recommender runs as far as the results allow. It sees them in the order of the settings, whichever part was
    ready first, so the number of workers changes nothing. on_planned: called at each round with the number of settings
    to score in all, as far as is known then. max_seconds: no round after the first ones starts unless it would finish
    within them; None for any time.
    """

    def __init__(
        self,
        store: Store,
        spec: "ProbeSpec",
        space: Space,
        weights_digest: str,
        workers: int,
        on_planned: Callable[[int], None] = lambda settings: None,
        max_seconds: float | None = None,
    ) -> None:
        labels: list[int] = spec.dataset.labels[spec.screened_images()].tolist()
        tasks = known_tasks(store, spec, weights_digest)
        self._recommender = Recommender(
            space,
            self._screen,
            labels,
            past_tasks=tasks,
            training_images=int((~spec.dataset.is_test).sum()),
            measures=False,  # the search does so itself
        )
        if max_seconds is not None:  # a limit of time alone would allow more passes
            self._recommender.max_passes = self._recommender.pass_limit
            self._recommender.max_seconds = max_seconds
        self._reports = self._recommender.run()
        self._save = partial(save, store=store, spec=spec, space=space, weights_digest=weights_digest)
        self._workers, self._on_planned, self._planned = workers, on_planned, 0
        self._waiting: deque[ScreeningRequest] = deque()
        self._scores: dict[Setting, ScreenedSetting] = {}

    @property
    def least(self) -> tuple[int, int]:
        """The settings that are scored, and the forward passes that are made, at least."""
        return self._recommender.least_settings, self._recommender.min_passes

    def next_request(self) -> ScreeningRequest | NoTrialYet | None:
        """Return the next part; NoTrialYet where it depends on parts that are still running; None after the last."""
        while not self._waiting:
            report = next(self._reports, None)
            if report is None:
                self._save(self._recommender.recommendation)
                return None
            if report is NO_NEWS and not self._waiting:
                return NoTrialYet()
        return self._waiting.popleft()

    def keep(self, part: ScreenedPart) -> None:
        """Take the result of a part."""
        self._scores.update((score.setting, score) for score in part.scores)

    def _screen(self, settings: Sequence[Setting], images: int) -> Iterator[Extracted | ScreenedSetting]:
        """Screen settings of one timestep, as `Recommender.screen` asks; `NO_NEWS` until all parts are ready."""
        self._scores.clear()
        self._planned += len(settings)
        self._on_planned(max(self._planned, self._recommender.least_settings))
        self._waiting.extend(
            ScreeningRequest(part, images) for part in parts(settings, PARTS_PER_WORKER * self._workers)
        )
        while len(self._scores) < len(settings):
            yield NO_NEWS
        yield from (self._scores[setting] for setting in settings)


def parts(settings: Sequence[Setting], count: int) -> list[tuple[Setting, ...]]:
    """Divide settings into at most `count` parts of similar work. The pool sizes of a block stay together."""
    blocks = [list(group) for _, group in groupby(settings, key=lambda setting: (setting.block, setting.further))]
    return [tuple(setting for block in blocks[start::count] for setting in block) for start in range(count)][
        : len(blocks)
    ]
