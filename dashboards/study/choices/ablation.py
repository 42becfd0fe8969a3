"""The table of an ablation: the accuracy of every block at every timestep, as papers print it."""

from collections.abc import Mapping
from dataclasses import dataclass

from dashboards.study.published import BACKBONE, TABLES
from dashboards.study.tables import trial_estimate
from dashboards.tables import Estimate, ascending
from objectives.results import ACCURACY, StudyResults
from spaces import Setting

PUBLISHED_HEAD = "linear"


@dataclass(frozen=True)
class Ablation:
    """Every block of the space at every timestep, at one pool size, head and number of draws.

    cells: (block, timestep) → the estimate of its trial. published: (block, timestep) → what was published for the same
    network, dataset, pool size and head, in [0, 1], on the test split.
    """

    blocks: tuple[int, ...]
    timesteps: tuple[int | None, ...]
    pool: int
    head: str
    draws: int
    cells: Mapping[tuple[int, int | None], Estimate]
    published: Mapping[tuple[int, int | None], float]

    @property
    def best(self) -> tuple[int, int | None]:
        """The (block, timestep) of the best trial."""
        return max(self.cells, key=lambda pair: self.cells[pair].score)


def ablations(study: StudyResults) -> tuple[Ablation, ...]:
    """The ablations that the study completes, smallest pool size first; none without at least two blocks.

    A study has one for each pool size, head without options and number of draws at which every block of the space that
    allows the pool size was tried at every timestep.
    """
    space = study.space
    if space is None:
        return ()
    trials = {trial.setting: trial for trial in study.complete if not trial.setting.options}
    found = []
    for pool in sorted(space.pools):
        blocks = tuple(sorted(block for block in space.blocks if pool in space.pools_at(block)))
        for head in space.heads:
            for draws in space.draws:
                cells = {
                    (block, timestep): estimate
                    for block in blocks
                    for timestep in space.timesteps
                    if (trial := trials.get(Setting(timestep, block, pool, head, draws)))
                    and (estimate := trial_estimate(trial, study.metric))
                }
                if len(blocks) > 1 and len(cells) == len(blocks) * len(space.timesteps):
                    published = _published(study, pool, head)
                    found.append(Ablation(blocks, ascending(space.timesteps), pool, head, draws, cells, published))
    return tuple(found)


def _published(study: StudyResults, pool: int, head: str) -> dict[tuple[int, int | None], float]:
    if study.backbone != BACKBONE or study.metric != ACCURACY or head != PUBLISHED_HEAD:
        return {}
    table = TABLES.get(study.dataset, {})
    return {(block, timestep): accuracy / 100 for (timestep, block, p), accuracy in table.items() if p == pool}
