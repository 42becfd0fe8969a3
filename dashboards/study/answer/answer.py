"""The answer of a study as one object. Every text, table, figure and file that names the answer takes it from here."""

from dataclasses import dataclass
from typing import Literal

from dashboards.selection.answer import Selection, answer_finalist, answer_setting, selection
from dashboards.statistics import paired_difference, unpaired_difference
from dashboards.study.answer.tradeoff import gmacs_of
from dashboards.study.tables import finalist_estimate, finalists, trial_estimate
from dashboards.tables import Estimate
from objectives.results import (
    ACCURACY,
    Baseline,
    ChoiceCoverage,
    Difference,
    Finalist,
    IntervalEstimate,
    Part,
    StudyResults,
    Trial,
)
from spaces import Setting

Rule = Literal["candidates", "finalists", "trials"]

RULES: dict[Rule, str] = {
    "candidates": "the cheapest, then the simplest, of the candidates within a quarter of a standard error of the best",
    "finalists": "the cheapest, then the simplest, of the finalists within a quarter of a standard error of the best",
    "trials": "the best trial on validation",
}
"""How an answer was chosen, in words."""


@dataclass(frozen=True, slots=True)
class BestTrial:
    """The trial with the best value on the validation images of the search, where its setting is not the answer.

    dropped: whether it was significantly worse on other splits. compared: whether it was compared there at all.
    """

    number: int
    setting: Setting
    validation: Estimate
    compared: bool
    dropped: bool


@dataclass(frozen=True, slots=True)
class MeasuredBaseline:
    """A trivial classifier beside the answer: a linear head on the kind of features that `words` name.

    test: its top-1 accuracy on the test images. difference: the accuracy of the answer minus that of the baseline, on
    the same test images; None if the answer was not tested.
    """

    words: str
    test: Estimate
    difference: Difference | None

    @property
    def beaten(self) -> bool | None:
        """Whether the answer is significantly better; None if this is not known."""
        return None if self.difference is None else self.difference.significant and self.difference.value > 0


@dataclass(frozen=True, slots=True)
class Answer:
    """The setting to use, how it was chosen, and how certain it is.

    rule: how it was chosen. "candidates": settings were compared on other splits. "finalists": several settings were
    tested, as in a study by cost. "trials": nothing was re-evaluated yet, so it is the best trial.

    validation, test: by the study's metric. trial: the number of its trial; None if the study no longer holds one.
    seeds: those of `validation`; empty for the seed of a trial. test: None if it was not tested. tied: the other
    candidates, or finalists, that do not differ significantly from the best on validation. finalists: all that were
    tested. candidates: all that were compared, this one included; 0 if none were. leads: whether it has the best mean
    of all that were compared. expected_loss: of the score, to the best of all settings tried. test_accuracy: top-1,
    whatever the metric. majority: as in StudyResults. best_trial: None where it is a trial of the answer. gmacs: the
    cost to classify an image; None if it is not known. coverage: as in StudyResults. baselines: trivial classifiers on
    the same images; none where they were not made.
    """

    setting: Setting
    rule: Rule
    trial: int | None
    validation: Estimate
    test: Estimate | None = None
    seeds: tuple[int, ...] = ()
    tied: tuple[Setting, ...] = ()
    finalists: int = 0
    candidates: int = 0
    leads: bool = True
    expected_loss: IntervalEstimate | None = None
    test_accuracy: Estimate | None = None
    majority: float | None = None
    best_trial: BestTrial | None = None
    gmacs: float | None = None
    coverage: tuple[ChoiceCoverage, ...] = ()
    baselines: tuple[MeasuredBaseline, ...] = ()

    @property
    def is_finalist(self) -> bool:
        """Whether it was re-evaluated over seeds and tested. The value of a best trial alone is biased upwards."""
        return self.test is not None

    @property
    def better_than_chance(self) -> bool | None:
        """Whether the interval of the test accuracy lies above the share of the most frequent class.

        None where one of the two is not known.
        """
        if self.test_accuracy is None or self.majority is None:
            return None
        return self.test_accuracy.low > self.majority


