"""What a head is: it learns to classify frozen features, and chooses L2 or epochs on a validation split."""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch

from objectives.results import ACCURACY, Accuracy, Epoch
from objectives.scoring import Predictions
from spaces.dimensions import Value
from spaces.errors import BackboneError, DatasetError

SLAB_BYTES = 2**23
"""Of features that are looked at together: few enough for a CPU's caches, enough to keep a GPU busy."""


@dataclass(frozen=True)
class Layout:
    """What lies where in features (n, c, p, p).

    groups: of each timestep the channels of each block that was read at it, in their order. side: p.
    """

    groups: tuple[tuple[int, ...], ...]
    side: int

    @property
    def channels(self) -> int:
        return sum(map(sum, self.groups))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(c, p, p)."""
        return self.channels, self.side, self.side


@dataclass(frozen=True)
class LabelledFeatures:
    """Pooled features of n ≥ 1 images and their labels.

    features: float32 (m, c, p, p), of these images among others. They may be larger than memory, and lie on the CPU
    while another device computes. labels: int64 (n,), each in [0, classes), on the device that computes. rows: int64
    (n,), each image's row of `features`, on their device; None where it is all of them in order. scratch: folder for
    what a head makes that is as large as the features. metric: name of that by which a head chooses on these images.
    groups: as in `Layout`; None where all channels are of one block.
    balanced: every class weighs the same when a head is fitted on these images, however many it has of them; scores and
    what is calibrated on them never weigh, for they describe the images as they are.
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
        """(n, d) with d = c p²."""
        return len(self), self.features.shape[1:].numel()

    @property
    def layout(self) -> Layout:
        channels, side = self.features.shape[1:3]
        return Layout(self.groups or ((channels,),), side)

    @property
    def weights(self) -> torch.Tensor | None:
        """What each image counts for in a fit, float64 (n,) of mean 1; None where all count alike."""
        return self.class_weights()[self.labels] if self.balanced else None

    def class_weights(self, classes: int = 0) -> torch.Tensor:
        """What an image of each class counts for where every class that has any weighs the same, float64 (classes,)."""
        counts = torch.bincount(self.labels, minlength=classes).double()
        return len(self) / (counts.count_nonzero() * counts.clamp(min=1))

    def slabs(self) -> Iterator[slice]:
        """The images in parts whose features take about `SLAB_BYTES`."""
        n, d = self.shape
        step = max(SLAB_BYTES // (torch.float32.itemsize * d), 1)
        for start in range(0, n, step):
            yield slice(start, min(start + step, n))

    def take(self, images: slice | torch.Tensor) -> torch.Tensor:
        """The features of some of the n images, (k, c, p, p). images: on the features' device."""
        at = images if self.rows is None else self.rows[images]
        return self.features[at].to(self.labels.device)

    def flat(self, images: slice) -> torch.Tensor:
        """The same as (k, d)."""
        return self.take(images).flatten(1)

    def strip(self, columns: slice) -> torch.Tensor:
        """Some of the d features of all n images, (n, k)."""
        strip = self.features.flatten(1)[:, columns]
        return (strip if self.rows is None else strip[self.rows]).to(self.labels.device)


class Classifier(Protocol):
    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """float32 (n, classes), whose softmax is what it believes, of features, float32 (n, c, p, p).

        On the device that the head was trained on. The label it predicts is that of the largest; of equals the first.
        """
        ...

    def state(self) -> dict[str, torch.Tensor]:
        """Everything learned, as contiguous tensors that share no memory: what safetensors can save."""
        ...


@dataclass(frozen=True)
class Fit:
    """A fitted head. validation: of `classifier`, on the validation split. details: what was chosen there."""

    classifier: Classifier
    validation: Accuracy
    details: Mapping[str, float]


class Head(Protocol):
    """`fit` and `refit` raise BackboneError for features that are not finite, DatasetError where the training labels
    are all one class, and ValueError for tensors of the wrong shape or type, labels outside [0, classes) and missing
    options. Neither reads nor moves torch's global random state; on a CPU the same arguments make the same classifier.

    A class may lack training images, though the splits of `objectives.datasets.splits` leave none without: no head then
    predicts it for images like those it was trained on; ridge, knn and prototype never do.
    """

    def fit(
        self,
        train: LabelledFeatures,
        validation: LabelledFeatures,
        classes: int,
        options: Mapping[str, Value],
        seed: int,
    ) -> Iterator[Epoch | Fit]:
        """Train on `train`, choose on `validation` by its metric. A head that trains in epochs yields an Epoch after
        each; the last item is the Fit. options: one value for each of the head's `spaces.HEAD_OPTIONS`. seed ≥ 0.
        """
        ...

    def refit(
        self,
        train: LabelledFeatures,
        classes: int,
        options: Mapping[str, Value],
        details: Mapping[str, float],
        seed: int,
    ) -> Classifier:
        """Train again, on more images, with what `fit` chose: `details` of its Fit."""
        ...

    def restore(
        self,
        state: Mapping[str, torch.Tensor],
        layout: Layout,
        classes: int,
        options: Mapping[str, Value],
    ) -> Classifier:
        """The classifier that had this `state()`, on the CPU, of features so laid out, trained with these options.

        Raises KeyError, ValueError or RuntimeError where they do not fit together.
        """
        ...


def accuracy(classifier: Classifier, data: LabelledFeatures) -> Accuracy:
    correct = sum(int((predicted(classifier, data.take(rows)) == data.labels[rows]).sum()) for rows in data.slabs())
    return Accuracy(correct, len(data))


def predict(classifier: Classifier, data: LabelledFeatures) -> Predictions:
    """Slab by slab: of features that are larger than memory only a few numbers for each image are kept."""
    return Predictions.joined(
        Predictions.of(classifier.logits(data.take(rows)), data.labels[rows]) for rows in data.slabs()
    )


def reached(number: int, classifier: Classifier, validation: LabelledFeatures) -> Epoch:
    """What a classifier is worth after epoch `number`, by the metric of the validation images."""
    predictions = predict(classifier, validation)
    return Epoch(number, predictions.accuracy, predictions.score(validation.metric))


def predicted(classifier: Classifier, features: torch.Tensor) -> torch.Tensor:
    """Labels, int64 (n,), of features, float32 (n, c, p, p)."""
    return classifier.logits(features).argmax(dim=1)


def check(classes: int, train: LabelledFeatures, validation: LabelledFeatures | None = None) -> None:
    """Refuse what no head can learn from; raises as `Head` says."""
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
    """first: the number of the first of these images in its split."""
    if not bool(torch.stack(torch.aminmax(features)).isfinite().all()):  # either is NaN where any is
        finite = torch.isfinite(features)
        image = int((~finite.flatten(1).all(dim=1)).nonzero()[0])
        bad = features[image][~finite[image]]
        raise BackboneError(
            f"features must be finite, but {len(bad)} of {features[image].numel()} of {name} image {first + image} are "
            f"not, the first is {bad[0].item()}: read another block, or run the network in float32"
        )
