"""The objective: what a setting is worth on one dataset and one backbone."""

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import final

import numpy as np
import torch

from objectives.backbones.backbone import Backbone
from objectives.backbones.catalog import load_backbone
from objectives.datasets.catalog import Dataset
from objectives.datasets.flips import Mirrored
from objectives.datasets.splits import Split, few_shot, split
from objectives.features.extraction import Clock, Extractor
from objectives.features.usage import CacheUsage
from objectives.heads.catalog import head_named
from objectives.heads.head import Fit, Labelled
from objectives.results import Accuracy, Epoch, Evaluation, Extracted, Final, Report
from spaces import CacheError, Setting

DAMAGED_READS = 3


def gpu_count() -> int:
    """GPUs that torch can use on this machine."""
    return torch.cuda.device_count()


@dataclass(frozen=True)
class ProbeSpec:
    """What a worker needs to build the probe for itself: everything but the loaded network.

    backbone: a name that `load_backbone` knows. grids: block → grid of everything that a pass should keep, from the
    space. cache: folder of the feature cache; cache_size: bytes that it may take, None for as many as the disk has.
    seed: of the noise, the validation split and the heads. shots: training images of each class that heads are fitted
    on; None for all. flips: fit heads on the training images and on their mirror images.
    """

    dataset: Dataset
    backbone: str
    precision: str
    cache: Path
    grids: Mapping[int, int]
    seed: int = 0
    validation_fraction: float = 0.2
    shots: int | None = None
    flips: bool = False
    cache_size: int | None = None

    @property
    def views(self) -> tuple[Dataset, ...]:
        """Whose training images heads are fitted on: the dataset and, with flips, its mirror images."""
        if not self.flips:
            return (self.dataset,)
        return self.dataset, replace(self.dataset, images=Mirrored(self.dataset.images))

    def split(self, seed: int) -> Split:
        parts = split(self.dataset, seed, self.validation_fraction)
        return parts if self.shots is None else few_shot(self.dataset, parts, self.shots, seed)

    def usage(self) -> CacheUsage:
        return CacheUsage(self.cache, self.cache_size)

    def build(self, threads: int) -> "Probe":
        """On the GPU that this process sees, else on `threads` CPU threads."""
        torch.set_num_threads(threads)
        torch.backends.cudnn.allow_tf32 = False  # float32 means it; who wants speed says bfloat16
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return Probe(self, load_backbone(self.backbone, device, self.precision, self.cache))


