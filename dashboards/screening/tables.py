"""What was screened, by block, timestep and pooling, all on the same images: tables as those of `summaries`."""

from collections import defaultdict
from collections.abc import Callable

from dashboards.study.tables import BlockByTimestep, Cell, Estimate, Group, Key, rising
from objectives.results import Recommendation, ScreenedSetting
from spaces import Architecture, Setting

MEASURED = "leave-one-out"


def estimate(found: Recommendation, score: ScreenedSetting) -> Estimate:
    """Its accuracy, by an interval that allows for all that were screened: whoever looks, looks for the best."""
    return Estimate(score.accuracy.value, *found.interval_of(score), score.accuracy.total)


def share(setting: Setting, architecture: Architecture) -> float:
    """Of a whole pass, what one to its block takes."""
    return architecture.block(setting.block).cumulative_gmacs / architecture.blocks[-1].cumulative_gmacs


def by_block_and_timestep(found: Recommendation, architecture: Architecture) -> BlockByTimestep:
    """Of each the pooling of most accuracy. Its best is the cell of the recommended setting, if there is one."""
    groups = _grouped(found, lambda score: (score.setting.block, score.setting.timestep))
    cells = {
        (number, timestep): Cell(
            architecture.block(number),
            timestep,
            len(scores),
            None,
            scores[0].setting,
            estimate(found, scores[0]),
        )
        for (number, timestep), scores in groups.items()
    }
    chosen = found.best.setting
    best = cells[chosen.block, chosen.timestep] if found.better_than_chance else None
    return BlockByTimestep(architecture.blocks, rising(timestep for _, timestep in cells), cells, best, MEASURED)


def by_pooling(found: Recommendation) -> tuple[Group, ...]:
    """One group for each pool size, smallest first; its name is the size."""
    groups = _grouped(found, lambda score: score.setting.pool)
    return tuple(
        Group(
            str(pool),
            scores[0].setting,
            estimate(found, scores[0]),
            tuple(score.accuracy.value for score in scores),
        )
        for pool, scores in sorted(groups.items())
    )


def best_of_pools(found: Recommendation) -> tuple[ScreenedSetting, ...]:
    """For each pool size the setting of most accuracy; the most accurate of them first."""
    return tuple(scores[0] for scores in _grouped(found, lambda score: score.setting.pool).values())


def leaderboard(found: Recommendation, top: int) -> tuple[ScreenedSetting, ...]:
    """Those that stayed in the race first, for it is they that were screened on the most images; of these the least
    error first."""
    return tuple(sorted(found.screened, key=lambda score: (-len(score.correct), score.error))[:top])


def _grouped(found: Recommendation, key: Callable[[ScreenedSetting], Key]) -> dict[Key, list[ScreenedSetting]]:
    """By key, in each list and among the lists the most accuracy first; of equals the least error."""
    groups: dict[Key, list[ScreenedSetting]] = defaultdict(list)
    for score in sorted(found.comparable, key=lambda score: (-score.accuracy.value, score.error)):
        groups[key(score)].append(score)
    return groups
