"""Tables of what was screened, by block, timestep and pooling, and the paired difference of two screened settings."""

from collections.abc import Callable

from dashboards.statistics import paired_difference
from dashboards.tables import BlockByTimestep, Cell, Estimate, Group, Key, ascending, grouped
from objectives.results import CorrectMask, Difference, ScreenedSetting, ScreeningResults
from spaces import Architecture, Setting, Space

MEASURED = "leave-one-out"


def estimate(recommendation: ScreeningResults, score: ScreenedSetting) -> Estimate:
    """A setting's accuracy, with an interval wide enough for all screened settings at once (Bonferroni)."""
    return Estimate(score.accuracy.value, *recommendation.interval_of(score), score.accuracy.total)


def expected(recommendation: ScreeningResults) -> Estimate:
    """The accuracy to expect of the recommended setting, as by `ScreeningResults.expected`."""
    estimate = recommendation.expected
    return Estimate(estimate.value, estimate.low, estimate.high, recommendation.images)


def is_extrapolated(recommendation: ScreeningResults) -> bool:
    """Whether the accuracy to expect is more than what was measured."""
    return recommendation.on_half is not None and recommendation.better_than_chance


def accuracy_loss(score: ScreenedSetting, reference: ScreenedSetting, *, comparisons: int = 1) -> Difference:
    """The accuracy of the reference minus that of a setting, on the images that both were screened on.

    comparisons: as in `dashboards.statistics.paired_difference`.
    """
    images = min(len(score.correct), len(reference.correct))
    return paired_difference([_mask(reference, images)], [_mask(score, images)], comparisons=comparisons).difference


def share(setting: Setting, architecture: Architecture) -> float:
    """The cost of a forward pass up to the setting's block, as a share of one through the whole network."""
    return architecture.block(setting.block).cumulative_gmacs / architecture.blocks[-1].cumulative_gmacs


def block_by_timestep(
    recommendation: ScreeningResults, architecture: Architecture, space: Space | None = None
) -> BlockByTimestep:
    """The most accurate pooling of each block and timestep. `best` is the cell of the recommended setting.

    space: its blocks and timesteps have their places, screened or not; None for all blocks of the network.
    """
    groups = _best_first(recommendation, lambda score: (score.setting.block, score.setting.timestep))
    cells = {
        (number, timestep): Cell(
            architecture.block(number),
            timestep,
            len(scores),
            None,
            scores[0].setting,
            estimate(recommendation, scores[0]),
        )
        for (number, timestep), scores in groups.items()
    }
    chosen = recommendation.best.setting
    best = cells[chosen.block, chosen.timestep] if recommendation.better_than_chance else None
    numbers = sorted(
        {*(space.blocks if space else range(1, len(architecture.blocks) + 1)), *(block for block, _ in cells)}
    )
    timesteps = ascending([*(space.timesteps if space else ()), *(timestep for _, timestep in cells)])
    blocks = tuple(architecture.block(number) for number in numbers)
    return BlockByTimestep(blocks, timesteps, cells, best, MEASURED, empty_word="not screened")


def effective_ranks(recommendation: ScreeningResults) -> dict[tuple[int, int | None], float]:
    """The effective rank of each block and timestep at the recommended pool size; empty if any is not known."""
    pool = recommendation.best.setting.pool
    scores = [score for score in recommendation.comparable if score.setting.pool == pool]
    ranks = {(score.setting.block, score.setting.timestep): score.effective_rank for score in scores}
    known = {pair: rank for pair, rank in ranks.items() if rank is not None}
    return known if len(known) == len(ranks) else {}


def pooling_groups(recommendation: ScreeningResults) -> tuple[Group, ...]:
    """One group for each pool size, smallest first; its name is the size."""
    groups = _best_first(recommendation, lambda score: score.setting.pool)
    return tuple(
        Group(
            str(pool),
            scores[0].setting,
            estimate(recommendation, scores[0]),
            tuple(score.accuracy.value for score in scores),
        )
        for pool, scores in sorted(groups.items())
    )


def best_of_pools(recommendation: ScreeningResults) -> tuple[ScreenedSetting, ...]:
    """The most accurate setting of each pool size, the most accurate first."""
    return tuple(scores[0] for scores in _best_first(recommendation, lambda score: score.setting.pool).values())


def ranked(recommendation: ScreeningResults, top: int) -> tuple[ScreenedSetting, ...]:
    """The first settings by number of images, then by error. Only the better settings were screened on more images."""
    return tuple(sorted(recommendation.screened, key=lambda score: (-len(score.correct), score.error))[:top])


def _best_first(
    recommendation: ScreeningResults, key: Callable[[ScreenedSetting], Key]
) -> dict[Key, list[ScreenedSetting]]:
    """The comparable scores by key; groups and scores come most accurate first, and at equal accuracy least error."""
    return grouped(sorted(recommendation.comparable, key=lambda score: (-score.accuracy.value, score.error)), key)


def _mask(score: ScreenedSetting, images: int) -> CorrectMask:
    return CorrectMask(images, sum(1 << image for image, right in enumerate(score.correct[:images]) if right))
