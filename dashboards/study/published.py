"""What has been published of a study's dataset and network, beside what the study found: as `summaries`."""

from collections.abc import Mapping
from dataclasses import dataclass

from dashboards.study.tables import Estimate, finalist_estimate, trial_estimate
from objectives import published_results as paper
from objectives.results import ACCURACY, StudyResults, Trial

BACKBONE = "adm-256"
FEWEST_RANKED = 5
TABLES = {"cub": paper.CUB, "imagenet": paper.IMAGENET}


@dataclass(frozen=True, slots=True)
class PublishedCell:
    """A linear head at one place: its published accuracy on the test split, in [0, 1], and of the study's trials there
    the best on validation, None where there is none."""

    timestep: int
    block: int
    pool: int
    accuracy: float
    ours: Estimate | None


@dataclass(frozen=True, slots=True)
class PublishedHead:
    """A head, or a method, with its published accuracy on the test split, in [0, 1].

    ours: of the best finalist with that head on the test split, else of the best trial on validation, which `tested`
    tells apart; None where there is neither.
    """

    head: str
    source: str
    accuracy: float
    ours: Estimate | None
    tested: bool


@dataclass(frozen=True, slots=True)
class Published:
    """cells: the best published first. heads: as they were published."""

    cells: tuple[PublishedCell, ...]
    heads: tuple[PublishedHead, ...]

    @property
    def rank_correlation(self) -> float | None:
        """Spearman's, in [-1, 1], of what was published and what was found at the same places; None of too few."""
        from scipy.stats import spearmanr

        pairs = [(cell.accuracy, cell.ours.value) for cell in self.cells if cell.ours]
        if len(pairs) < FEWEST_RANKED or any(len(set(values)) == 1 for values in zip(*pairs, strict=True)):
            return None
        return float(spearmanr(*zip(*pairs, strict=True)).statistic)


def published(study: StudyResults) -> Published | None:
    """None where nothing was: of other networks and datasets."""
    table, heads = TABLES.get(study.dataset, {}), paper.FINE_GRAINED.get(study.dataset, {})
    if study.backbone != BACKBONE or not (table or heads):
        return None
    later = paper.LATER_FINE_GRAINED.get(study.dataset, {})
    cells = [PublishedCell(*place, accuracy / 100, _at(study, *place)) for place, accuracy in table.items()]
    return Published(
        cells=tuple(sorted(cells, key=lambda cell: -cell.accuracy)),
        heads=(*_heads(study, heads, paper.SOURCE), *_heads(study, later, paper.LATER)),
    )


def _at(study: StudyResults, timestep: int, block: int, pool: int) -> Estimate | None:
    def there(trial: Trial) -> bool:
        setting = trial.setting
        place = (setting.timestep, setting.block, setting.pool)
        return place == (timestep, block, pool) and setting.head == "linear" and not setting.further

    found = next(filter(there, study.complete), None)
    return trial_estimate(found, ACCURACY) if found else None


def _heads(study: StudyResults, accuracies: Mapping[str, float], source: str) -> list[PublishedHead]:
    rows = []
    for head, accuracy in accuracies.items():
        finalist = next((each for each in study.finalists if each.setting.head == head), None)
        trial = next((each for each in study.complete if each.setting.head == head), None)
        ours = None
        if finalist is not None:
            ours = finalist_estimate(finalist, "test", ACCURACY)
        elif trial is not None:
            ours = trial_estimate(trial, ACCURACY)
        rows.append(PublishedHead(head, source, accuracy / 100, ours, finalist is not None))
    return rows
