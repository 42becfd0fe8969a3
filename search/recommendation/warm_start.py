"""Collects what a search starts from: past tasks, a screening of its own images, and what is cached."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from search.database.screenings import load_screening
from search.database.store import Store
from search.recommendation.past_tasks import past_tasks, screening_task
from search.surrogates.past_tasks import PUBLISHED_TASKS, PriorKnowledge
from spaces import HEAD_OPTIONS, Setting, Space

if TYPE_CHECKING:
    from objectives.features.plan import Plan
    from objectives.probing.spec import ProbeSpec

MIN_TRIALS = 10
"""Fewest trials of a search that is screened first. A shorter search uses the forward passes for its trials."""

SCREENED_STARTS = 3
"""Settings of a screening that a search tries first, each with every head of the space."""


def is_worthwhile(space: Space, trials: int) -> bool:
    """Return whether a screening is worth its forward passes before this many trials in the space."""
    return trials >= MIN_TRIALS and len(space) > trials and 1 in space.taps


def is_screened(store: Store, spec: "ProbeSpec", weights_digest: str) -> bool:
    """Return whether the database has a screening of these images with this network and seed."""
    return load_screening(store, spec.dataset.fingerprint, weights_digest, spec.seed) is not None


def prior_knowledge(
    store: Store, study: str, spec: "ProbeSpec", space: Space, weights_digest: str, plan: "Plan", warm: bool
) -> PriorKnowledge:
    """Return what is known of a study's task, apart from the study's own trials.

    plan: of the search, with the cache as it is now. warm: whether to use past tasks of the database and a screening;
    otherwise the past tasks are the published ones alone.
    """
    fingerprint, classes, images = spec.dataset.fingerprint, len(spec.dataset.classes), len(plan.demand.training)
    if not warm:
        return PriorKnowledge(classes, images, cached_passes=plan.cached_passes)
    screening = load_screening(store, fingerprint, weights_digest, spec.seed)
    tasks = [*PUBLISHED_TASKS, *past_tasks(store, fingerprint, weights_digest, exclude=study)]
    return PriorKnowledge(
        classes=classes,
        images=images,
        past_tasks=(*tasks, screening_task(screening)) if screening else tuple(tasks),
        start=start_settings(screening.best, space) if screening else (),
        cached_passes=plan.cached_passes,
    )


def start_settings(screened: Sequence[Setting], space: Space) -> tuple[Setting, ...]:
    """Return the first screened settings of the space with every head. Each head option has its middle value."""
    options = {
        head: tuple((choice.name, choice.values[len(choice.values) // 2]) for choice in HEAD_OPTIONS[head])
        for head in space.heads
    }
    by_setting = ([replace(setting, head=head, options=options[head]) for head in space.heads] for setting in screened)
    inside = [[setting for setting in settings if setting in space] for settings in by_setting]
    return tuple(setting for settings in [each for each in inside if each][:SCREENED_STARTS] for setting in settings)
