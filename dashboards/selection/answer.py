"""The candidates of a study, and the answer among them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot

from dashboards.selection.elimination import AS_GOOD, Elimination, Rounds, eliminate, mask_scores, told_apart
from dashboards.selection.expected_loss import expected_loss
from dashboards.selection.remembering import remembered
from dashboards.statistics import Z
from dashboards.tables import Estimate
from objectives.results import (
    ACCURACY,
    Finalist,
    IntervalEstimate,
    Metric,
    Reevaluation,
    StudyResults,
    Trial,
)
from objectives.results.study import NO_DIFFERENCE, mean_over_seeds
from spaces import Architecture, Setting


@dataclass(frozen=True, slots=True)
class Candidate:
    """A setting that was compared with others on other splits than the search's.

    validation: the mean over its rounds. loss: of the score, to the leader, on the same images; 0 for the leader. Its
    interval is simultaneous over candidates and rounds.
    dropped: the round after which it was significantly worse than the leader; None if it is tied with it.
    """

    setting: Setting
    seeds: tuple[int, ...]
    validation: Estimate
    loss: IntervalEstimate
    dropped: int | None


@dataclass(frozen=True)
class Selection:
    """The choice among the candidates.

    candidates: the answer first, then the others by their score, at last those that were dropped. leader: the setting
    with the best score. rounds: how many are complete. expected_loss: of the answer, to the best of all settings that
    were tried; None where the answer has no trial any more.
    """

    candidates: tuple[Candidate, ...]
    leader: Setting
    rounds: int
    expected_loss: IntervalEstimate | None

    @property
    def answer(self) -> Candidate:
        """The cheapest setting among those that are as good as the leader, see `answer_of`."""
        return self.candidates[0]

    @property
    def tied(self) -> tuple[Setting, ...]:
        """The other candidates that are not significantly worse than the leader."""
        return tuple(candidate.setting for candidate in self.candidates[1:] if candidate.dropped is None)


def candidates_of(study: StudyResults, at_most: int, screened: Setting | None = None) -> list[Setting]:
    """Return the settings that validation cannot tell from the best, the best first.

    They are compared on the images of the trials, at the same confidence for all of them together. Trials of a study by
    another metric than the accuracy keep no score of each image: they are compared by their intervals. screened: the
    setting that a screening recommends. Its best trial with any head is a candidate too.
    """
    complete = study.complete
    if not complete:
        return []
    masks = {trial.number: trial.correct_mask for trial in complete}
    scores = {number: mask_scores(mask) for number, mask in masks.items() if mask is not None}
    if (
        study.metric == ACCURACY
        and len(scores) == len(complete)
        and len({len(images) for images in scores.values()}) == 1
    ):
        worse = set(told_apart(scores))
        tied = [trial for trial in complete if trial.number not in worse]
    else:
        tied = [
            trial
            for trial in complete
            if _estimate(trial, study.metric).tied_with(_estimate(complete[0], study.metric))
        ]
    chosen = tied[:at_most]
    same = next((trial for trial in complete if screened is not None and _reads_alike(trial.setting, screened)), None)
    if same is not None and same not in chosen:
        chosen = [*chosen[: max(at_most - 1, 1)], same]
    return [trial.setting for trial in chosen]


def elimination_of(study: StudyResults, candidates: Sequence[Setting] = ()) -> Elimination[Setting]:
    """Replay the rounds of a study. candidates: further ones, which may have no evaluation yet."""
    evaluations: defaultdict[Setting, dict[int, Reevaluation]] = defaultdict(dict)
    for reevaluation in study.reevaluations:
        evaluations[reevaluation.setting][reevaluation.seed] = reevaluation
    rounds: dict[Setting, Rounds] = {
        setting: {seed: one.image_scores for seed, one in by_seed.items()} for setting, by_seed in evaluations.items()
    }
    seeds = seeds_of(study)
    return eliminate(list(dict.fromkeys((*candidates, *rounds))), rounds, seeds)


def seeds_of(study: StudyResults) -> list[int]:
    """Return the seeds of the rounds: those after the study's own, as many as were made or as the last run allowed."""
    first = int(study.provenance.get("seed", 0)) + 1
    last = max((reevaluation.seed for reevaluation in study.reevaluations), default=0)
    return list(range(first, max(first + study.rounds, last + 1)))


def answer_of(study: StudyResults, elimination: Elimination[Setting]) -> Setting | None:
    """Return the answer among the candidates that remain; None if there is none.

    Of the settings whose loss to the leader is at most `AS_GOOD` standard errors, it is the cheapest at inference; of
    those that cost the same within `NO_DIFFERENCE`, the simplest.
    """
    if not elimination.remaining:
        return None
    losses = elimination.losses
    good = [setting for setting in elimination.remaining if setting not in losses or losses[setting].errors <= AS_GOOD]
    return _simplest(study, good)


