"""L2 normalisation: a head on features that are scaled to one length per image, so that contrast is ignored."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from objectives.features.mapped_tensors import large_empty
from objectives.heads.head import FeatureLayout, Fit, FittedHead, Fold, FoldFits, FoldsHead, LabelledFeatures, check
from objectives.results import Epoch
from spaces.dimensions import Value


@dataclass(frozen=True)
class UnitLengthClassifier:
    """A classifier of normalised features."""

    inner: FittedHead

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        return self.inner.logits(normalised(features))

    def state(self) -> dict[str, torch.Tensor]:
        return self.inner.state()


@dataclass(frozen=True)
class UnitLength:
    """Wraps a head: normalises each image's features, after which `head` standardises each feature as usual."""

    head: FoldsHead

    def fit(
        self,
        train: LabelledFeatures,
        validation: LabelledFeatures,
        classes: int,
        options: Mapping[str, Value],
        seed: int,
    ) -> Iterator[Epoch | Fit]:
        check(classes, train, validation)
        for report in self.head.fit(_normalised_copy(train), _normalised_copy(validation), classes, options, seed):
            yield _wrapped(report) if isinstance(report, Fit) else report

    def fit_folds(
        self,
        data: LabelledFeatures,
        folds: Sequence[Fold],
        classes: int,
        options: Mapping[str, Value],
        seed: int,
    ) -> FoldFits:
        check(classes, data)
        fits = self.head.fit_folds(_normalised_copy(data), folds, classes, options, seed)
        return replace(fits, classifier=UnitLengthClassifier(fits.classifier))

    def refit(
        self,
        train: LabelledFeatures,
        classes: int,
        options: Mapping[str, Value],
        details: Mapping[str, float],
        seed: int,
    ) -> FittedHead:
        check(classes, train)
        return UnitLengthClassifier(self.head.refit(_normalised_copy(train), classes, options, details, seed))

    def restore(
        self,
        state: Mapping[str, torch.Tensor],
        layout: FeatureLayout,
        classes: int,
        options: Mapping[str, Value],
    ) -> FittedHead:
        return UnitLengthClassifier(self.head.restore(state, layout, classes, options))


def normalised(features: torch.Tensor) -> torch.Tensor:
    """Scale features (n, …) to a root mean square of 1 per image; an image of zeros stays zero."""
    flat = features.flatten(1)
    lengths = flat.square().mean(dim=1, keepdim=True).sqrt()
    return (flat / lengths.masked_fill(lengths == 0, 1)).view_as(features)


def _wrapped(fit: Fit) -> Fit:
    return replace(fit, classifier=UnitLengthClassifier(fit.classifier))


def _normalised_copy(data: LabelledFeatures) -> LabelledFeatures:
    """Normalise a copy of these images' features; a large copy is in a file."""
    shape = (len(data), *data.features.shape[1:])
    device = data.labels.device
    features = large_empty(shape, data.scratch) if device.type == "cpu" else torch.empty(shape, device=device)
    for rows in data.slabs():
        features[rows] = normalised(data.take(rows))
    return replace(data, features=features, rows=None)
