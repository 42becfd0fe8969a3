"""What a caller tells the database, and the short form in which it lists its studies."""

import hashlib
import json
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

import psutil

from objectives.results import ACCURACY, METRICS, Accuracy, CorrectMask, Measured, Metric, Scores
from spaces import Architecture, Block, Setting, Space

RunState = Literal["running", "finished", "interrupted", "failed"]


@dataclass(frozen=True)
class StudyFacts:
    """What a study is about.

    dataset: its catalog name. dataset_fingerprint, weights_digest: of the images and the network. classes: names.
    counts: as in `objectives.results.Study`. protocol: label → text of all else that two trials must share to
    be comparable (split and its seed, precision, …). chosen_name: None for one made of the facts.
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

    @property
    def metric(self) -> Metric:
        """What the search maximises. A protocol that names none is of the accuracy, as all were at first."""
        return METRICS[self.protocol.get("metric", ACCURACY.name)]

    @property
    def by_cost(self) -> bool:
        """Whether the search minimises the cost too."""
        return "objectives" in self.protocol

    @property
    def identity(self) -> str:
        """Equal for studies whose trials may stand side by side; 64 hex digits."""
        parts = [self.dataset, self.dataset_fingerprint, self.backbone, self.weights_digest, self.space.digest()]
        content = json.dumps([*parts, sorted(self.protocol.items())])
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def name(self) -> str:
        """The chosen name, or e.g. `digits-bundled-default-1f2e3d4c`."""
        made = f"{self.dataset}-{self.backbone}-{self.preset}-{self.identity[:8]}"
        return self.chosen_name or re.sub(r"[^\w.-]+", "-", made).strip("-")


@dataclass(frozen=True)
class RunFacts:
    """A process at work on a study: this one, where nothing else is said.

    versions: library → version. options: JSON-ready, what it was told, as of `search.run.RunOptions.kept`.
    """

    workers: int
    command: str
    versions: Mapping[str, str]
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    process_started: float = field(default_factory=lambda: psutil.Process().create_time())
    options: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Recipe:
    """What a study's features and fits are made by. options: of the last run that kept them, None where none did."""

    space: Space
    options: Mapping[str, Any] | None


@dataclass(frozen=True)
class TrialFacts:
    """What a trial that has ended cost and counted; the fields are those of `objectives.results.Evaluation`."""

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


@dataclass(frozen=True)
class RunSummary:
    """A process that works or worked on a study. ended: None where it has not, or was killed. alive: it works now.

    options: as of RunFacts. ends: when its finished trials ended, in seconds as of `objectives.results.Trial.finished`.
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


@dataclass(frozen=True)
class StudySummary:
    """One line of a list of studies. best: worth on validation by the metric. at_work: a run is alive.

    dataset_fingerprint, weights_digest, seed: what tells which cached features are its own.
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
    best: float | None
    metric: Metric
    last_run: datetime | None
    at_work: bool
    dataset_fingerprint: str
    weights_digest: str
    seed: int


def scores_to_dict(scores: Scores | None) -> dict[str, Any] | None:
    """`{"total": 287, "values": {"accuracy": [value, low, high], …}}`."""
    if scores is None:
        return None
    values = {name: [each.value, each.low, each.high] for name, each in scores.values.items()}
    return {"total": scores.total, "values": values}


def scores_from_dict(kept: Mapping[str, Any] | None) -> Scores | None:
    if kept is None:
        return None
    return Scores(kept["total"], {name: Measured(*numbers) for name, numbers in kept["values"].items()})


def architecture_to_dict(architecture: Architecture) -> dict[str, Any]:
    return asdict(architecture)


def architecture_from_dict(values: Mapping[str, Any]) -> Architecture:
    blocks = tuple(Block(**block) for block in values["blocks"])
    alphas = tuple(values["alphas_cumprod"])
    return Architecture(values["name"], values["image_side"], blocks, alphas, values.get("prediction"))
