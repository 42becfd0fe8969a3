"""Fits one head on features of one layout: on the splits of a seed, then once more on all training images."""

import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median_low

import numpy as np
import torch

from objectives.datasets.splits import Split
from objectives.features.cache.feature_cache import SCRATCH
from objectives.features.extraction import Clock
from objectives.heads.catalog import head_named
from objectives.heads.cost import head_gmacs
from objectives.heads.head import FeatureLayout, Fit, FittedHead, Fold, FoldsHead, LabelledFeatures, predict
from objectives.probing.spec import ProbeSpec, validated_images
from objectives.results import Epoch
from objectives.scoring import Predictions
from spaces.dimensions import Value


@dataclass(frozen=True)
class Validated:
    """The result of the fits on all splits.

    predictions: predictions for all validation images. details: the input of `Head.refit`. gmacs: 1e9
    multiply-accumulates of the head for one image.
    """

    predictions: Predictions
    details: Mapping[str, float]
    gmacs: float

    @classmethod
    def of(cls, fits: Sequence[tuple[Fit, Predictions]], gmacs: float) -> "Validated":
        # The lower median is a value that some fit chose, so a number of epochs stays whole.
        details = {name: median_low(fit.details[name] for fit, _ in fits) for name in fits[0][0].details}
        return cls(Predictions.joined(predictions for _, predictions in fits), details, gmacs)


@dataclass(frozen=True)
class OutOfFold:
    """Predictions for n images by classifiers that were not fitted on them.

    images: indices into the dataset, int64 (n,). labels: theirs, int64 (n,). probabilities: float32 (n, classes).
    fits: the number of classifiers.
    """

    images: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    fits: int


@dataclass(frozen=True)
class Fitting:
    """Fits one head on features of one layout, as `spec` says.

    device: where the head computes. head, options: of a setting. groups: as in `FeatureLayout`; None if all channels
    are of one block.
    In all methods, `features` are float32 (views x n, c, p, p), view after view, and `images` are the n images that
    they are of: ascending indices into the dataset.
    """

    spec: ProbeSpec
    device: torch.device
    head: str
    options: Mapping[str, Value] = field(default_factory=dict)
    groups: tuple[tuple[int, ...], ...] | None = None

    def validate(
        self, features: torch.Tensor, images: np.ndarray, splits: Sequence[Split], seed: int, clock: Clock
    ) -> Generator[Epoch, None, Validated]:
        """Fit and score the head on each split."""
        since = time.perf_counter()
        head, classes = head_named(self.head), len(self.spec.dataset.classes)
        if self.spec.fits_folds_together and isinstance(head, FoldsHead):
            together = self._fitted_together(head, features, images, splits, seed)
            clock.add("fit", since)
            return together
        fits: list[tuple[Fit, Predictions]] = []
        for parts in splits:
            train = self._trained_on(features, images, parts.train)
            validation = self.labelled(features, np.searchsorted(images, parts.validation), parts.validation)
            for report in head.fit(train, validation, classes, self.options, seed):
                if isinstance(report, Fit):
                    fits.append((report, predict(report.classifier, validation)))
                elif not fits:
                    # Report epochs of the first fold only: the pruner compares an epoch with the same epoch of other
                    # trials, so all must be of one fold. A trial that is stopped there saves its other folds.
                    yield report
        gmacs = head_gmacs(fits[-1][0].classifier, validation.take(slice(1)))
        clock.add("fit", since)
        return Validated.of(fits, gmacs)

    def refit(
        self, features: torch.Tensor, images: np.ndarray, splits: Sequence[Split], seed: int, validated: Validated
    ) -> tuple[FittedHead, FeatureLayout]:
        """Fit the head with the details that the fits on the splits chose, on train + validation.

        With shots, it is fitted only on the training images of the first split: more images would be more shots.
        """
        parts = splits[0]  # train + validation are the same images in every fold
        everything = parts.train if self.spec.shots else np.concatenate([parts.train, parts.validation])
        train = self._trained_on(features, images, everything)
        head, classes = head_named(self.head), len(self.spec.dataset.classes)
        return head.refit(train, classes, self.options, validated.details, seed), train.layout

    def out_of_fold(
        self,
        features: torch.Tensor,
        images: np.ndarray,
        splits: Sequence[Split],
        seed: int,
        details: Mapping[str, float],
    ) -> OutOfFold:
        """Predict the validation images of each split by a classifier that was fitted on its training images.

        details: what the fits on the splits chose, so that each has the same strength or number of epochs.
        """
        head, classes = head_named(self.head), len(self.spec.dataset.classes)
        probabilities = []
        for parts in splits:
            train = self._trained_on(features, images, parts.train)
            classifier = head.refit(train, classes, self.options, details, seed)
            held = self.labelled(features, np.searchsorted(images, parts.validation), parts.validation)
            for rows in held.slabs():
                probabilities.append(classifier.logits(held.take(rows)).softmax(dim=1).cpu().numpy())
        validated = validated_images(splits)
        return OutOfFold(validated, self.spec.dataset.labels[validated], np.concatenate(probabilities), len(splits))

    def labelled(self, features: torch.Tensor, rows: np.ndarray, indices: np.ndarray) -> LabelledFeatures:
        """Return some rows of the features, with the labels of their images. indices: of these images."""
        labels = torch.from_numpy(self.spec.dataset.labels[indices]).to(self.device)
        positions = torch.from_numpy(rows).to(features.device)
        scratch = self.spec.cache / SCRATCH
        return LabelledFeatures(features, labels, positions, scratch, self.spec.metric, self.groups)

    def _fitted_together(
        self, head: FoldsHead, features: torch.Tensor, images: np.ndarray, splits: Sequence[Split], seed: int
    ) -> Validated:
        """Fit a head on all folds together."""
        used = images_of(splits)
        data = self._trained_on(features, images, used)
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
        fits = head.fit_folds(data, folds, len(self.spec.dataset.classes), self.options, seed)
        gmacs = head_gmacs(fits.classifier, data.take(slice(1)))
        return Validated(Predictions.joined(fits.predictions), fits.details, gmacs)

    def _trained_on(self, features: torch.Tensor, images: np.ndarray, indices: np.ndarray) -> LabelledFeatures:
        """Return the labelled features of some images of the dataset, in every view."""
        starts = range(0, len(features), len(images))
        rows = np.concatenate([start + np.searchsorted(images, indices) for start in starts])
        train = self.labelled(features, rows, np.tile(indices, len(starts)))
        return replace(train, balanced=self.spec.balanced)


def images_of(splits: Sequence[Split]) -> np.ndarray:
    """Return the images that train or validate, ascending."""
    return np.unique(np.concatenate([np.concatenate([parts.train, parts.validation]) for parts in splits]))
