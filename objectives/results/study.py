"""A study as it is read back from the database: trials, finals and what they come to together."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean
from typing import Literal

from objectives.results.metrics import ACCURACY, METRICS, Accuracy, CorrectMask, Measured, Metric, Part, Scores
from objectives.results.reports import GMACS, Confusion, Final
from spaces import Architecture, Setting

TrialState = Literal["running", "complete", "pruned", "failed"]

NO_DIFFERENCE = 0.01
"""Of costs, as a share. Beside the passes most heads are next to nothing, and nobody would give accuracy for that."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A small picture of an image outside the test split.

    image: its index into the dataset. position: its place among the answers of the study's trials, None where it is not
    among their validation images. label: indexes the classes. name: of its file. jpeg: square, as networks see it.
    """

    image: int
    position: int | None
    label: int
    name: str
    jpeg: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial of a study, as read back from the database.

    reason: why it failed or was pruned, one line. finished: seconds of running time of the study when it
    ended; time between runs does not count. curve: (epoch, worth on validation) of epoch heads, in folds of the first.
    scores: of the validation images by all metrics. correct_mask: which of them were right, in an order that is the
    same for all trials of a study. Both are None where they were not kept.
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
        """Its cost, as `GMACS` says; None where it was not kept."""
        return self.details.get(GMACS)

    def measured(self, metric: Metric) -> Measured | None:
        """On validation; None where it was not kept."""
        if metric == ACCURACY and self.validation is not None:
            return Measured(self.validation.value, *self.validation.interval())
        return self.scores.values.get(metric.name) if self.scores else None


@dataclass(frozen=True, slots=True)
class Finalist:
    """All finals of one setting together: the mean over seeds, and the counts of all seeds' test answers."""

    setting: Setting
    finals: tuple[Final, ...]

    def measured(self, part: Part, metric: Metric) -> Measured | None:
        """The mean over seeds; None where a final did not keep it.

        Of the accuracy the interval is Wilson's at the mean; of other metrics its bounds are the means of the seeds'
        bounds. Either way it is as wide as that of one seed: seeds share their test images, so they do not add to it.
        """
        if metric == ACCURACY and part == "validation":
            return Measured(self.validation, *self.validation_interval)
        if metric == ACCURACY:
            return Measured(self.test, *self.test_interval)
        scores = [final.scores(part) for final in self.finals]
        kept = [each.values[metric.name] for each in scores if each is not None and metric.name in each.values]
        if len(kept) < len(self.finals):
            return None
        return Measured(fmean(m.value for m in kept), fmean(m.low for m in kept), fmean(m.high for m in kept))

    @property
    def confused(self) -> tuple[Confusion, ...]:
        """On validation, all seeds together, most frequent first."""
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
        return fmean(final.validation.value for final in self.finals)

    @property
    def test(self) -> float:
        return fmean(final.test.value for final in self.finals)

    @property
    def test_interval(self) -> tuple[float, float]:
        """Wilson at the mean accuracy over one test set: seeds share their test images, so they do not add to it."""
        total = self.finals[0].test.total
        return Accuracy(round(self.test * total), total).interval()

    @property
    def validation_interval(self) -> tuple[float, float]:
        total = self.finals[0].validation.total
        return Accuracy(round(self.validation * total), total).interval()


@dataclass(frozen=True)
class StudyResults:
    """Everything the database knows of one study.

    dataset: its catalog name. classes: their names. counts: images by "train", "validation", "test"; in folds the same
    images train and validate.
    provenance: label → text, ready to print: seeds, fingerprints, library versions, the command that made it.
    wall_seconds: of all runs together. pictures: of some images, for whoever looks at its report.
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

    @property
    def metric(self) -> Metric:
        """What was optimised: what "best" means in this study."""
        return METRICS[self.provenance.get("metric", ACCURACY.name)]

    @cached_property
    def complete(self) -> tuple[Trial, ...]:
        """Complete trials, best on validation first; ties go to the earlier block, then the earlier trial."""
        done = [trial for trial in self.trials if trial.state == "complete" and trial.measured(self.metric)]
        return tuple(sorted(done, key=lambda t: (-self._score(t.measured(self.metric)), t.setting.block, t.number)))

    @cached_property
    def finalists(self) -> tuple[Finalist, ...]:
        """Best mean on validation first. The test split plays no part in the order."""
        by_setting: dict[Setting, list[Final]] = {}
        for final in self.finals:
            by_setting.setdefault(final.setting, []).append(final)
        finalists = [Finalist(setting, tuple(finals)) for setting, finals in by_setting.items()]
        metric = self.metric
        return tuple(sorted(finalists, key=lambda f: (-self._score(f.measured("validation", metric)), f.setting.block)))

    @property
    def by_cost(self) -> bool:
        """Whether the search was for the best of every cost, and not for the best alone."""
        return "objectives" in self.provenance

    @cached_property
    def front(self) -> tuple[Trial, ...]:
        """The complete trials that are better by the metric than all that cost no more: the cheapest first, so the best
        last. Of costs that differ by less than `NO_DIFFERENCE` only the best, and none whose cost was not kept."""
        front: list[Trial] = []
        priced = [trial for trial in self.complete if trial.gmacs is not None]
        for trial in sorted(priced, key=lambda trial: trial.details[GMACS]):  # of equal costs the best comes first
            score = self._score(trial.measured(self.metric))
            if not front or score > self._score(front[-1].measured(self.metric)):
                if front and trial.details[GMACS] < (1 + NO_DIFFERENCE) * front[-1].details[GMACS]:
                    front.pop()
                front.append(trial)
        return tuple(front)

    @property
    def passes_made(self) -> int:
        return sum(t.passes_made for t in self.trials) + sum(f.passes_made for f in self.finals)

    @property
    def passes_needed(self) -> int:
        return sum(t.passes_needed for t in self.trials) + sum(f.passes_needed for f in self.finals)

    @property
    def folds(self) -> str | None:
        """Their number, None where one split validates."""
        return self.provenance.get("folds")

    @property
    def finished(self) -> int:
        """Trials that count towards a budget: complete or pruned."""
        return self.count("complete") + self.count("pruned")

    def count(self, state: TrialState) -> int:
        return sum(trial.state == state for trial in self.trials)

    def _score(self, measured: Measured | None) -> float:
        return self.metric.score(measured.value) if measured else float("-inf")
