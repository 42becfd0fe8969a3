"""Tables of the best setting by every metric, and of the classes that it confuses."""

from dataclasses import dataclass

from dashboards.selection.answer import answer_finalist
from dashboards.study.answer.answer import study_answer
from dashboards.study.tables import finalist_estimate, trial_estimate
from dashboards.tables import Estimate
from objectives.results import METRICS, Metric, Picture, StudyResults


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """The best setting by one metric. None: the value was not kept, or the test images were not read."""

    metric: Metric
    validation: Estimate | None
    test: Estimate | None


def scores(study: StudyResults) -> tuple[ScoreRow, ...]:
    """The best setting by every metric that was kept: a finalist's means over seeds, or the best trial's values."""
    best, chosen = answer_finalist(study), study_answer(study)
    if best is not None:
        rows = [
            ScoreRow(metric, finalist_estimate(best, "validation", metric), finalist_estimate(best, "test", metric))
            for metric in METRICS.values()
        ]
    elif study.complete:
        answers = (trial for trial in study.complete if chosen is not None and trial.setting == chosen.setting)
        trial = next(answers, study.complete[0])
        rows = [ScoreRow(metric, trial_estimate(trial, metric), None) for metric in METRICS.values()]
    else:
        rows = []
    return tuple(row for row in rows if row.validation or row.test)


@dataclass(frozen=True, slots=True)
class ConfusionRow:
    """The number of images of class `true` that were predicted as class `predicted`, summed over all seeds.

    true, predicted: names of classes. mistaken: pictures of such images. typical: a picture of an image whose class is
    `predicted`; None if none was kept.
    """

    true: str
    predicted: str
    images: int
    mistaken: tuple[Picture, ...] = ()
    typical: Picture | None = None


@dataclass(frozen=True, slots=True)
class Confusions:
    """The rows come most frequent first. wrong: how many images were misclassified, summed over all seeds."""

    rows: tuple[ConfusionRow, ...]
    wrong: int
    seeds: int


def confusions(study: StudyResults, top: int = 10) -> Confusions | None:
    """The classes that the best finalist confuses on validation; None if they were not kept, or nothing was wrong.

    Test images are not used: a reader may act on this table, and then test images would no longer be unseen.
    """
    best = answer_finalist(study)
    if best is None:
        return None
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