def study_answer(study: StudyResults) -> Answer | None:
    """Return the answer of a study; None if no trial is complete and nothing was re-evaluated."""
    setting = answer_setting(study)
    if setting is None:
        return None
    chosen, tested = selection(study), answer_finalist(study)
    trial = next((trial for trial in study.complete if trial.setting == setting), None)
    return Answer(
        setting=setting,
        rule="candidates" if chosen else "finalists" if tested else "trials",
        trial=trial.number if trial else None,
        validation=_validation(study, chosen, tested, trial),
        test=_mean(tested, "test", study) if tested else None,
        seeds=tuple(sorted(one.seed for one in tested.finals)) if tested else chosen.answer.seeds if chosen else (),
        tied=chosen.tied if chosen else tuple(row.setting for row in finalists(study)[1:] if row.tied),
        finalists=len(study.finalists) if tested else 0,
        candidates=len(chosen.candidates) if chosen else 0,
        leads=setting == (chosen.leader if chosen else study.finalists[0].setting if tested else setting),
        expected_loss=chosen.expected_loss if chosen else None,
        test_accuracy=finalist_estimate(tested, "test", ACCURACY) if tested else None,
        majority=study.majority,
        best_trial=_best_trial(study, setting, chosen),
        gmacs=gmacs_of(study, setting),
        coverage=study.coverage,
        baselines=tuple(_baseline(baseline, tested) for baseline in study.baselines),
    )


def _baseline(baseline: Baseline, tested: Finalist | None) -> MeasuredBaseline:
    accuracy = Estimate.from_accuracy(baseline.test)
    words = f"block {baseline.setting.block} (first of the space)" if baseline.setting else "raw pixels"
    return MeasuredBaseline(words, accuracy, _difference(tested, baseline) if tested else None)


def _difference(tested: Finalist, baseline: Baseline) -> Difference:
    """Compare the accuracies on test images: image by image where each was kept."""
    masks = [final.test_correct_mask for final in tested.finals if final.test_correct_mask is not None]
    if len(masks) == len(tested.finals) and baseline.test_correct_mask is not None:
        return paired_difference(masks, [baseline.test_correct_mask]).difference
    ours = IntervalEstimate(tested.test, *tested.test_interval)
    return unpaired_difference(ours, IntervalEstimate(baseline.test.value, *baseline.test.interval()))


def _validation(
    study: StudyResults, chosen: Selection | None, tested: Finalist | None, trial: Trial | None
) -> Estimate:
    """Return the mean of the answer over the seeds that tested it, or else compared it; or the value of its trial."""
    if tested is not None:
        return _mean(tested, "validation", study)
    if chosen is not None:
        return chosen.answer.validation
    estimate = trial_estimate(trial, study.metric) if trial else None
    if estimate is None:
        raise ValueError(f"the answer of study {study.name} has no validation {study.metric.label}")
    return estimate


def _best_trial(study: StudyResults, answer: Setting, chosen: Selection | None) -> BestTrial | None:
    if not study.complete or study.complete[0].setting == answer:
        return None
    trial = study.complete[0]
    estimate = trial_estimate(trial, study.metric)
    if estimate is None:
        return None
    compared = {candidate.setting: candidate for candidate in chosen.candidates} if chosen else {}
    candidate = compared.get(trial.setting)
    tested = {finalist.setting for finalist in study.finalists}
    return BestTrial(
        trial.number,
        trial.setting,
        estimate,
        compared=candidate is not None or (not chosen and trial.setting in tested),
        dropped=candidate is not None and candidate.dropped is not None,
    )


def _mean(finalist: Finalist, part: Part, study: StudyResults) -> Estimate:
    """Return a finalist's mean by the study's metric, which every final of the study has kept."""
    estimate = finalist_estimate(finalist, part, study.metric)
    if estimate is None:
        raise ValueError(f"the finalist {finalist.setting} has no {part} {study.metric.label}")
    return estimate
