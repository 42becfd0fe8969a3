"""Plain results, in which every room above exchanges data. Importing them loads neither torch nor numpy."""

from objectives.results.baselines import BASELINE_KINDS, Baseline, BaselineKind
from objectives.results.coverage import ChoiceCoverage
from objectives.results.metrics import (
    ACCURACY,
    METRICS,
    SELECTION_METRICS,
    Accuracy,
    CorrectMask,
    Difference,
    IntervalEstimate,
    Metric,
    Part,
    Scores,
)
from objectives.results.reports import (
    GMACS,
    Confusion,
    Epoch,
    Evaluation,
    Extracted,
    Final,
    ImageScores,
    Reevaluation,
    Report,
    Rung,
)
from objectives.results.screening import (
    ComparedSetting,
    PastTaskWeight,
    Scored,
    ScreenedPart,
    ScreenedSetting,
    ScreeningResults,
)
from objectives.results.similarity import DrawSimilarity, Representation, Similarity
from objectives.results.study import Finalist, Picture, StudyResults, Trial, TrialState

__all__ = [
    "ACCURACY",
    "BASELINE_KINDS",
    "GMACS",
    "METRICS",
    "SELECTION_METRICS",
    "Accuracy",
    "Baseline",
    "BaselineKind",
    "ChoiceCoverage",
    "ComparedSetting",
    "Confusion",
    "CorrectMask",
    "Difference",
    "DrawSimilarity",
    "Epoch",
    "Evaluation",
    "Extracted",
    "Final",
    "Finalist",
    "ImageScores",
    "IntervalEstimate",
    "Metric",
    "Part",
    "PastTaskWeight",
    "Picture",
    "Reevaluation",
    "Report",
    "Representation",
    "Rung",
    "Scored",
    "Scores",
    "ScreenedPart",
    "ScreenedSetting",
    "ScreeningResults",
    "Similarity",
    "StudyResults",
    "Trial",
    "TrialState",
]
