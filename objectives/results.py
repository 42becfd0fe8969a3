"""The plain results that every room above speaks in. No torch here: importing this module costs nothing."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from statistics import NormalDist, fmean
from typing import Literal, Self

from spaces import Architecture, Setting

TrialState = Literal["running", "complete", "pruned", "failed"]
Part = Literal["validation", "test"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One number that says how good a classifier is.

    name: as on the command line. words: in the middle of a sentence. share: in [0, 1] and told in percent; else told as
    it is. rising: more is better.
    """

    name: str
    words: str
    share: bool = True
    rising: bool = True

    def worth(self, value: float) -> float:
        """The more the better: what a search maximises, and how results are ordered. Of a worth, the value."""
        return value if self.rising else -value

    @property
    def worth_words(self) -> str:
        return self.words if self.rising else self.words.removeprefix("negative ")

    @property
    def scale(self) -> float:
        """From a value to the number that is told."""
        return 100.0 if self.share else 1.0

    @property
    def unit(self) -> str:
        """Of the number that is told, after it; empty where it has none."""
        return "%" if self.share else ""

    def number(self, value: float) -> str:
        """Without its unit: a share of 0.675 is "67.5"."""
        return f"{self.scale * value:.{1 if self.share else 3}f}"

    def text(self, value: float) -> str:
        """ "67.5 %"."""
        return f"{self.number(value)} {self.unit}".strip()

    def told(self, value: float) -> str:
        """Where nothing else says what it is: "67.5 %" of the accuracy, else "mean per-class accuracy 67.5 %"."""
        return self.text(value) if self == ACCURACY else f"{self.words} {self.text(value)}"


METRICS = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "accuracy"),
        Metric("top-5", "top-5 accuracy"),
        Metric("mean-per-class", "mean per-class accuracy"),
        Metric("nll", "negative log-likelihood", share=False, rising=False),
        Metric("ece", "expected calibration error", rising=False),
    )
}
OPTIMISED = ("accuracy", "mean-per-class", "nll")
"""What a search may choose by. Not calibration: who believes in each class as often as it comes is calibrated."""

ACCURACY = METRICS["accuracy"]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Top-1 accuracy as counts: correct of total images, total ≥ 1."""

    correct: int
    total: int

    @property
    def value(self) -> float:
        """In [0, 1]."""
        return self.correct / self.total

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Wilson score interval (Wilson 1927), (low, high) in [0, 1]."""
        z = NormalDist().inv_cdf((1 + confidence) / 2)
        n, p = self.total, self.value
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5 / (1 + z * z / n)
        return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True, slots=True)
