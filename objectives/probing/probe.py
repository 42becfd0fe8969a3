"""Fits and scores a head on the features of a setting: the objective of a search."""

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Self, TypeVar, final

import numpy as np
import torch

from objectives.backbones.backbone import Backbone
from objectives.backbones.catalog import late_backbone_here
from objectives.backbones.reading import Reading
from objectives.datasets.splits import Split, rung
from objectives.devices import free_gpu_memory, use_threads
from objectives.features.cache.feature_cache import SCRATCH
from objectives.features.extraction import Clock, Extractor, fill_and_read
from objectives.features.mapped_tensors import large_empty
from objectives.heads.head import FeatureLayout, FittedHead, predict
from objectives.probing.baselines import BaselineFitter
from objectives.probing.fitting import Fitting, OutOfFold, images_of
from objectives.probing.screening import Screener
from objectives.probing.spec import ProbeSpec, validated_images
from objectives.results import (
    GMACS,
    Accuracy,
    Baseline,
    Epoch,
    Evaluation,
    Extracted,
    Final,
    ImageScores,
    Reevaluation,
    Report,
    Rung,
    Scored,
    ScreenedPart,
    ScreenedSetting,
)
from objectives.scoring import Predictions
from spaces import Setting

T = TypeVar("T")

RUNGS = (0.25, 0.5)
"""Successive halving: the share of the images on each rung below the last, which has all."""

SCORED_SECONDS = 1.0
"""The least seconds between two reports of how many settings are scored."""

CONFUSIONS_KEPT = 1000
"""The largest number of confused pairs of classes that a final keeps."""


@dataclass(frozen=True)
class Trained:
    """The same classifier as `Probe.finalise` fits and tests.

    layout: layout of the features that the classifier reads. validation: accuracy on the seed's validation images,
    before the classifier is refitted on all images; equal to that of the final if the classifiers are equal. details:
    the numbers that were chosen on these images, for `Head.refit`.
    """

    classifier: FittedHead
    layout: FeatureLayout
    validation: Accuracy
    details: Mapping[str, float] = field(default_factory=dict)


