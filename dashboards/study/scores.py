"""The answer of a study by every metric, and what it confuses: tables as those of `summaries`."""

from dataclasses import dataclass

from dashboards.study.tables import Estimate, finalist_estimate, trial_estimate
from objectives.results import METRICS, Metric, Picture, StudyResults


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """The answer by one metric; None where it was not kept, or the test images were not read."""

    metric: Metric
    validation: Estimate | None
    test: Estimate | None


def scores(study: StudyResults) -> tuple[ScoreRow, ...]:
    """The answer by every metric there is of it: means over seeds of a finalist, else those of the best trial."""
    if study.finalists:
        best = study.finalists[0]
        rows = [
            ScoreRow(m, finalist_estimate(best, "validation", m), finalist_estimate(best, "test", m))
            for m in METRICS.values()
        ]
    elif study.complete:
        trial = study.complete[0]
        rows = [ScoreRow(m, trial_estimate(trial, m), None) for m in METRICS.values()]
    else:
        rows = []
    return tuple(row for row in rows if row.validation or row.test)


@dataclass(frozen=True, slots=True)
class ConfusionRow:
    """Names of two classes, and how many images of the first, of all seeds together, were taken for the second.

    mistaken: pictures of such images. typical: of an image that is of the second; None where none was kept.
    """

    true: str
    predicted: str
    images: int
    mistaken: tuple[Picture, ...] = ()
    typical: Picture | None = None


@dataclass(frozen=True, slots=True)
class Confusions:
    """Most frequent first. wrong: images of all seeds together that were taken for another class."""

    rows: tuple[ConfusionRow, ...]
    wrong: int
    seeds: int


def confusions(study: StudyResults, top: int = 10) -> Confusions | None:
    """What the best finalist takes for what on validation, where whoever reads it may act on it: the test images stay
    unseen. None where a final did not keep it, or nothing was wrong."""
    if not study.finalists:
        return None
    best = study.finalists[0]
    wrong = [final.validation.total - final.validation.correct for final in best.finals]
    if not any(wrong) or any(count and not final.confused for count, final in zip(wrong, best.finals, strict=True)):
        return None
    pictured = {picture.image: picture for picture in study.pictures}
    mistakes = {image for pair in best.confused for image in pair.examples}
    of_class = {picture.label: picture for picture in study.pictures[::-1] if picture.image not in mistakes}
    rows = (
        ConfusionRow(
            study.classes[pair.true],
            study.classes[pair.predicted],
            pair.count,
            tuple(pictured[image] for image in pair.examples if image in pictured),
            of_class.get(pair.predicted),
        )
        for pair in best.confused[:top]
    )
    return Confusions(tuple(rows), sum(wrong), len(wrong))