@final
@dataclass(frozen=True)
class Probe:
    """A head fitted on frozen features, as a generator of reports that knows nothing of who listens."""

    spec: ProbeSpec
    backbone: Backbone
    _splits: dict[int, Split] = field(default_factory=dict, init=False, repr=False)

    def __call__(self, setting: Setting) -> Iterator[Report]:
        """Extract what is missing, fit on the training split, score on the validation split; the last report is an
        Evaluation. The test split is not touched."""
        clock = Clock()
        views = yield from self._features(self._views, self._training, setting, clock)
        parts = self.split(self.spec.seed)
        fit = yield from self._fit(views, parts, setting, self.spec.seed, clock)
        needed = setting.draws * sum(map(len, views))
        yield Evaluation(fit.validation, clock.seconds, clock.passes, needed, fit.details)

    def finalise(self, setting: Setting, seed: int) -> Iterator[Report | Final]:
        """Score a finalist on another seed's validation split, refit on train + validation, and read the test split.

        Where shots were asked for, the refit is on train alone: validation images would be more of them.
        """
        clock, started = Clock(), time.perf_counter()
        views = yield from self._features(self._views, self._training, setting, clock)
        (tested,) = yield from self._features([self._extractor], self._tested, setting, clock)
        parts = self.split(seed)
        fit = yield from self._fit(views, parts, setting, seed, clock)
        head, classes = head_named(setting.head), len(self.spec.dataset.classes)
        everything = parts.train if self.spec.shots else np.concatenate([parts.train, parts.validation])
        classifier = head.refit(self._labelled(views, everything), classes, dict(setting.options), fit.details, seed)
        test = self._labelled_test(tested)
        correct = int((classifier.predict(test.features) == test.labels).sum())
        yield Final(
            setting,
            seed,
            fit.validation,
            Accuracy(correct, len(test.labels)),
            time.perf_counter() - started,
            clock.passes,
            setting.draws * (sum(map(len, views)) + len(tested)),
        )

    def split(self, seed: int) -> Split:
        if seed not in self._splits:
            self._splits[seed] = self.spec.split(seed)
        return self._splits[seed]

    @cached_property
    def _extractor(self) -> Extractor:
        spec = self.spec
        return Extractor(self.backbone, spec.dataset, spec.usage(), spec.grids, spec.seed)

    @cached_property
    def _views(self) -> Sequence[Extractor]:
        """Of the images as they are, which alone are validated and tested, and of each other view."""
        return [self._extractor, *(replace(self._extractor, dataset=view) for view in self.spec.views[1:])]

    @cached_property
    def _training(self) -> np.ndarray:
        return np.flatnonzero(~self.spec.dataset.is_test)

    @cached_property
    def _tested(self) -> np.ndarray:
        return np.flatnonzero(self.spec.dataset.is_test)

    def _features(
        self, views: Sequence[Extractor], indices: np.ndarray, setting: Setting, clock: Clock
    ) -> Generator[Extracted, None, list[torch.Tensor]]:
        """Of each view float32 (n, c, pool, pool), in the order of the indices. A damaged shard is made again on the
        way."""
        for _ in range(DAMAGED_READS):
            for place, view in enumerate(views):
                for report in view.fill(indices, [setting.timestep], setting.draws, clock):
                    done, total = place * report.total + report.done, len(views) * report.total
                    yield Extracted(done, total, report.made)
            since = time.perf_counter()
            read = [view.read(indices, setting) for view in views]
            clock.add("read", since)
            whole = [features for features in read if features is not None]
            if len(whole) == len(views):
                return whole
        raise CacheError(
            f"cached features in {self.spec.cache} were damaged {DAMAGED_READS} times in a row; check the disk"
        )

    def _fit(
        self, views: Sequence[torch.Tensor], parts: Split, setting: Setting, seed: int, clock: Clock
    ) -> Generator[Epoch, None, Fit]:
        train, validation = self._labelled(views, parts.train), self._labelled(views[:1], parts.validation)
        since = time.perf_counter()
        reports = head_named(setting.head).fit(
            train, validation, len(self.spec.dataset.classes), dict(setting.options), seed
        )
        for report in reports:
            if isinstance(report, Fit):
                clock.add("fit", since)
                return report
            yield report
        raise RuntimeError(f"head {setting.head} ended without a Fit")

    def _labelled(self, views: Sequence[torch.Tensor], indices: np.ndarray) -> Labelled:
        """Rows of the training images' features by dataset index, of one view after the other."""
        rows = torch.from_numpy(self._training_rows[indices])
        chosen = torch.empty(len(views), len(rows), *views[0].shape[1:])
        for view, place in zip(views, chosen, strict=True):
            torch.index_select(view, 0, rows, out=place)  # where it shall lie: `torch.cat` would copy once more
        return self._on_device(chosen.flatten(0, 1), np.tile(indices, len(views)))

    def _labelled_test(self, features: torch.Tensor) -> Labelled:
        return self._on_device(features, np.flatnonzero(self.spec.dataset.is_test))

    def _on_device(self, features: torch.Tensor, indices: np.ndarray) -> Labelled:
        device = self.backbone.device
        return Labelled(features.to(device), torch.from_numpy(self.spec.dataset.labels[indices]).to(device))

    @cached_property
    def _training_rows(self) -> np.ndarray:
        """Dataset index → row among the non-test images."""
        return np.cumsum(~self.spec.dataset.is_test) - 1
