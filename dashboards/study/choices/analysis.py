"""Holds what a report shows beside the study itself: the results of models, and the pages that belong to it."""

from dataclasses import dataclass

from dashboards.study.choices.tables import Importance
from dashboards.tables import ExpectedCells


@dataclass(frozen=True)
class Analysis:
    """The results of `search.reports.analysis`, which a report shows.

    importances: of the study's choices; empty if there are too few trials. expected: what a model expects of every
    block and timestep; None if it cannot be told. classifier_page: where the page of the exported classifier lies,
    relative to the report; None if there is none.
    """

    importances: tuple[Importance, ...] = ()
    expected: ExpectedCells | None = None
    classifier_page: str | None = None


NO_ANALYSIS = Analysis()
