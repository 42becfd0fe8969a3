"""Fits and scores a head on the features of a setting: the objective of a search."""

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from statistics import median_low
from typing import Self, TypeVar, final

import numpy as np
import torch

from objectives.backbones.backbone import Backbone
from objectives.backbones.catalog import late_backbone_here
from objectives.datasets.splits import Split, rung
from objectives.devices import free_gpu_memory, use_threads
from objectives.features.cache.feature_cache import SCRATCH
from objectives.features.extraction import Clock, Extractor, fill_and_read
from objectives.features.mapped_tensors import large_empty
from objectives.heads.catalog import head_named
from objectives.heads.cost import head_gmacs
from objectives.heads.head import FeatureLayout, Fit, FittedHead, Fold, FoldsHead, LabelledFeatures, predict
from objectives.probe_spec import ProbeSpec, validated_images
from objectives.results import (
    GMACS,
    Accuracy,
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
from objectives.screening import Screener
from spaces import Setting

T = TypeVar("T")

RUNGS = (0.25, 0.5)
"""Successive halving: the share of the images on each rung below the last, which has all."""

SCORED_SECONDS = 1.0
"""The least seconds between two reports of how many settings are scored."""

CONFUSIONS_KEPT = 1000
"""The largest number of confused pairs of classes that a final keeps."""


@dataclass(frozen=True)
class _Validated:
    """The result of the fits on all splits.

    predictions: predictions for all validation images. details: the input of `Head.refit`. gmacs: 1e9
    multiply-accumulates of the head for one image.
    """

    predictions: Predictions
    details: Mapping[str, float]
    gmacs: float

    @classmethod
    def of(cls, fits: Sequence[tuple[Fit, Predictions]], gmacs: float) -> "_Validated":
        # The lower median is a value that some fit chose, so a number of epochs stays whole.
        details = {name: median_low(fit.details[name] for fit, _ in fits) for name in fits[0][0].details}
        return cls(Predictions.joined(predictions for _, predictions in fits), details, gmacs)


@dataclass(frozen=True)
class Trained:
    """The same classifier as `Probe.finalise` fits and tests.

    layout: layout of the features that the classifier reads. validation: accuracy on the seed's validation images,
    before the classifier is refitted on all images; equal to that of the final if the classifiers are equal.
    """

    classifier: FittedHead
    layout: FeatureLayout
    validation: Accuracy


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
        return cls(spec, late_backbone_here(spec.backbone, spec.precision, spec.cache))

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
            images = _images(splits)
            # The pruner compares epochs with those of other trials, which use all images.
            evaluation = yield from _without_epochs(self._evaluated(images, splits, setting, clock))
            yield Rung(number, len(images), evaluation)
        yield (yield from self._evaluated(self._training, self.splits(self.spec.seed), setting, clock))

    def reevaluate(self, setting: Setting, seed: int) -> Iterator[Report | Reevaluation]:
        """Score a candidate on the splits of another seed. The test split is not read."""
        clock, started = Clock(), time.perf_counter()
        features = yield from self._features(self._views, self._training, setting, clock)
        validated = yield from self._validate(features, self._training, self.splits(seed), setting, seed, clock)
        predictions = validated.predictions
        yield Reevaluation(
            setting,
            seed,
            predictions.accuracy,
            time.perf_counter() - started,
            clock.passes,
            _passes(setting, len(features)),
            ImageScores(
                validated_images(self.splits(seed)).astype("<i4").tobytes(),
                predictions.image_scores(self.spec.metric).astype("<f4").tobytes(),
            ),
            predictions.scores(),
        )

    def finalise(self, setting: Setting, seed: int) -> Iterator[Report | Final]:
        """Score the answer on the splits of another seed, refit its head on train + validation, and test it.

        With shots, the head is refitted only on the training images of the first split: more images would be more
        shots.
        """
        clock, started = Clock(), time.perf_counter()
        features = yield from self._features(self._views, self._training, setting, clock)
        tested = yield from self._features(self._views[:1], self._tested, setting, clock)
        validated = yield from self._validate(features, self._training, self.splits(seed), setting, seed, clock)
        classifier, _ = self._refitted(features, setting, seed, validated)
        test = predict(classifier, self._labelled(tested, np.arange(len(tested)), self._tested, setting))
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
            validated.predictions.confused(CONFUSIONS_KEPT, validated_images(self.splits(seed))),
            test.correct_mask,
        )

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
        features = yield from self._features(self._views, self._training, setting, clock)
        validated = yield from self._validate(features, self._training, self.splits(seed), setting, seed, clock)
        yield Trained(*self._refitted(features, setting, seed, validated), validated.predictions.accuracy)

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
        validated = yield from self._validate(features, images, splits, setting, self.spec.seed, clock)
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

    def _validate(
        self,
        features: torch.Tensor,
        images: np.ndarray,
        splits: Sequence[Split],
        setting: Setting,
        seed: int,
        clock: Clock,
    ) -> Generator[Epoch, None, _Validated]:
        """Fit and score a head on each split. images: the rows of the features, ascending indices into the dataset."""
        since = time.perf_counter()
        head, classes = head_named(setting.head), len(self.spec.dataset.classes)
        if self.spec.fits_folds_together and isinstance(head, FoldsHead):
            together = self._fitted_together(head, features, images, splits, setting, seed)
            clock.add("fit", since)
            return together
        fits: list[tuple[Fit, Predictions]] = []
        for parts in splits:
            train = self._trained_on(features, images, parts.train, setting)
            rows = np.searchsorted(images, parts.validation)
            validation = self._labelled(features, rows, parts.validation, setting)
            for report in head.fit(train, validation, classes, dict(setting.options), seed):
                if isinstance(report, Fit):
                    fits.append((report, predict(report.classifier, validation)))
                elif not fits:
                    # Report epochs of the first fold only: the pruner compares an epoch with the same epoch of other
                    # trials, so all must be of one fold. A trial that is stopped there saves its other folds.
                    yield report
        gmacs = head_gmacs(fits[-1][0].classifier, validation.take(slice(1)))
        clock.add("fit", since)
        return _Validated.of(fits, gmacs)

    def _fitted_together(
        self,
        head: FoldsHead,
        features: torch.Tensor,
        images: np.ndarray,
        splits: Sequence[Split],
        setting: Setting,
        seed: int,
    ) -> _Validated:
        """Fit a head on all folds together. Arguments as of `_validate`."""
        used = _images(splits)
        data = self._trained_on(features, images, used, setting)
        starts = range(0, len(data), len(used))  # of each view
        device = data.labels.device
        folds = [
            Fold(
                torch.cat([torch.from_numpy(start + np.searchsorted(used, parts.train)) for start in starts]).to(
                    device
                ),
                torch.from_numpy(np.searchsorted(used, parts.validation)).to(device),
            )
            for parts in splits
        ]
        fits = head.fit_folds(data, folds, len(self.spec.dataset.classes), dict(setting.options), seed)
        gmacs = head_gmacs(fits.classifier, data.take(slice(1)))
        return _Validated(Predictions.joined(fits.predictions), fits.details, gmacs)

    def _refitted(
        self, features: torch.Tensor, setting: Setting, seed: int, validated: _Validated
    ) -> tuple[FittedHead, FeatureLayout]:
        """Refit a head with the details that the fits on the splits of the seed chose."""
        parts = self.splits(seed)[0]  # train + validation are the same images in every fold
        everything = parts.train if self.spec.shots else np.concatenate([parts.train, parts.validation])
        train = self._trained_on(features, self._training, everything, setting)
        head, classes = head_named(setting.head), len(self.spec.dataset.classes)
        return head.refit(train, classes, dict(setting.options), validated.details, seed), train.layout

    def _stacked(self, views: Sequence[torch.Tensor]) -> torch.Tensor:
        shape = (sum(map(len, views)), *views[0].shape[1:])
        return torch.cat(list(views), out=large_empty(shape, self._scratch))

    def _placed(self, features: torch.Tensor) -> torch.Tensor:
        """Move features to the GPU, if there is one and they take less than a quarter of its free memory."""
        device = self.backbone.device
        if device.type == "cuda" and features.nbytes < free_gpu_memory(device) // 4:
            return features.to(device)
        return features

    def _trained_on(
        self, features: torch.Tensor, images: np.ndarray, indices: np.ndarray, setting: Setting
    ) -> LabelledFeatures:
        """Return the labelled features of some images of the dataset, in every view."""
        starts = range(0, len(features), len(images))
        rows = np.concatenate([start + np.searchsorted(images, indices) for start in starts])
        train = self._labelled(features, rows, np.tile(indices, len(starts)), setting)
        return replace(train, balanced=self.spec.balanced)

    def _labelled(
        self, features: torch.Tensor, rows: np.ndarray, indices: np.ndarray, setting: Setting
    ) -> LabelledFeatures:
        """Return some rows of the features, with the labels of their images."""
        labels = torch.from_numpy(self.spec.dataset.labels[indices]).to(self.backbone.device)
        positions = torch.from_numpy(rows).to(features.device)
        blocks = self.backbone.architecture.blocks
        groups = tuple(tuple(blocks[number - 1].channels for number in read) for read in setting.passes.values())
        return LabelledFeatures(features, labels, positions, self._scratch, self.spec.metric, groups)

    @property
    def _scratch(self) -> Path:
        return self.spec.cache / SCRATCH


def _filled(views: Sequence[Extractor], indices: np.ndarray, setting: Setting, clock: Clock) -> Iterator[Extracted]:
    """Fill the cache for all views; report their progress together."""
    for number, view in enumerate(views):
        for report in view.fill(indices, list(setting.passes), setting.draws, clock):
            yield Extracted(number * report.total + report.done, len(views) * report.total, report.made)


def _images(splits: Sequence[Split]) -> np.ndarray:
    """Return the images that train or validate, ascending."""
    return np.unique(np.concatenate([np.concatenate([parts.train, parts.validation]) for parts in splits]))


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
    return setting.draws * len(setting.passes) * images
