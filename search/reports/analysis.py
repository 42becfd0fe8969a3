"""Computes what the report of a study needs of models: importances, and what is expected of every cell."""

from dashboards.study.choices.analysis import Analysis
from objectives.results import StudyResults
from search.reports.evidence.expectation import expected_cells
from search.reports.evidence.importances import importances


def analysis(study: StudyResults) -> Analysis:
    return Analysis(importances(study), expected_cells(study))