class Answers:
    """Which of `total` images a classifier had right, a bit each: the first image is the lowest bit of `right`."""

    total: int
    right: int

    @property
    def accuracy(self) -> Accuracy:
        return Accuracy(self.right.bit_count(), self.total)

    def to_bytes(self) -> bytes:
        """Little-endian, as many as it takes."""
        return self.right.to_bytes((self.total + 7) // 8, "little")

    @classmethod
    def from_bytes(cls, total: int, kept: bytes) -> Self:
        return cls(total, int.from_bytes(kept, "little"))


@dataclass(frozen=True, slots=True)
class Measured:
    """A number and its 95 % interval, low ≤ value ≤ high."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Scores:
    """What a classifier is worth on `total` images. values: by the name of a metric; top-5 of over 5 classes."""

    total: int
    values: Mapping[str, Measured]


@dataclass(frozen=True, slots=True)
class Confusion:
    """`count` images of class `true` were taken for class `predicted`; both index the dataset's classes.

    examples: indices of some of these images, the mistakes that the classifier was surest of first; in a final
    they are the dataset's.
    """

    true: int
    predicted: int
    count: int
    examples: tuple[int, ...] = ()


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
class Extracted:
    """Progress of a setting's features: `done` of `total` images are cached, `made` of them by this call's passes."""

    done: int
    total: int
    made: int


@dataclass(frozen=True, slots=True)
class Epoch:
    """A head that trains in epochs, after epoch `number` (1-based). validation: in folds that of the first alone.

    score: the worth of it by the metric that the search maximises; None where that is the accuracy.
    """

    number: int
    validation: Accuracy
    score: float | None = None

    @property
    def worth(self) -> float:
        return self.validation.value if self.score is None else self.score


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The last report of a setting, or part of a Rung.

    validation: of the validation split; in folds of all of them together, so that each image counts once.
    seconds: by phase: "extract" (own passes), "wait" (another process's passes), "read", "fit".
    passes_made: U-Net passes over one image each that this call made. passes_needed: how many it would have made
    with no cache. details: facts of the fit, such as the chosen "l2" or the "epochs" trained, and of one that was not
    stopped after an epoch `GMACS`. score: as of an Epoch.
    scores, answers: by all metrics, and image by image, of the same images; None for a trial that was stopped after an
    epoch.
    """

    validation: Accuracy
    seconds: Mapping[str, float]
    passes_made: int
    passes_needed: int
    details: Mapping[str, float] = field(default_factory=dict)
    score: float | None = None
    scores: Scores | None = None
    answers: Answers | None = None

    @property
    def worth(self) -> float:
        return self.validation.value if self.score is None else self.score


@dataclass(frozen=True, slots=True)
class Rung:
    """On a ladder: what a setting is worth on some of the images, and what it has cost so far.

    number: 1-based, from the bottom; the Evaluation of all images, which ends the ladder, is no Rung. images: from
    which the features of the rung are made, as many at each rung of that number of a study.
    """

    number: int
    images: int
    evaluation: Evaluation


Report = Extracted | Epoch | Rung | Evaluation

GMACS = "gmacs"
"""Of an evaluation's details: the setting's cost, 1e9 multiply-accumulates to classify an image, passes and head."""


NO_DIFFERENCE = 0.01
"""Of costs, as a share. Beside the passes most heads are next to nothing, and nobody would give accuracy for that."""


@dataclass(frozen=True, slots=True)
class Final:
    """A finalist re-evaluated under another seed (validation split, head initialisation), then refitted and tested.

    validation: on that seed's own validation split, or its own folds. test: after refitting on train + validation.
    validation_scores, test_scores: of the same images by all metrics; None in a study that did not keep them.
    confused: on validation, most frequent first, and if there are very many the most frequent alone.
    test_answers: of the dataset's test images in their order; None in a study that did not keep them.
    """

    setting: Setting
    seed: int
    validation: Accuracy
    test: Accuracy
    seconds: float
    passes_made: int
    passes_needed: int
    validation_scores: Scores | None = None
    test_scores: Scores | None = None
    confused: tuple[Confusion, ...] = ()
    test_answers: Answers | None = None

    def scores(self, part: Part) -> Scores | None:
        return self.validation_scores if part == "validation" else self.test_scores


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial of a study, as read back from the database.

    reason: why it failed or was pruned, one line. finished: seconds of running time of the study when it
    ended; time between runs does not count. curve: (epoch, worth on validation) of epoch heads, in folds of the first.
    scores, answers: of the validation images by all metrics, and image by image, in an order that is the same for all
    trials of a study; None where they were not kept.
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
    answers: Answers | None = None

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
class Study:
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
        return tuple(sorted(done, key=lambda t: (-self._worth(t.measured(self.metric)), t.setting.block, t.number)))

    @cached_property
    def finalists(self) -> tuple[Finalist, ...]:
        """Best mean on validation first. The test split plays no part in the order."""
        by_setting: dict[Setting, list[Final]] = {}
        for final in self.finals:
            by_setting.setdefault(final.setting, []).append(final)
        finalists = [Finalist(setting, tuple(finals)) for setting, finals in by_setting.items()]
        metric = self.metric
        return tuple(sorted(finalists, key=lambda f: (-self._worth(f.measured("validation", metric)), f.setting.block)))

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
            worth = self._worth(trial.measured(self.metric))
            if not front or worth > self._worth(front[-1].measured(self.metric)):
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

    def _worth(self, measured: Measured | None) -> float:
        return self.metric.worth(measured.value) if measured else float("-inf")
