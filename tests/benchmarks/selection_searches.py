"""The searches that `selection.py` compares with screening, and the paper's own table for them to search in."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from optuna.trial import FrozenTrial, create_trial

from objectives import published_results as paper
from search.database.optuna_storage.parameters import distributions, to_params
from search.samplers.catalog import sampler_named
from search.surrogates.past_tasks import PriorKnowledge
from spaces import PRESETS, Setting, Space
from spaces.presets import _by_relative_depth, _by_sigma
from tests.support.architectures import ADM

PASSES_PER_SECOND = 350
"""The bundled network on one core: "again" in docs/benchmarks.md, Extraction."""

TRIALS = 60
ROUNDS, PAPER_ROUNDS = 20, 100
"""Searches of each strategy, by task and in the paper's table."""

PAPER_IMAGES = 5994

PAPER_BEST = (19, 150, 4)
"""Block, timestep and pool of the best CUB accuracy in arXiv 2307.08702."""

See = Callable[[Setting], float]


@dataclass(frozen=True)
class Work:
    """images: that a pass at a new timestep is made of. fit_seconds: of a trial whose features are cached. known: what
    there is to go by; None where the strategy is to know nothing."""

    images: int
    fit_seconds: float
    known: PriorKnowledge | None = None


Strategy = Callable[[Space, See, int, Work], Iterator[Setting]]
"""Yields the settings to try, in order, from the space, the scores it sees, a seed, and the costs of trials."""


def sampled(name: str) -> Strategy:
    def tried(space: Space, see: See, seed: int, work: Work) -> Iterator[Setting]:
        proposer, trials, taken = sampler_named(name, seed, work.known), list[FrozenTrial](), set[Setting]()
        made = {timestep for timestep, _ in work.known.cached_passes} if work.known else set[int | None]()
        while len(trials) < TRIALS and (setting := proposer.propose(trials, space, taken)):
            yield setting
            kinds = distributions(space, setting)
            passes = 0 if setting.timestep in made else work.images
            seconds = {"extract": passes / PASSES_PER_SECOND, "fit": work.fit_seconds}
            trial = create_trial(
                value=see(setting),
                params=to_params(setting),
                distributions=kinds,
                user_attrs={"seconds": seconds, "passes": {"made": passes, "needed": work.images}},
            )
            trial.number = len(trials)
            trials.append(trial)
            taken.add(setting)
            made.add(setting.timestep)

    return tried


def one_dimension_at_a_time(space: Space, see: See, seed: int, work: Work) -> Iterator[Setting]:
    """Begin at a random setting. Try every block, then every pool, then every timestep, until nothing is better."""
    best, before = space.sample(random.Random(seed)), None
    while best != before:
        before = best
        axes: Mapping[str, Sequence[Any]] = {"block": space.blocks, "pool": space.pools, "timestep": space.timesteps}
        for name, values in axes.items():
            line = [setting for value in values if (setting := replace(best, **{name: value})) in space]
            yield from line
            best = max(line, key=see)


STRATEGIES: Mapping[str, tuple[Strategy, int]] = {
    "random": (sampled("random"), 1),
    "TPE": (sampled("tpe"), 1),
    "TPE, 3 folds": (sampled("tpe"), 3),
    "GP": (sampled("gp"), 1),
    "one dimension at a time": (one_dimension_at_a_time, 1),
    "cost-aware": (sampled("cost-aware"), 1),
    "cost-aware, 3 folds": (sampled("cost-aware"), 3),
}
"""Name → (strategy, number of folds that a trial fits and sees)."""


def papers_setting(space: Space) -> Setting:
    """Carried to the network as `spaces.presets` does, and to the nearest timestep of the space."""
    block, timestep, pool = PAPER_BEST
    architecture = space.architecture
    wanted = architecture.log_snr(_by_sigma(architecture, timestep))
    nearest = min(space.timesteps, key=lambda t: abs(architecture.log_snr(t or 0) - wanted))
    return Setting(nearest, _by_relative_depth(architecture, block), pool, "linear")


def trials_to_the_papers_best() -> dict[str, float]:
    """The median over `PAPER_ROUNDS` searches of the paper's 48 settings on CUB, with nothing known before, as that
    would be this very table."""
    wanted = PRESETS["paper"](ADM)
    timesteps, blocks, _ = (sorted(set(values)) for values in zip(*paper.CUB, strict=True))
    space = wanted.narrow(timesteps=timesteps, blocks=blocks, heads=["linear"])
    best = max(paper.CUB.values())

    def see(setting: Setting) -> float:
        return paper.CUB[setting.timestep or 0, setting.block, setting.pool]

    def trials(name: str, seed: int) -> int:
        tried = STRATEGIES[name][0](space, see, seed, Work(PAPER_IMAGES, 0.1, PriorKnowledge(past_tasks=())))
        return next(number for number, each in enumerate(tried, start=1) if see(each) == best)

    return {
        name: median(trials(name, seed) for seed in range(PAPER_ROUNDS))
        for name in ("random", "TPE", "GP", "cost-aware")
    }