@final
@dataclass(frozen=True)
class Probe:
    """Fits heads on frozen features. Its methods are generators of reports."""

    spec: ProbeSpec
    backbone: Backbone
    _splits: dict[int, tuple[Split, ...]] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def build(cls, spec: ProbeSpec, threads: int) -> Self:
        """Build the probe, on this process's GPU if there is one, else on `threads` CPU threads.

        On a CPU, the network is loaded before its first forward pass.
        """
        use_threads(threads)
        reading = Reading(spec.precision, spec.cache, spec.image_side, spec.prompt, spec.taps_inside)
        return cls(spec, late_backbone_here(spec.backbone, reading))

    def __call__(self, setting: Setting) -> Iterator[Report]:
        """Evaluate a setting: make the missing forward passes, then fit and score a head on each split.

        The last report is an Evaluation. The test split is not read. With successive halving, the same is done on parts
        of the images first, and each part ends in a Rung; if no forward pass is missing, there are no rungs. For equal
        features, the Evaluation is the same with halving or without. Forward passes in other batches may round a
        feature differently, as they do when studies share images.
        """
        clock = Clock()
        rungs = self._rungs if self.spec.halving and self._lacks(setting) else []
        for number, splits in enumerate(rungs, start=1):
            images = images_of(splits)
            # The pruner compares epochs with those of other trials, which use all images.
            evaluation = yield from _without_epochs(self._evaluated(images, splits, setting, clock))
            yield Rung(number, len(images), evaluation)
        yield (yield from self._evaluated(self._training, self.splits(self.spec.seed), setting, clock))

    def reevaluate(self, setting: Setting, seed: int) -> Iterator[Report | Reevaluation]:
        """Score a candidate on the splits of another seed. The test split is not read."""
        clock, started = Clock(), time.perf_counter()
        fitting, splits = self._fitting(setting), self.splits(seed)
        features = yield from self._features(self._views, self._training, setting, clock)
        validated = yield from fitting.validate(features, self._training, splits, seed, clock)
        predictions = validated.predictions
        yield Reevaluation(
            setting,
            seed,
            predictions.accuracy,
            time.perf_counter() - started,
            clock.passes,
            _passes(setting, len(features)),
            ImageScores(
                validated_images(splits).astype("<i4").tobytes(),
                predictions.image_scores(self.spec.metric).astype("<f4").tobytes(),
            ),
            predictions.scores(),
        )

    def finalise(self, setting: Setting, seed: int) -> Iterator[Report | Final]:
        """Score the answer on the splits of another seed, refit its head as `Fitting.refit` does, and test it."""
        clock, started = Clock(), time.perf_counter()
        fitting, splits = self._fitting(setting), self.splits(seed)
        features = yield from self._features(self._views, self._training, setting, clock)
        tested = yield from self._features(self._views[:1], self._tested, setting, clock)
        validated = yield from fitting.validate(features, self._training, splits, seed, clock)
        classifier, _ = fitting.refit(features, self._training, splits, seed, validated)
        test = predict(classifier, fitting.labelled(tested, np.arange(len(tested)), self._tested))
        yield Final(
            setting,
            seed,
            validated.predictions.accuracy,
            test.accuracy,
            time.perf_counter() - started,
            clock.passes,
            _passes(setting, len(features) + len(tested)),
            validated.predictions.scores(),
            test.scores(),
            validated.predictions.confused(CONFUSIONS_KEPT, validated_images(splits)),
            test.correct_mask,
        )

    def baseline(self, setting: Setting | None) -> Iterator[Baseline]:
        """Fit and test a baseline as `BaselineFitter.fit` does; yield nothing if a forward pass of it is missing."""
        fitter = BaselineFitter(self.spec, self.backbone, self._views, self.splits(self.spec.seed))
        baseline = fitter.fit(setting)
        if baseline is not None:
            yield baseline

    def screen(self, settings: Sequence[Setting], images: int) -> Iterator[Extracted | Scored | ScreenedPart]:
        """Screen settings as `Screener.screen` does; the last report has the scores, and others say how many there are.

        A number of scores is reported at most once in `SCORED_SECONDS`, since a message costs more than a quick score.
        """
        scores: list[ScreenedSetting] = []
        reported = time.monotonic()
        for report in self._screener.screen(settings, images):
            if not isinstance(report, ScreenedSetting):
                yield report
                continue
            scores.append(report)
            if time.monotonic() - reported >= SCORED_SECONDS:
                reported = time.monotonic()
                yield Scored(len(scores), len(settings))
        yield ScreenedPart(tuple(scores))

    def extract(self, setting: Setting) -> Iterator[Extracted]:
        """Make the missing forward passes of the training and validation images of a setting."""
        yield from _filled(self._views, self._training, setting, Clock())

    def train(self, setting: Setting, seed: int) -> Iterator[Report | Trained]:
        """Train the classifier that `finalise` tests; the last report has it. The test split is not read."""
        clock = Clock()
        fitting, splits = self._fitting(setting), self.splits(seed)
        features = yield from self._features(self._views, self._training, setting, clock)
        validated = yield from fitting.validate(features, self._training, splits, seed, clock)
        trained = fitting.refit(features, self._training, splits, seed, validated)
        yield Trained(*trained, validated.predictions.accuracy, validated.details)

    def out_of_fold(
        self, setting: Setting, seed: int, details: Mapping[str, float]
    ) -> Generator[Extracted, None, OutOfFold]:
        """Predict each validation image as `Fitting.out_of_fold` does. The test split is not read.

        details: of the `Trained` of this setting and seed.
        """
        features = yield from self._features(self._views, self._training, setting, Clock())
        return self._fitting(setting).out_of_fold(features, self._training, self.splits(seed), seed, details)

    def tested(self, setting: Setting, classifier: FittedHead) -> Generator[Extracted, None, Predictions]:
        """Predict the test images by a classifier of `train`."""
        features = yield from self._features(self._views[:1], self._tested, setting, Clock())
        return predict(classifier, self._fitting(setting).labelled(features, np.arange(len(features)), self._tested))

    def matrix(self, setting: Setting) -> Generator[Extracted, None, np.ndarray]:
        """Return the features of every image of the dataset, float32 (n, length), in the order of the dataset."""
        images = np.arange(len(self.spec.dataset))
        features = yield from self._features(self._views[:1], images, setting, Clock())
        return features.flatten(1).cpu().numpy()

    def know(self, splits: Mapping[int, tuple[Split, ...]]) -> None:
        """Use these splits of `spec` instead of making them. splits: by seed."""
        self._splits.update(splits)

    def splits(self, seed: int) -> tuple[Split, ...]:
        if seed not in self._splits:
            self._splits[seed] = self.spec.splits(seed)
        return self._splits[seed]

    @cached_property
    def _views(self) -> Sequence[Extractor]:
        """Extractors of the dataset, then of each further view. Only the dataset is validated and tested."""
        spec = self.spec
        return [Extractor(self.backbone, view, spec.usage(), spec.grids, spec.seed) for view in spec.views]

    @cached_property
    def _screener(self) -> Screener:
        return Screener(self.spec, self.backbone)

    @cached_property
    def _training(self) -> np.ndarray:
        return np.flatnonzero(~self.spec.dataset.is_test)

    @cached_property
    def _tested(self) -> np.ndarray:
        return np.flatnonzero(self.spec.dataset.is_test)

    @cached_property
    def _rungs(self) -> list[tuple[Split, ...]]:
        whole = self.splits(self.spec.seed)
        return [rung(self.spec.dataset, whole, fraction, self.spec.seed) for fraction in RUNGS]

    def _features(
        self, views: Sequence[Extractor], indices: np.ndarray, setting: Setting, clock: Clock
    ) -> Generator[Extracted, None, torch.Tensor]:
        """Return the features, float32 (views x n, c, pool, pool): view after view, each in the order of the indices.

        The channels of several taps are concatenated. A damaged shard is made again.
        """

        def read() -> list[torch.Tensor] | None:
            since = time.perf_counter()
            features = [view.read(indices, setting) for view in views]
            clock.add("read", since)
            complete = [view for view in features if view is not None]
            return complete if len(complete) == len(views) else None

        features = yield from fill_and_read(self.spec.cache, lambda: _filled(views, indices, setting, clock), read)
        return self._placed(features[0] if len(features) == 1 else self._stacked(features))

    def _lacks(self, setting: Setting) -> bool:
        """Return whether a forward pass of the setting is missing."""
        timesteps = list(setting.passes)
        return any(view.lacks(self._training, timesteps, setting.draws) for view in self._views)

    def _evaluated(
        self, images: np.ndarray, splits: Sequence[Split], setting: Setting, clock: Clock
    ) -> Generator[Extracted | Epoch, None, Evaluation]:
        """Evaluate on some splits. images: at least those of the splits, ascending."""
        features = yield from self._features(self._views, images, setting, clock)
        validated = yield from self._fitting(setting).validate(features, images, splits, self.spec.seed, clock)
        predictions = validated.predictions
        return Evaluation(
            predictions.accuracy,
            dict(clock.seconds),
            clock.passes,
            _passes(setting, len(features)),
            {**validated.details, GMACS: self.backbone.architecture.pass_gmacs(setting) + validated.gmacs},
            predictions.score(self.spec.metric),
            predictions.scores(),
            predictions.correct_mask,
        )

    def _fitting(self, setting: Setting) -> Fitting:
        blocks = self.backbone.architecture.blocks
        groups = tuple(tuple(blocks[number - 1].channels for number in read) for read in setting.passes.values())
        return Fitting(self.spec, self.backbone.device, setting.head, dict(setting.options), groups)

    def _stacked(self, views: Sequence[torch.Tensor]) -> torch.Tensor:
        shape = (sum(map(len, views)), *views[0].shape[1:])
        return torch.cat(list(views), out=large_empty(shape, self._scratch))

    def _placed(self, features: torch.Tensor) -> torch.Tensor:
        """Move features to the GPU, if there is one and they take less than a quarter of its free memory."""
        device = self.backbone.device
        if device.type == "cuda" and features.nbytes < free_gpu_memory(device) // 4:
            return features.to(device)
        return features

    @property
    def _scratch(self) -> Path:
        return self.spec.cache / SCRATCH


def _filled(views: Sequence[Extractor], indices: np.ndarray, setting: Setting, clock: Clock) -> Iterator[Extracted]:
    """Fill the cache for all views; report their progress together."""
    for number, view in enumerate(views):
        for report in view.fill(indices, list(setting.passes), setting.draws, clock):
            yield Extracted(number * report.total + report.done, len(views) * report.total, report.made)


def _without_epochs(reports: Generator[Extracted | Epoch, None, T]) -> Generator[Extracted, None, T]:
    """Drop the reports of epochs."""
    while True:
        try:
            report = next(reports)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        if isinstance(report, Extracted):
            yield report


def _passes(setting: Setting, images: int) -> int:
    """Return the number of forward passes for the features of a setting."""
    return setting.passes_per_timestep * len(setting.passes) * images
