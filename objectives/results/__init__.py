"""The plain results that every room above speaks in. Importing them loads neither torch nor numpy."""

from objectives.results.metrics import (
    ACCURACY,
    METRICS,
    OPTIMISED,
    Accuracy,
    CorrectMask,
    Measured,
    Metric,
    Part,
    Scores,
)
from objectives.results.reports import GMACS, Confusion, Epoch, Evaluation, Extracted, Final, Report, Rung
from objectives.results.study import Finalist, Picture, StudyResults, Trial, TrialState

__all__ = [
    "ACCURACY",
    "GMACS",
    "METRICS",
    "OPTIMISED",
    "Accuracy",
    "Confusion",
    "CorrectMask",
    "Epoch",
    "Evaluation",
    "Extracted",
    "Final",
    "Finalist",
    "Measured",
    "Metric",
    "Part",
    "Picture",
    "Report",
    "Rung",
    "Scores",
    "StudyResults",
    "Trial",
    "TrialState",
]
