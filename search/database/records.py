"""Plain records that callers write to the study database, and those in which it lists studies and runs."""

import hashlib
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

import psutil
from optuna.study import StudyDirection

from objectives.results import ACCURACY, METRICS, Accuracy, CorrectMask, Evaluation, IntervalEstimate, Metric, Scores
from spaces import Architecture, Block, Setting, Space
from spaces.text import file_name

DIRECTIONS = (StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE)
"""Directions of a trial's values: its score is maximised; its cost, where that is an objective too, is minimised."""

RunState = Literal["running", "finished", "interrupted", "failed"]

StudyRequest = Literal["stop", "stop now", "pause"]
"""A request of a person to the runs of a study; see `search.study.control`."""


@dataclass(frozen=True)
class StudyRecord:
    """A study to be created or found again.

    dataset: its catalog name. dataset_fingerprint, weights_digest: of the images and of the network. classes: their
    names. counts: as in `objectives.results.StudyResults`. protocol: label → text; all else that two trials must share
    to be comparable, such as the split, its seed and the precision. chosen_name: None for a name made of the rest.
    called: what a person calls the dataset, for that name; None for its catalog name. majority: as in
    `objectives.results.StudyResults`.
    """

    dataset: str
    dataset_fingerprint: str
    backbone: str
    weights_digest: str
    preset: str
    space: Space
    classes: tuple[str, ...]
    counts: Mapping[str, int]
    protocol: Mapping[str, str]
    chosen_name: str | None = None
    majority: float | None = None
    called: str | None = None

    @property
    def metric(self) -> Metric:
        """The metric that the search maximises: the accuracy where the protocol names none, as in early studies."""
        return METRICS[self.protocol.get("metric", ACCURACY.name)]

    @property
    def by_cost(self) -> bool:
        """Whether the search also minimises the cost."""
        return "objectives" in self.protocol

    @property
    def value_names(self) -> list[str]:
        """The names of a trial's values in Optuna."""
        return [f"validation {self.metric.score_label}", *(["GMAC an image"] if self.by_cost else [])]

    @property
    def directions(self) -> list[StudyDirection]:
        """The directions of a trial's values in Optuna."""
        return [*DIRECTIONS[: len(self.value_names)]]

    @property
    def identity(self) -> str:
        """A digest of 64 hex digits. It is equal for studies whose trials can be compared."""
        parts = [self.dataset, self.dataset_fingerprint, self.backbone, self.weights_digest, self.space.digest()]
        content = json.dumps([*parts, sorted(self.protocol.items())])
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def name(self) -> str:
        """The chosen name, or one such as `digits-bundled-default-1f2e3d4c`."""
        return self.chosen_name or self._made_name(self.called or self.dataset)

    @property
    def former_name(self) -> str:
        """The name that a version before 0.2 made, which did not know what a person calls the dataset."""
        return self.chosen_name or self._made_name(self.dataset)

    def _made_name(self, dataset: str) -> str:
        return file_name(f"{dataset}-{self.backbone}-{self.preset}-{self.identity[:8]}")


@dataclass(frozen=True)
class RunRecord:
    """A process that works on a study; by default this process.

    versions: library → version. options: what `RunOptions.kept` returns, ready for JSON. began: when
    the process began the run, by its monotonic clock; it checks dataset and network before it knows the study. None for
    now.
    """

    workers: int
    command: str
    versions: Mapping[str, str]
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    process_started: float = field(default_factory=lambda: psutil.Process().create_time())
    options: Mapping[str, Any] | None = None
    began: float | None = None


@dataclass(frozen=True)
class RunCosts:
    """The costs of a run beside its finished trials.

    stages: the seconds of "start", "screening", "trials", "finals" and "end", which follow each other; one that the run
    did not reach is missing. screening_passes: forward passes of the screening. unfinished_passes: those of trials that
    failed, and of whatever was still running when the run ended.
    """

    stages: Mapping[str, float] = field(default_factory=dict)
    screening_passes: int = 0
    unfinished_passes: int = 0


@dataclass(frozen=True)
class SavedOptions:
    """The space of a study, and the options of its last run that saved any.

    The features and the fits of the study are made again from these two. options: None if no run saved its options.
    """

    space: Space
    options: Mapping[str, Any] | None


