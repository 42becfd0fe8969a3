"""The plain results that every room above speaks in. No torch here: importing this module costs nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from statistics import NormalDist, fmean
from typing import Literal

from spaces import Architecture, Setting

TrialState = Literal["running", "complete", "pruned", "failed"]


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
class Extracted:
    """Progress of a setting's features: `done` of `total` images are cached, `made` of them by this call's passes."""

    done: int
    total: int
    made: int


@dataclass(frozen=True, slots=True)
class Epoch:
    """A head that trains in epochs, after epoch `number` (1-based). validation: in folds that of the first alone."""

    number: int
    validation: Accuracy


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The last report of a setting.

    validation: of the validation split; in folds of all of them together, so that each image counts once.
    seconds: by phase: "extract" (own passes), "wait" (another process's passes), "read", "fit".
    passes_made: U-Net passes over one image each that this call made. passes_needed: how many it would have made
    with no cache. details: facts of the fit, such as the chosen "l2" or the "epochs" trained.
    """

    validation: Accuracy
    seconds: Mapping[str, float]
    passes_made: int
    passes_needed: int
    details: Mapping[str, float] = field(default_factory=dict)


Report = Extracted | Epoch | Evaluation


@dataclass(frozen=True, slots=True)
class Final:
    """A finalist re-evaluated under another seed (validation split, head initialisation), then refitted and tested.

    validation: on that seed's own validation split, or its own folds. test: after refitting on train + validation.
    """

    setting: Setting
    seed: int
    validation: Accuracy
    test: Accuracy
    seconds: float
    passes_made: int
    passes_needed: int


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial of a study, as read back from the database.

    reason: why it failed or was pruned, one line. finished: seconds of running time of the study when it
    ended; time between runs does not count. curve: (epoch, validation accuracy in [0, 1]) of epoch heads, in folds of
    the first.
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


@dataclass(frozen=True, slots=True)
class Finalist:
    """All finals of one setting together: the mean over seeds, and the counts of all seeds' test answers."""

    setting: Setting
    finals: tuple[Final, ...]

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
    wall_seconds: of all runs together.
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

    @cached_property
    def complete(self) -> tuple[Trial, ...]:
        """Complete trials, best validation accuracy first; ties go to the earlier block, then the earlier trial."""
        done = [trial for trial in self.trials if trial.state == "complete" and trial.validation is not None]
        return tuple(sorted(done, key=lambda t: (-_value(t), t.setting.block, t.number)))

    @cached_property
    def finalists(self) -> tuple[Finalist, ...]:
        """Best mean validation accuracy first. The test split plays no part in the order."""
        by_setting: dict[Setting, list[Final]] = {}
        for final in self.finals:
            by_setting.setdefault(final.setting, []).append(final)
        finalists = [Finalist(setting, tuple(finals)) for setting, finals in by_setting.items()]
        return tuple(sorted(finalists, key=lambda f: (-f.validation, f.setting.block)))

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


def _value(trial: Trial) -> float:
    return trial.validation.value if trial.validation else 0.0
