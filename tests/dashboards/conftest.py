"""Studies made by hand, and a real browser to look at pages with."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from dashboards.cross_dataset.tables import Task
from dashboards.screening.tables import accuracy_loss
from dashboards.statistics import optimism
from objectives.results import (
    GMACS,
    Accuracy,
    ComparedSetting,
    Final,
    PastTaskWeight,
    ScreenedSetting,
    ScreeningResults,
    StudyResults,
    Trial,
)
from spaces import Architecture, Block, Setting, Space
from spaces.blocks import Part

StudyMaker = Callable[..., StudyResults]
RecommendationMaker = Callable[..., ScreeningResults]
TIMESTEPS = (5, 19, 44, 90, 160, 260, 400, 600)
CHEAPER = (0.75, 0.5, 0.25)
HEADS: dict[str, tuple[tuple[str, int | float], ...]] = {
    "linear": (),
    "mlp": (("width", 128), ("learning_rate", 1e-3), ("weight_decay", 0.1)),
}


def make_architecture() -> Architecture:
    """25 blocks of a 32-pixel U-Net: 12 down, the bottleneck, 12 up; the linear schedule of 1,000 steps."""
    blocks = []
    for number in range(1, 26):
        depth = min(number - 1, 25 - number) // 4
        part: Part = "encoder" if number < 13 else "bottleneck" if number == 13 else "decoder"
        side = 4 if number == 13 else 32 >> depth
        blocks.append(Block(number, f"block.{number}", part, 64 << depth, side, 0.01, 0.01 * number))
    alphas, alpha = [], 1.0
    for t in range(1000):
        alpha *= 1 - (1e-4 + (0.02 - 1e-4) * t / 999)
        alphas.append(alpha)
    return Architecture("unet32", 32, tuple(blocks), tuple(alphas))


def _study(trials: tuple[Trial, ...] = (), finals: tuple[Final, ...] = (), **changes: Any) -> StudyResults:
    facts: dict[str, Any] = {
        "name": "birds/unet32/default",
        "dataset": "birds",
        "backbone": "unet32",
        "architecture": make_architecture(),
        "preset": "default",
        "space_size": 2592,
        "classes": tuple(f"species {number}" for number in range(50)),
        "counts": {"train": 1200, "validation": 300, "test": 1389},
        "provenance": {"Seed": "0", "Command": "search run --dataset birds --trials 40", "torch": "2.13.0"},
        "wall_seconds": 171.4,
    }
    return StudyResults(trials=trials, finals=finals, **(facts | changes))


def _quality(setting: Setting) -> float:
    """A plausible accuracy: a ridge of blocks past the bottleneck, a plateau of timesteps, pool 2, a better mlp."""
    block = 1 - ((setting.block - 16) / 22) ** 2
    timestep = 1.0 if setting.timestep is None else 1 - ((TIMESTEPS.index(setting.timestep) - 2.4) / 7) ** 2
    pool = {1: 0.82, 2: 1.0, 4: 0.97}[setting.pool]
    return 0.62 * block * timestep * pool * (1.04 if setting.head == "mlp" else 1.0)


def _answers(chance: random.Random, total: int, probability: float) -> Accuracy:
    return Accuracy(sum(chance.random() < probability for _ in range(total)), total)


def _score(setting: Setting, images: int, quality: float) -> ScreenedSetting:
    """Some images are hard for every setting; the first are the same of however many."""
    hard, own = random.Random(0), random.Random(str(setting))
    errors = [max(1.25 - quality + hard.gauss(0, 0.3) + own.gauss(0, 0.1), 0.0) for _ in range(images)]
    return ScreenedSetting(setting, tuple(error < 0.75 for error in errors), tuple(errors), 1.0, 0.1)


def _recommendation(
    timesteps: tuple[int | None, ...] = (5, 44, 90, 260),
    blocks: Sequence[int] = range(6, 23),
    pools: tuple[int, ...] = (1, 2, 4),
    counts: tuple[int, int] = (150, 600),
    quality: Callable[[Setting], float] = _quality,
    chance: float = 0.02,
) -> ScreeningResults:
    """Make the results of a screening: all settings on few images, the best of one timestep on more."""
    settings = [Setting(t, block, pool, "ridge") for t in timesteps for block in blocks for pool in pools]
    scores = sorted((_score(each, counts[0], quality(each)) for each in settings), key=lambda score: score.error)
    timestep = scores[0].setting.timestep
    here = [score for score in scores if score.setting.timestep == timestep]
    low = [next((s for s in here if s.setting.block <= share * here[0].setting.block), here[0]) for share in CHEAPER]
    rivals = [score.setting for score in here if score in (*here[:8], *low)]
    best, *others = (_score(setting, counts[1], quality(setting)) for setting in rivals)

    def compared(score: ScreenedSetting) -> ComparedSetting:
        loss = accuracy_loss(score, best, comparisons=50)
        return ComparedSetting(score, score.setting.block / best.setting.block, loss)

    beside = tuple(map(compared, others))
    cheaper = [next((other for other in beside if other.cost <= share), None) for share in CHEAPER]
    first_of = {score.setting.timestep: score for score in reversed(scores) if score.setting.timestep != timestep}
    return ScreeningResults(
        best=best,
        compared=beside,
        cheaper=tuple(dict.fromkeys(other for other in cheaper if other is not None)),
        other_timesteps=tuple(map(compared, first_of.values())),
        screened=tuple({score.setting: score for score in (*scores, best, *others)}.values()),
        images=2000,
        passes=counts[0] * len(timesteps) + counts[1] - counts[0],
        measuring=counts[1] - counts[0],
        on_half=_score(best.setting, counts[1] // 2, quality(best.setting)) if counts[1] < 2000 else None,
        chance=chance,
        optimism=optimism([best, *others]),
        on_fewest_images=tuple(scores),
        past_tasks=(
            PastTaskWeight("<b>flowers</b>, screened", 0.93, 0.8),
            PastTaskWeight("ImageNet (arXiv 2307.08702)", 0.2, 0.2),
        ),
    )


def _realistic(count: int = 40, finalists: int = 3, seed: int = 0, **changes: Any) -> StudyResults:
    """A study of `count` trials as a run leaves it: nine in ten complete, some pruned, a few failed."""
    chance = random.Random(seed)
    trials: list[Trial] = []
    seen: set[tuple[int | None, int]] = set()
    for number in range(count):
        head = chance.choice(("linear", "mlp"))
        setting = Setting(
            chance.choice(TIMESTEPS), chance.randint(6, 22), chance.choice((1, 2, 4)), head, options=HEADS[head]
        )
        key = (setting.timestep, setting.block)
        needed = 1500
        made = 0 if key in seen or any(t == key[0] and b >= key[1] for t, b in seen) else needed
        seen.add(key)
        seconds = {"extract": made * 0.006, "read": 0.02 + 0.05 * chance.random(), "fit": 0.2 + chance.random()}
        accuracy = _answers(chance, 300, _quality(setting))
        if number % 20 == 7:
            reason = "OutOfMemoryError: 'unet' wanted 3.1 GiB" if number % 40 == 7 else "lost its worker"
            trials.append(Trial(number, "failed", setting, None, reason, 4.0 * number, {"extract": 1.5}, 250, needed))
        elif head == "mlp" and number % 5 == 4:
            reason = "accuracy 0.21 after epoch 4 is under the median"
            trials.append(Trial(number, "pruned", setting, None, reason, 4.0 * number, seconds, made, needed))
        else:
            costs = {GMACS: make_architecture().pass_gmacs(setting) + 1e-6 * setting.pool**2}
            trials.append(
                Trial(number, "complete", setting, accuracy, None, 4.0 * number, seconds, made, needed, costs)
            )
    best = _study(tuple(trials)).complete[:finalists]
    finals = tuple(
        Final(
            trial.setting,
            seed,
            _answers(chance, 300, _quality(trial.setting)),
            _answers(chance, 1389, _quality(trial.setting)),
            2.5,
            1389 if seed == 0 else 0,
            2889,
        )
        for trial in best
        for seed in (0, 1, 2)
    )
    return _study(tuple(trials), finals, **changes)


@pytest.fixture(scope="session")
def study() -> StudyMaker:
    """`study(trials, finals, **facts)`: a study of just these."""
    return _study


@pytest.fixture(scope="session")
def realistic() -> StudyMaker:
    """`realistic(count=40, finalists=3, **facts)`: a study as a run leaves it."""
    return _realistic


@pytest.fixture(scope="session")
def recommendation() -> RecommendationMaker:
    """`recommendation(timesteps, blocks, pools, counts, quality, chance)`: what screening of these comes to."""
    return _recommendation


@pytest.fixture(scope="session")
def make_task() -> Callable[..., Task]:
    """`make_task(label, *trials, **facts)`: a dataset with just these trials, in the default space of its network."""

    def made(label: str, *trials: Trial, **facts: Any) -> Task:
        study = _study(trials, **({"dataset": label} | facts))
        return Task(
            label, study, Space(study.architecture, TIMESTEPS, tuple(range(6, 23)), (1, 2, 4), ("linear", "mlp"))
        )

    return made