@dataclass(frozen=True)
class TrialRecord:
    """The cost and the counts of a trial that has ended. Fields are those of `objectives.results.Evaluation`."""

    number: int
    run_id: int
    attempt: int
    setting: Setting
    validation: Accuracy | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    passes_made: int = 0
    passes_needed: int = 0
    details: Mapping[str, float] = field(default_factory=dict)
    scores: Scores | None = None
    correct_mask: CorrectMask | None = None

    def with_evaluation(self, evaluation: Evaluation, is_complete: bool) -> "TrialRecord":
        """Return the record of a trial that ended with an evaluation, on all images or on a rung."""
        return replace(
            self,
            validation=evaluation.validation,
            seconds=evaluation.seconds,
            passes_made=evaluation.passes_made,
            passes_needed=evaluation.passes_needed,
            details=evaluation.details,
            scores=evaluation.scores,
            # The mask of a rung is of other images.
            correct_mask=evaluation.correct_mask if is_complete else None,
        )


@dataclass(frozen=True)
class RunSummary:
    """A process that works or worked on a study.

    ended: None where it still works or was killed. alive: whether it works now. options: as in RunRecord.
    ends: when its finished trials ended, in seconds, as in `objectives.results.Trial.finished`. reason: why it tried no
    further trial, in words; None where that was not kept. request: what a person wants of it; None where it is not
    alive.
    """

    host: str
    pid: int
    started: datetime
    ended: datetime | None
    state: str
    alive: bool
    workers: int
    command: str
    options: Mapping[str, Any] | None
    ends: tuple[float, ...]
    reason: str | None = None
    request: StudyRequest | None = None


@dataclass(frozen=True)
class StudyScores:
    """The scores that a study teaches later tasks.

    classes, images: the numbers of classes and of training images. scores: the setting and the validation score of each
    complete trial, in order of their numbers. dataset_fingerprint, weights_digest: of the images and of the network.
    data_root: where the images lay; None for a dataset that needs none, or where it was not kept.
    """

    name: str
    dataset: str
    backbone: str
    architecture: Architecture
    classes: int
    images: int
    scores: tuple[tuple[Setting, float], ...]
    dataset_fingerprint: str = ""
    weights_digest: str = ""
    data_root: str | None = None


@dataclass(frozen=True)
class StudySummary:
    """One line of a list of studies.

    waiting: trials that a person enqueued, and that no run has tried yet. others: trials that are left out, since no
    run of the study made and ended them. best: the highest validation score by the metric. at_work: whether a run is
    alive. dataset_fingerprint, weights_digest, seed: they tell which cached features belong to the study. tested:
    whether a setting was measured on the test images. interrupted: trials of runs that were stopped or
    killed. request: what a person wants of the runs that are alive; None without such a run.
    """

    name: str
    dataset: str
    backbone: str
    space_size: int
    created: datetime
    complete: int
    pruned: int
    failed: int
    running: int
    waiting: int
    others: int
    best: float | None
    metric: Metric
    last_run: datetime | None
    at_work: bool
    dataset_fingerprint: str
    weights_digest: str
    seed: int
    tested: bool = False
    interrupted: int = 0
    request: StudyRequest | None = None

    @property
    def finished(self) -> int:
        """The number of complete and pruned trials."""
        return self.complete + self.pruned

    @property
    def rank(self) -> tuple[bool, bool, int, datetime]:
        """Greater for a study that answers better: a tested one, then one with a complete trial, then by its trials."""
        return self.tested, self.complete > 0, self.finished, self.last_run or self.created


def scores_to_dict(scores: Scores | None) -> dict[str, Any] | None:
    """Return `{"total": 287, "values": {"accuracy": [value, low, high], …}}`."""
    if scores is None:
        return None
    values = {name: [value.value, value.low, value.high] for name, value in scores.values.items()}
    return {"total": scores.total, "values": values}


def scores_from_dict(kept: Mapping[str, Any] | None) -> Scores | None:
    if kept is None:
        return None
    return Scores(kept["total"], {name: IntervalEstimate(*numbers) for name, numbers in kept["values"].items()})


def architecture_to_dict(architecture: Architecture) -> dict[str, Any]:
    return asdict(architecture)


def architecture_from_dict(values: Mapping[str, Any]) -> Architecture:
    blocks = tuple(Block(**block) for block in values["blocks"])
    alphas = tuple(values["alphas_cumprod"])
    return Architecture(values["name"], values["image_side"], blocks, alphas, values.get("prediction"))