def _simplest(study: StudyResults, good: list[Setting]) -> Setting:
    """Return the cheapest of settings that are equally good; of those that cost the same, the simplest."""
    costs = {trial.setting: trial.gmacs for trial in reversed(study.complete) if trial.gmacs is not None}
    least = min((costs[setting] for setting in good if setting in costs), default=None)
    if least is not None:
        good = [setting for setting in good if setting in costs and costs[setting] <= (1 + NO_DIFFERENCE) * least]
    return min(good, key=lambda setting: _complexity(setting, study.architecture))


@remembered
def selection(study: StudyResults) -> Selection | None:
    """Return the choice among the candidates; None for a study that compared none, as all before schema 0007."""
    elimination = elimination_of(study)
    answer = answer_of(study, elimination)
    if not elimination.rounds or answer is None:
        return None
    by_setting: defaultdict[Setting, list[Reevaluation]] = defaultdict(list)
    for reevaluation in study.reevaluations:
        by_setting[reevaluation.setting].append(reevaluation)
    others = [setting for setting in elimination.remaining if setting != answer]
    others += sorted(
        elimination.dropped, key=lambda setting: (-elimination.dropped[setting], elimination.losses[setting].value)
    )
    return Selection(
        tuple(
            Candidate(
                setting,
                tuple(sorted(one.seed for one in by_setting[setting])),
                _mean(by_setting[setting], study.metric),
                elimination.losses[setting].interval(elimination.comparisons),
                elimination.dropped.get(setting),
            )
            for setting in (answer, *others)
        ),
        elimination.remaining[0],
        elimination.rounds,
        expected_loss(study, elimination, answer),
    )


def answer_setting(study: StudyResults) -> Setting | None:
    """Return the answer of a study, which every table, figure and text names; None if nothing was measured.

    It is the answer among the candidates. A study that compared none, as all before schema 0007 and those that have
    cost as an objective, tested several finalists: the same rule chooses among them. Before that, it is the best trial.
    """
    elimination = elimination_of(study)
    compared = answer_of(study, elimination) if elimination.rounds else None
    if compared is not None:
        return compared
    if study.finalists:
        return _finalist_of(study).setting
    return study.complete[0].setting if study.complete else None


def answer_finalist(study: StudyResults) -> Finalist | None:
    """Return the answer's finals; None if it was not tested."""
    answer = answer_setting(study)
    return next((finalist for finalist in study.finalists if finalist.setting == answer), None)


def _finalist_of(study: StudyResults) -> Finalist:
    """Return the answer among finalists: by the rule of `answer_of`, with the standard errors of unpaired estimates."""
    metric, best = study.metric, study.finalists[0]
    first = best.estimate("validation", metric)
    good = []
    for finalist in study.finalists:
        estimate = finalist.estimate("validation", metric)
        if first is not None and estimate is not None:
            error = hypot(first.high - first.low, estimate.high - estimate.low) / (2 * Z)
            if metric.score(first.value) - metric.score(estimate.value) <= AS_GOOD * error:
                good.append(finalist.setting)
    chosen = _simplest(study, good or [best.setting])
    return next(finalist for finalist in study.finalists if finalist.setting == chosen)


def _mean(rounds: Sequence[Reevaluation], metric: Metric) -> Estimate:
    accuracies, scores = [one.validation for one in rounds], [one.validation_scores for one in rounds]
    mean = mean_over_seeds(accuracies, scores, metric)
    if mean is None:
        raise ValueError(f"a re-evaluation of {rounds[0].setting} has no {metric.label}")
    return Estimate.from_measured(mean, accuracies[0].total, metric)


def _estimate(trial: Trial, metric: Metric) -> Estimate:
    """Return the validation value of a complete trial, which has one."""
    measured = trial.estimate(metric)
    if measured is None:
        raise ValueError(f"trial {trial.number} has no validation {metric.label}")
    return Estimate.from_measured(measured, trial.validation.total if trial.validation else 0, metric)


def _reads_alike(setting: Setting, other: Setting) -> bool:
    """Whether two settings read the same features."""
    return (setting.taps, setting.pool, setting.draws) == (other.taps, other.pool, other.draws)


def _complexity(setting: Setting, architecture: Architecture) -> tuple[int, int, int]:
    """Return the numbers of taps, of noise draws, and of features that the head reads."""
    width = sum(architecture.block(tap.block).channels for tap in setting.taps) * setting.pool**2
    return len(setting.taps), setting.draws, width
