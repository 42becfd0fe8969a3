"""What a search starts from: past tasks, a screening of its own images, and what the cache holds."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import TYPE_CHECKING

from search.database.screenings import load_screening
from search.database.store import Store
from search.recommendation.past_tasks import past_tasks, screening_task
from search.recommendation.screen import screened
from search.surrogates.past_tasks import PUBLISHED, PriorKnowledge
from spaces import HEAD_OPTIONS, Setting, Space

if TYPE_CHECKING:
    from objectives.features.plan import Plan
    from objectives.probe import ProbeSpec

WORTH_SCREENING = 10
"""Trials: for fewer, the passes of a screening are better spent on them."""

PLACES = 3
"""Of a screening, with every head of the space."""


def is_screened_first(space: Space, trials: int) -> bool:
    """Return whether a screening is worth its forward passes before this many trials in the space."""
    return trials >= WORTH_SCREENING and len(space) > trials and 1 in space.taps


def screen_first(
    store: Store,
    spec: "ProbeSpec",
    space: Space,
    weights_digest: str,
    threads: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Screen the space, unless the database has a screening of these images with this network and seed."""
    if load_screening(store, spec.dataset.fingerprint, weights_digest, spec.seed) is None:
        screened(spec, space, weights_digest, store, threads, on_progress=on_progress)


def prior_knowledge(
    store: Store, study: str, spec: "ProbeSpec", space: Space, weights_digest: str, plan: "Plan", warm: bool
) -> PriorKnowledge:
    """All but what the study itself has found. plan: of the search, as the cache is now. warm: by past tasks and a
    screening too, not by the paper's findings alone."""
    fingerprint, classes, images = spec.dataset.fingerprint, len(spec.dataset.classes), len(plan.demand.training)
    if not warm:
        return PriorKnowledge(classes, images, cached=plan.cached_draws)
    screening = load_screening(store, fingerprint, weights_digest, spec.seed)
    past = [*PUBLISHED, *past_tasks(store, fingerprint, weights_digest, exclude=study)]
    return PriorKnowledge(
        classes=classes,
        images=images,
        past=(*past, screening_task(screening)) if screening else tuple(past),
        start=start_settings(screening.best[:PLACES], space) if screening else (),
        cached=plan.cached_draws,
    )


def start_settings(places: Sequence[Setting], space: Space) -> tuple[Setting, ...]:
    """Each place with every head of the space, whose options are the middle of what there is to choose from."""
    middles = {
        head: tuple((choice.name, choice.values[len(choice.values) // 2]) for choice in HEAD_OPTIONS[head])
        for head in space.heads
    }
    settings = (
        Setting(place.timestep, place.block, place.pool, head, place.draws, middles[head])
        for place, head in product(places, space.heads)
    )
    return tuple(setting for setting in settings if setting in space)
