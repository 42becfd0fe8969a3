"""A screening by what the study database knows of past tasks, kept there for the next ones."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from search.database.screenings import Screening, save_screening
from search.database.store import Store
from search.recommendation.past_tasks import past_tasks
from search.recommendation.recommender import Recommender
from search.surrogates.past_tasks import PUBLISHED
from spaces import Space
from spaces.errors import UsageError

if TYPE_CHECKING:
    from objectives.probe import ProbeSpec
    from objectives.results import Recommendation

STARTS = 8
"""Settings that are kept to start a search from."""


def screened(
    spec: "ProbeSpec",
    space: Space,
    weights_digest: str,
    store: Store | None,
    threads: int,
    passes: int | None = None,
    seconds: float | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> "Recommendation":
    """Screen settings and return the recommendation, on the GPU that this process sees, else on `threads` CPU threads.

    store: the past tasks to learn from, and where the screening is kept; None learns from the paper's findings alone.
    passes: forward passes at most. seconds: time limit. on_progress: called with (done, total) forward passes.
    Raises UsageError where fewer passes are allowed than the first timesteps take.
    """
    from objectives.features.quota import KINDS
    from objectives.screening import Screener

    screener, usage = Screener(spec, spec.build(threads).backbone), spec.usage()
    past = () if store is None else past_tasks(store, spec.dataset.fingerprint, weights_digest)
    recommender = Recommender(space, screener.screen, screener.labels, passes, seconds, (*PUBLISHED, *past))
    if passes is not None and passes < recommender.least:
        raise UsageError(
            f"screening takes at least {recommender.least:,} passes here, its first timesteps of "
            f"{recommender.first_images:,} images, got `passes` {passes}; allow more, or narrow `timesteps`"
        )
    with usage.using(spec.views, [usage.folder / kind for kind in KINDS]):
        for _ in recommender.run():
            on_progress(recommender.spent, recommender.limit)
    found = recommender.recommendation
    if store is not None:
        save_screening(store, screening_of(found, spec, space, weights_digest))
    return found


def screening_of(found: "Recommendation", spec: "ProbeSpec", space: Space, weights_digest: str) -> Screening:
    """What is kept of it."""
    starts = [found.best, *found.tied] if found.better_than_chance else []
    return Screening(
        dataset=spec.dataset.name,
        dataset_fingerprint=spec.dataset.fingerprint,
        backbone=space.architecture.name,
        weights_digest=weights_digest,
        architecture=space.architecture,
        seed=spec.seed,
        classes=len(spec.dataset.classes),
        images=found.images,
        errors=tuple((score.setting, score.error) for score in found.comparable),
        best=tuple(score.setting for score in starts[:STARTS]),
    )
