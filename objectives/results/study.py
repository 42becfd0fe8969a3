"""A study as read back from the database: its trials, its finals, and summaries of them."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean
from typing import Literal

from objectives.results.baselines import Baseline
from objectives.results.coverage import ChoiceCoverage, coverage
from objectives.results.metrics import (
    ACCURACY,
    METRICS,
    Accuracy,
    CorrectMask,
    IntervalEstimate,
    Metric,
    Part,
    Scores,
    wilson_interval,
)
from objectives.results.reports import GMACS, Confusion, Final, Reevaluation
from spaces import Architecture, Setting, Space

TrialState = Literal["running", "complete", "pruned", "failed", "interrupted"]
"""interrupted: the run was stopped or killed, and the next run tries the setting again."""

NO_DIFFERENCE = 0.01
"""Costs that differ by less than this share count as equal.

Most heads cost next to nothing beside the forward passes, and nobody would give up accuracy for so small a saving.
"""


@dataclass(frozen=True, slots=True)
class Picture:
    """A thumbnail of an image outside the test split.

    image: the image's index into the dataset.
    position: the image's bit in the correct masks of the study's trials; None if it is not a validation image.
    label: an index into the classes. name: the name of the image's file.
    jpeg: the encoded thumbnail, square, as the networks see the image.
    """

    image: int
    position: int | None
    label: int
    name: str
    jpeg: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial of a study, as read back from the database.

    reason: why the trial failed or was pruned, in one line.
    finished: the study's running time in seconds when the trial ended; time between runs does not count.
    curve: (epoch, validation score) of a head that trains in epochs; with folds, of the first fold.
    scores: values on the validation images by all metrics; None if they were not stored.
    correct_mask: the correct validation images, in an order that is the same for all trials of a study; None if it was
    not stored.
    Other fields: as in an Evaluation.
    """

    number: int
    state: TrialState
    setting: Setting
    validation: Accuracy | None = None
    reason: str | None = None
    finished: float | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    passes_made: int = 0
    passes_needed: int = 0
    details: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[tuple[int, float], ...] = ()
    scores: Scores | None = None
    correct_mask: CorrectMask | None = None

    @property
    def gmacs(self) -> float | None:
        """The cost at inference in 1e9 multiply-accumulates per image, see `GMACS`; None if it was not stored."""
        return self.details.get(GMACS)

    def estimate(self, metric: Metric) -> IntervalEstimate | None:
        """Return the validation value by a metric, with its interval; None if it was not stored."""
        if metric == ACCURACY and self.validation is not None:
            return IntervalEstimate(self.validation.value, *self.validation.interval())
        return self.scores.values.get(metric.name) if self.scores else None


@dataclass(frozen=True, slots=True)
class Finalist:
    """All finals of one setting, one for each seed."""

    setting: Setting
    finals: tuple[Final, ...]

    def estimate(self, part: Part, metric: Metric) -> IntervalEstimate | None:
        """Return the mean over seeds by a metric, with its interval; None if a final did not store it."""
        accuracies = [final.validation if part == "validation" else final.test for final in self.finals]
        return mean_over_seeds(accuracies, [final.scores(part) for final in self.finals], metric)

    @property
    def confused(self) -> tuple[Confusion, ...]:
        """The pairs of classes confused on validation, summed over all seeds, most frequent first."""
        counts: Counter[tuple[int, int]] = Counter()
        examples: defaultdict[tuple[int, int], dict[int, None]] = defaultdict(dict)
        for final in self.finals:
            for pair in final.confused:
                counts[pair.true, pair.predicted] += pair.count
                examples[pair.true, pair.predicted] |= dict.fromkeys(pair.examples)
        ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        return tuple(Confusion(*classes, count, tuple(examples[classes])) for classes, count in ordered)

    @property
    def validation(self) -> float:
        """The mean validation accuracy over seeds."""
        return fmean(final.validation.value for final in self.finals)

    @property
    def test(self) -> float:
        """The mean test accuracy over seeds."""
        return fmean(final.test.value for final in self.finals)

    @property
    def test_interval(self) -> tuple[float, float]:
        """Wilson's interval at the mean test accuracy and the size of one test split, which all seeds share."""
        return wilson_interval(self.test, self.finals[0].test.total)

    @property
    def validation_interval(self) -> tuple[float, float]:
        """Wilson's interval at the mean validation accuracy and the size of one validation split."""
        return wilson_interval(self.validation, self.finals[0].validation.total)


