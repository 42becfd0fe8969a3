"""The interface of heads: classifiers that are trained on frozen features, and the features they are trained on.

A head chooses its L2 strength or its number of epochs on a validation split.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch

from objectives.results import ACCURACY, Accuracy, Epoch
from objectives.scoring import Predictions
from spaces.dimensions import Value
from spaces.errors import BackboneError, DatasetError

SLAB_BYTES = 2**23
"""Bytes of features that are processed at a time: they fit into a CPU's caches and keep a GPU busy."""


@dataclass(frozen=True)
class FeatureLayout:
    """The meaning of the channels of features (n, c, p, p).

    groups: for each timestep, in order, the number of channels of each block that is read at it. side: p.
    """

    groups: tuple[tuple[int, ...], ...]
    side: int

    @property
    def channels(self) -> int:
        """The number of channels, c."""
        return sum(map(sum, self.groups))

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of one image's features, (c, p, p)."""
        return self.channels, self.side, self.side


@dataclass(frozen=True)
class LabelledFeatures:
    """Pooled features of n ≥ 1 images and their labels.

    features: float32 (m, c, p, p), of these images and perhaps of others. They may be larger than memory, and may lie
    on the CPU while another device computes.
    labels: int64 (n,), each in [0, classes), on the device that computes.
    rows: each image's row in `features`, int64 (n,), on their device; None if the images are all rows in order.
    scratch: a folder for temporary files as large as the features.
    metric: the name of the metric by which a head chooses on these images.
    groups: as in `FeatureLayout`; None if all channels are of one block.
    balanced: whether every class has the same total weight when a head is fitted on these images. Scores and
    calibration never use these weights, because they describe the images as they are.
    """

    features: torch.Tensor
    labels: torch.Tensor
    rows: torch.Tensor | None = None
    scratch: Path = field(default_factory=lambda: Path(tempfile.gettempdir()))
    metric: str = ACCURACY.name
    groups: tuple[tuple[int, ...], ...] | None = None
    balanced: bool = False

    def __len__(self) -> int:
        return len(self.features if self.rows is None else self.rows)

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of the flattened features, (n, d) with d = c p²."""
        return len(self), self.features.shape[1:].numel()

    @property
    def layout(self) -> FeatureLayout:
        """The layout of the channels."""
        channels, side = self.features.shape[1:3]
        return FeatureLayout(self.groups or ((channels,),), side)

    @property
    def weights(self) -> torch.Tensor | None:
        """The weight of each image in a fit, float64 (n,), with mean 1; None if all weights are equal."""
        return self.class_weights()[self.labels] if self.balanced else None

    def class_weights(self, classes: int = 0) -> torch.Tensor:
        """Return the weight of an image of each class, float64 (classes,), if all classes have equal total weights.

        Classes without images take no share. classes: the length of the result, at least the largest label + 1.
        """
        counts = torch.bincount(self.labels, minlength=classes).double()
        return len(self) / (counts.count_nonzero() * counts.clamp(min=1))

    def subset(self, images: torch.Tensor) -> "LabelledFeatures":
        """Return some of the n images. images: their positions, int64, on the labels' device."""
        rows = images.to(self.features.device)
        return replace(self, labels=self.labels[images], rows=rows if self.rows is None else self.rows[rows])

    def slabs(self) -> Iterator[slice]:
        """Split the n images into ranges whose features take about `SLAB_BYTES` each."""
        n, d = self.shape
        step = max(SLAB_BYTES // (torch.float32.itemsize * d), 1)
        for start in range(0, n, step):
            yield slice(start, min(start + step, n))

    def take(self, images: slice | torch.Tensor) -> torch.Tensor:
        """Return the features of k of the n images, (k, c, p, p), on the labels' device.

        images: a range, or indices on the features' device.
        """
        rows = images if self.rows is None else self.rows[images]
        return self.features[rows].to(self.labels.device)

    def flat(self, images: slice) -> torch.Tensor:
        """Return the features of some of the n images, flattened to (k, d)."""
        return self.take(images).flatten(1)

    def strip(self, columns: slice) -> torch.Tensor:
        """Return k of the d flattened features of all n images, (n, k)."""
        strip = self.features.flatten(1)[:, columns]
        return (strip if self.rows is None else strip[self.rows]).to(self.labels.device)


class FittedHead(Protocol):
    """A trained head."""

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Return the logits of n images, float32 (n, classes). Their softmax is the predicted probabilities.

        features: float32 (n, c, p, p), on the device that the head was trained on. The predicted label is that of the
        largest logit, or the first of several equal ones.
        """
        ...

    def state(self) -> dict[str, torch.Tensor]:
        """Return everything that was learned, as contiguous tensors without shared memory, for safetensors to save."""
        ...


@dataclass(frozen=True)
class Fit:
    """A fitted head.

    validation: the accuracy of `classifier` on the validation split.
    details: the numbers that were chosen on the validation split, by name; `Head.refit` takes them.
    """

    classifier: FittedHead
    validation: Accuracy
    details: Mapping[str, float]


@dataclass(frozen=True)
class Fold:
    """One fold of a cross-validation. train, validation: positions of images in their `LabelledFeatures`, int64."""

    train: torch.Tensor
    validation: torch.Tensor


@dataclass(frozen=True)
class FoldFits:
    """A head that was fitted on every fold.

    predictions: for the validation images of each fold, in the order of the folds. classifier: of the last fold.
    details: the numbers that were chosen on the validation images of all folds, by name; `Head.refit` takes them.
    """

    predictions: tuple[Predictions, ...]
    classifier: FittedHead
    details: Mapping[str, float]


class Head(Protocol):
    """A kind of classifier that can be trained on frozen features.

    `fit` and `refit` raise BackboneError for features that are not finite, DatasetError if all training labels are of
    one class, and ValueError for tensors of the wrong shape or type, labels outside [0, classes) and missing options.
    Neither method reads or changes torch's global random state. On a CPU equal arguments give equal classifiers.

    A class may lack training images, although the splits of `objectives.datasets.splits` leave none without. No head
    predicts such a class for images like the training images; ridge, knn and prototype never predict it.
    """

    def fit(
        self,
        train: LabelledFeatures,
        validation: LabelledFeatures,
        classes: int,
        options: Mapping[str, Value],
        seed: int,
    ) -> Iterator[Epoch | Fit]:
        """Train on `train`, and choose on `validation` by its metric.

        A head that trains in epochs yields an Epoch after each; the last item is the Fit.
        options: one value for each of the head's `spaces.HEAD_OPTIONS`. seed: at least 0.
        """
        ...

    def refit(
        self,
        train: LabelledFeatures,
        classes: int,
        options: Mapping[str, Value],
        details: Mapping[str, float],
        seed: int,
    ) -> FittedHead:
        """Train again, usually on more images, with the numbers that `fit` chose: `details` of its Fit."""
        ...

    def restore(
        self,
        state: Mapping[str, torch.Tensor],
        layout: FeatureLayout,
        classes: int,
        options: Mapping[str, Value],
    ) -> FittedHead:
        """Rebuild, on the CPU, the classifier that had this `state()`.

        layout, options: those that the classifier was trained with. Raises KeyError, ValueError or RuntimeError if the
        arguments do not fit together.
        """
        ...


@runtime_checkable
class FoldsHead(Head, Protocol):
    """A head that fits all folds of a cross-validation together, which takes less time than one after the other."""

    def fit_folds(
        self,
        data: LabelledFeatures,
        folds: Sequence[Fold],
        classes: int,
        options: Mapping[str, Value],
        seed: int,
    ) -> FoldFits:
        """Train on the training images of each fold, and choose one value for all folds by the metric of `data`.

        folds: at least one. data: the images of all folds. Features are scaled by their standard deviations over all
        these images, which depend on no label unless `data` is balanced.
        """
        ...


def accuracy(classifier: FittedHead, data: LabelledFeatures) -> Accuracy:
    """Measure a classifier's accuracy, slab by slab."""
    correct = sum(
        int((predict_labels(classifier, data.take(rows)) == data.labels[rows]).sum()) for rows in data.slabs()
    )
    return Accuracy(correct, len(data))


def predict(classifier: FittedHead, data: LabelledFeatures) -> Predictions:
    """Predict labels and probabilities slab by slab, so that the features may be larger than memory."""
    return Predictions.joined(
        Predictions.of(classifier.logits(data.take(rows)), data.labels[rows]) for rows in data.slabs()
    )


def validation_epoch(number: int, classifier: FittedHead, validation: LabelledFeatures) -> Epoch:
    """Evaluate a classifier after epoch `number` (1-based), by the metric of the validation images."""
    predictions = predict(classifier, validation)
    return Epoch(number, predictions.accuracy, predictions.score(validation.metric))


def predict_labels(classifier: FittedHead, features: torch.Tensor) -> torch.Tensor:
    """Predict labels, int64 (n,), for features, float32 (n, c, p, p)."""
    return classifier.logits(features).argmax(dim=1)


def check(classes: int, train: LabelledFeatures, validation: LabelledFeatures | None = None) -> None:
    """Check that a head can learn from these features; raises as `Head` states."""
    _check_split("training", train, classes)
    if validation is not None:
        _check_split("validation", validation, classes)
        shapes = tuple(train.features.shape[1:]), tuple(validation.features.shape[1:])
        if shapes[0] != shapes[1]:
            raise ValueError(f"training and validation features must have one shape, not {shapes[0]} and {shapes[1]}")
    if bool((train.labels == train.labels[0]).all()):
        raise DatasetError(
            f"a head needs training images of at least two classes; all {len(train.labels)} are of class "
            f"{int(train.labels[0])}: add images of another class, or change the split"
        )


def _check_split(name: str, data: LabelledFeatures, classes: int) -> None:
    features, labels = data.features, data.labels
    if features.ndim != 4 or features.dtype != torch.float32 or 0 in features.shape:
        raise ValueError(
            f"{name} features must be float32 (n, c, p, p), none of them 0, "
            f"not {features.dtype} {tuple(features.shape)}"
        )
    if data.layout.channels != features.shape[1]:
        raise ValueError(
            f"{name} features must have the {data.layout.channels} channels of their taps, not {features.shape[1]}"
        )
    if labels.shape != (len(data),) or labels.dtype != torch.int64:
        raise ValueError(
            f"{name} labels must be int64 ({len(data)},), one for each image, not {labels.dtype} {tuple(labels.shape)}"
        )
    if int(labels.min()) < 0 or int(labels.max()) >= classes:
        raise ValueError(
            f"{name} labels must lie in [0, {classes}), the number of classes, not in "
            f"[{int(labels.min())}, {int(labels.max())}]"
        )
    for rows in data.slabs():
        _check_finite(name, rows.start, data.take(rows))


def _check_finite(name: str, first: int, features: torch.Tensor) -> None:
    """Raise BackboneError if a feature is not finite. first: the index of the first of these images in its split."""
    if not bool(torch.stack(torch.aminmax(features)).isfinite().all()):  # both are NaN if any feature is
        finite = torch.isfinite(features)
        image = int((~finite.flatten(1).all(dim=1)).nonzero()[0])
        bad = features[image][~finite[image]]
        raise BackboneError(
            f"features must be finite, but {len(bad)} of {features[image].numel()} of {name} image {first + image} are "
            f"not, the first is {bad[0].item()}: read another block, or run the network in float32"
        )
