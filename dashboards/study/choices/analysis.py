"""What a report shows beside the study itself: what models compute from it, and which pages belong to it."""

from dataclasses import dataclass

from dashboards.study.choices.tables import Importance
from dashboards.tables import ExpectedCells


@dataclass(frozen=True)
class Analysis:
    """What `search.reports.analysis` computes for a report.

    importances: of the study's choices; empty if there are too few trials. expected: what a model expects of every
    block and timestep; None if it cannot be told. classifier_page: where the page of the exported classifier lies,
    relative to the report; None if there is none.
    """

    importances: tuple[Importance, ...] = ()
    expected: ExpectedCells | None = None
    classifier_page: str | None = None


NO_ANALYSIS = Analysis()
