"""What is computed from a study's trials by models that this floor does not import."""

from dataclasses import dataclass

from dashboards.study.choices import Importance
from dashboards.tables import ExpectedCells


@dataclass(frozen=True)
class Analysis:
    """What `search.reports.analysis` computes for a report.

    importances: of the study's choices; empty if there are too few trials. expected: what a model expects of every
    block and timestep; None if it cannot be told.
    """

    importances: tuple[Importance, ...] = ()
    expected: ExpectedCells | None = None


NO_ANALYSIS = Analysis()
