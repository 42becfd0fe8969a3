"""Screens a dataset with the help of past tasks, and saves the result for later tasks and searches."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from dashboards.formatting import count
from objectives.results import Extracted, ScreenedSetting
from search.database.screenings import Screening, save_screening
from search.database.store import Store
from search.recommendation.past_tasks import past_tasks
from search.recommendation.recommender import Recommender
from search.surrogates.past_tasks import PUBLISHED_TASKS, PastTask
from spaces import Setting, Space
from spaces.errors import UsageError
from spaces.text import escaped

if TYPE_CHECKING:
    from objectives.probing.spec import ProbeSpec
    from objectives.results import ScreeningResults

MAX_START_SETTINGS = 8
"""Settings that are saved for a search to start from."""

OnProgress = Callable[[int, int, str], None]
"""Called with (done, total) of what the text names: the settings that are scored, or the passes that come before."""


def run_screening(
    spec: "ProbeSpec",
    space: Space,
    weights_digest: str,
    store: Store | None,
    threads: int,
    max_passes: int | None = None,
    max_seconds: float | None = None,
    measures: bool = True,
    on_progress: OnProgress = lambda done, total, what: None,
) -> "ScreeningResults":
    """Screen the images of a dataset and return the recommendation.

    The screening runs on the GPU that this process sees, or else on `threads` threads. store: past tasks are read from
    it, and the screening is saved to it. Without a store, only the published past tasks are used. measures: as of
    `Recommender`.

    Raises UsageError if `max_passes` is less than the first timesteps need.
    """
    from objectives.devices import one_thread_of_blas
    from objectives.features.cache.quota import CONTENTS
    from objectives.probing.probe import Probe
    from objectives.probing.screening import Screener

    screener, usage = Screener(spec, Probe.build(spec, threads).backbone), spec.usage()
    scored = planned = 0

    def screen(settings: Sequence[Setting], images: int) -> Iterator[Extracted | ScreenedSetting]:
        nonlocal planned
        planned += len(settings)
        yield from screener.screen(settings, images)

    recommender = Recommender(
        space,
        screen,
        screener.labels,
        max_passes,
        max_seconds,
        known_tasks(store, spec, weights_digest),
        training_images=screener.training_images,
        measures=measures,
    )
    if max_passes is not None and max_passes < recommender.min_passes:
        images = recommender.first_images
        timesteps = recommender.min_passes // images
        narrower = ", or choose a single timestep in `timesteps`" if timesteps > 1 and max_passes >= images else ""
        raise UsageError(
            f"screening needs at least {recommender.min_passes:,} forward passes here ("
            f"{count(timesteps, 'timestep')} x {count(images, 'image')}), got `passes` {max_passes:,}; "
            f"allow more{narrower}"
        )
    with usage.using(spec.views, [usage.folder / kind for kind in CONTENTS]), one_thread_of_blas():
        for report in recommender.run():
            if isinstance(report, Extracted):
                on_progress(report.done, report.total, "passes")
            else:
                scored += 1
                on_progress(scored, max(planned, recommender.least_settings), "settings")
    recommendation = recommender.recommendation
    if store is not None:
        save(recommendation, store, spec, space, weights_digest)
    return recommendation


def known_tasks(store: Store | None, spec: "ProbeSpec", weights_digest: str) -> list[PastTask]:
    """Return the past tasks that a screening learns from: the published ones, and those of the store."""
    stored_tasks = [] if store is None else past_tasks(store, spec.dataset.fingerprint, weights_digest)
    return [*PUBLISHED_TASKS, *stored_tasks]


def save(
    recommendation: "ScreeningResults", store: Store, spec: "ProbeSpec", space: Space, weights_digest: str
) -> None:
    """Save a screening for later tasks and searches."""
    save_screening(store, screening_record(recommendation, spec, space, weights_digest))


def screening_record(
    recommendation: "ScreeningResults", spec: "ProbeSpec", space: Space, weights_digest: str
) -> Screening:
    """Return the record of a screening for the study database."""
    others = (other.screened for other in (*recommendation.more_taps, *recommendation.tied))
    best = [recommendation.best, *others] if recommendation.better_than_chance else []
    return Screening(
        dataset=spec.dataset.name,
        dataset_fingerprint=spec.dataset.fingerprint,
        backbone=escaped(space.architecture.name),
        weights_digest=weights_digest,
        architecture=space.architecture,
        seed=spec.seed,
        classes=len(spec.dataset.classes),
        images=recommendation.images,
        errors=tuple((score.setting, score.error) for score in recommendation.comparable),
        best=tuple(score.setting for score in best[:MAX_START_SETTINGS]),
    )
