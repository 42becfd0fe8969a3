"""Tables of published results for a study's dataset and network, beside the study's own."""

from collections.abc import Mapping
from dataclasses import dataclass

from dashboards.study.tables import finalist_estimate, trial_estimate
from dashboards.tables import Estimate
from objectives import published_results
from objectives.results import ACCURACY, StudyResults, Trial

BACKBONE = "adm-256"
FEWEST_RANKED = 5
TABLES = {"cub": published_results.CUB, "imagenet": published_results.IMAGENET}
LATER = {**published_results.LATER_FINE_GRAINED, "imagenet": published_results.LATER_IMAGENET}


@dataclass(frozen=True, slots=True)
class PublishedCell:
    """A linear head on one block, timestep and pool size.

    accuracy: published, on the test split, in [0, 1]. ours: the study's best such trial on validation; None if there is
    none.
    """

    timestep: int
    block: int
    pool: int
    accuracy: float
    ours: Estimate | None


@dataclass(frozen=True, slots=True)
class PublishedHead:
    """A head, or a method, with its published accuracy on the test split, in [0, 1].

    ours: the best finalist with that head on the test split, or the best trial on validation; None if there is neither.
    tested: whether `ours` is on the test split.
    """

    head: str
    source: str
    accuracy: float
    ours: Estimate | None
    tested: bool


@dataclass(frozen=True, slots=True)
class Published:
    """cells: the best published first. heads: in the published order."""

    cells: tuple[PublishedCell, ...]
    heads: tuple[PublishedHead, ...]

    @property
    def rank_correlation(self) -> float | None:
        """Spearman's, in [-1, 1], of published and own accuracies of the same settings; None if they are too few."""
        from scipy.stats import spearmanr

        pairs = [(cell.accuracy, cell.ours.value) for cell in self.cells if cell.ours]
        if len(pairs) < FEWEST_RANKED or any(len(set(values)) == 1 for values in zip(*pairs, strict=True)):
            return None
        return float(spearmanr(*zip(*pairs, strict=True)).statistic)


def published(study: StudyResults) -> Published | None:
    """None if nothing was published about this network and dataset."""
    table, heads = TABLES.get(study.dataset, {}), published_results.FINE_GRAINED.get(study.dataset, {})
    if study.backbone != BACKBONE or not (table or heads):
        return None
    later = LATER.get(study.dataset, {})
    cells = [
        PublishedCell(*features, accuracy / 100, _best_trial(study, *features)) for features, accuracy in table.items()
    ]
    return Published(
        cells=tuple(sorted(cells, key=lambda cell: -cell.accuracy)),
        heads=(*_heads(study, heads, published_results.SOURCE), *_heads(study, later, published_results.LATER)),
    )


def _best_trial(study: StudyResults, timestep: int, block: int, pool: int) -> Estimate | None:
    def matches(trial: Trial) -> bool:
        setting = trial.setting
        choices = (setting.timestep, setting.block, setting.pool)
        return choices == (timestep, block, pool) and setting.head == "linear" and not setting.further

    trial = next(filter(matches, study.complete), None)
    return trial_estimate(trial, ACCURACY) if trial else None


def _heads(study: StudyResults, accuracies: Mapping[str, float], source: str) -> list[PublishedHead]:
    rows = []
    for head, accuracy in accuracies.items():
        finalist = next((finalist for finalist in study.finalists if finalist.setting.head == head), None)
        trial = next((trial for trial in study.complete if trial.setting.head == head), None)
        ours = None
        if finalist is not None:
            ours = finalist_estimate(finalist, "test", ACCURACY)
        elif trial is not None:
            ours = trial_estimate(trial, ACCURACY)
        rows.append(PublishedHead(head, source, accuracy / 100, ours, finalist is not None))
    return rows