def mean_over_seeds(
    accuracies: Sequence[Accuracy], scores: Sequence[Scores | None], metric: Metric
) -> IntervalEstimate | None:
    """Return the mean over seeds by a metric, with its interval; None if a seed did not store it.

    accuracies, scores: one a seed, at least one. The interval of an accuracy is Wilson's at the mean accuracy. The
    bounds of another metric's interval are the means of the seeds' bounds. Both are as wide as the interval of one
    seed: seeds share their images, so more seeds do not narrow it.
    """
    if metric == ACCURACY:
        mean, total = fmean(accuracy.value for accuracy in accuracies), accuracies[0].total
        return IntervalEstimate(mean, *wilson_interval(mean, total))
    estimates = [kept.values[metric.name] for kept in scores if kept is not None and metric.name in kept.values]
    if len(estimates) < len(scores):
        return None
    return IntervalEstimate(
        fmean(estimate.value for estimate in estimates),
        fmean(estimate.low for estimate in estimates),
        fmean(estimate.high for estimate in estimates),
    )


@dataclass(frozen=True)
class StudyResults:
    """Everything the database knows of one study.

    dataset: the dataset's catalog name. classes: the names of the classes.
    counts: the number of images by "train", "validation", "test"; with folds the same images train and validate.
    provenance: label → text, ready to print: seeds, fingerprints, library versions, the command that made the study.
    wall_seconds: the running time of all runs together.
    pictures: thumbnails of some images, for the study's report.
    waiting: the number of trials that a person enqueued, and that no run has tried yet.
    others: the number of trials that are left out, since a person or another program added or ended them.
    reevaluations: of the candidates for the answer, in rounds of one seed each. rounds: the most rounds that the last
    run allowed; 0 if no run said it.
    majority: the share of the test images that are of the most frequent class, which is the accuracy of always naming
    that class; None in a study that did not store it.
    screening_passes: forward passes that the study's runs made to screen. unfinished_passes: those of trials that
    failed or were interrupted. stages: wall seconds of "start", "screening", "trials", "finals" and "end" of all runs;
    runs before schema 0009 and runs that were killed kept none of these three.
    space: all settings that the study may try; None where it is not known. screened: the settings that a screening of
    the same images, network and seed scored; empty if there is none.
    baselines: trivial classifiers on the same images, at most one of each kind, in the order of `BASELINE_KINDS`; none
    before the answer is tested, in a study of an earlier version, and where they could not be made.
    home_words: the words of a command line that name the study database; empty for the default one, None where it is
    not known.
    called: what a person calls the dataset: a published one by its name, their own images by the folder's or file's.
    Empty for the catalog name. See `title`.
    """

    name: str
    dataset: str
    backbone: str
    architecture: Architecture
    preset: str
    space_size: int
    classes: tuple[str, ...]
    counts: Mapping[str, int]
    provenance: Mapping[str, str]
    trials: tuple[Trial, ...]
    finals: tuple[Final, ...]
    wall_seconds: float
    pictures: tuple[Picture, ...] = ()
    waiting: int = 0
    others: int = 0
    reevaluations: tuple[Reevaluation, ...] = ()
    rounds: int = 0
    majority: float | None = None
    space: Space | None = None
    screened: tuple[Setting, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    screening_passes: int = 0
    unfinished_passes: int = 0
    stages: Mapping[str, float] = field(default_factory=dict)
    home_words: tuple[str, ...] | None = None
    called: str = ""

    @property
    def title(self) -> str:
        """The name by which a person calls the dataset: the title of a report."""
        return self.called or self.dataset

    @cached_property
    def coverage(self) -> tuple[ChoiceCoverage, ...]:
        """How many values of each choice were tried; empty where the space is not known."""
        if self.space is None:
            return ()
        return coverage(self.space, (trial.setting for trial in self.complete), self.screened)

    @property
    def metric(self) -> Metric:
        """The metric by which the search selected: what "best" means in this study."""
        return METRICS[self.provenance.get("metric", ACCURACY.name)]

    @property
    def chance(self) -> float:
        """The accuracy to expect of guessing, where each class has the same chance to be named."""
        return 1 / len(self.classes)

    @cached_property
    def complete(self) -> tuple[Trial, ...]:
        """Complete trials, best on validation first. Ties go to the earlier block, then to the earlier trial."""
        complete = [trial for trial in self.trials if trial.state == "complete" and trial.estimate(self.metric)]
        return tuple(sorted(complete, key=lambda t: (-self._score(t.estimate(self.metric)), t.setting.block, t.number)))

    @cached_property
    def finalists(self) -> tuple[Finalist, ...]:
        """The tested settings, best validation mean first. The test split plays no part in the order."""
        by_setting: dict[Setting, list[Final]] = {}
        for final in self.finals:
            by_setting.setdefault(final.setting, []).append(final)
        finalists = [Finalist(setting, tuple(finals)) for setting, finals in by_setting.items()]
        metric = self.metric
        return tuple(sorted(finalists, key=lambda f: (-self._score(f.estimate("validation", metric)), f.setting.block)))

    @property
    def by_cost(self) -> bool:
        """Whether the search had two objectives, score and cost at inference."""
        return "objectives" in self.provenance

    @cached_property
    def pareto_front(self) -> tuple[Trial, ...]:
        """The complete trials with a higher score than all that cost no more, the cheapest first and the best last.

        Of trials whose costs differ by less than `NO_DIFFERENCE`, only the best is kept. Trials whose cost was not
        stored are left out.
        """
        front: list[Trial] = []
        priced = [trial for trial in self.complete if trial.gmacs is not None]
        for trial in sorted(
            priced, key=lambda trial: trial.details[GMACS]
        ):  # trials of equal cost stay in order, best first
            score = self._score(trial.estimate(self.metric))
            if not front or score > self._score(front[-1].estimate(self.metric)):
                if front and trial.details[GMACS] < (1 + NO_DIFFERENCE) * front[-1].details[GMACS]:
                    front.pop()
                front.append(trial)
        return tuple(front)

    @property
    def passes_made(self) -> int:
        """All forward passes that were made for the study: for its screening, trials, re-evaluations and finals.

        Those of trials that failed or were interrupted are counted too, apart from those of a run that was killed.
        """
        works: tuple[Trial | Reevaluation | Final, ...] = (*self.trials, *self.reevaluations, *self.finals)
        return sum(work.passes_made for work in works) + self.screening_passes + self.unfinished_passes

    @property
    def passes_needed(self) -> int:
        """The forward passes of a script without screening and cache, which makes its own for each trial and final."""
        works: tuple[Trial | Reevaluation | Final, ...] = (*self.trials, *self.reevaluations, *self.finals)
        return sum(work.passes_needed for work in works)

    @property
    def folds(self) -> str | None:
        """The number of folds; None if one split validates."""
        return self.provenance.get("folds")

    @property
    def fitted_images(self) -> int:
        """The number of images that train or validate. With folds the same images do both, and each counts once."""
        train, validation = self.counts["train"], self.counts["validation"]
        return max(train, validation) if self.folds else train + validation

    @property
    def finished(self) -> int:
        """The number of trials that count towards a budget: complete or pruned."""
        return self.count("complete") + self.count("pruned")

    def count(self, state: TrialState) -> int:
        """Return the number of trials in a state."""
        return sum(trial.state == state for trial in self.trials)

    def _score(self, estimate: IntervalEstimate | None) -> float:
        return self.metric.score(estimate.value) if estimate else float("-inf")
