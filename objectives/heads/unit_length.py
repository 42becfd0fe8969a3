"""L2 normalisation: a head of features that are first scaled to one length, image by image, whatever their contrast."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch

from objectives.features.mapped_tensors import large_empty
from objectives.heads.head import Classifier, Fit, Head, LabelledFeatures, Layout, check
from objectives.results import Epoch
from spaces.dimensions import Value


@dataclass(frozen=True)
class UnitLengthClassifier:
    inner: Classifier

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        return self.inner.logits(scaled(features))

    def state(self) -> dict[str, torch.Tensor]:
        return self.inner.state()


@dataclass(frozen=True)
class UnitLength:
    """As `head`, which then standardises each feature as always."""

    head: Head

    def fit(
        self,
        train: LabelledFeatures,
        validation: LabelledFeatures,
        classes: int,
        options: Mapping[str, Value],
        seed: int,
    ) -> Iterator[Epoch | Fit]:
        check(classes, train, validation)
        for report in self.head.fit(_copy(train), _copy(validation), classes, options, seed):
            yield _wrapped(report) if isinstance(report, Fit) else report

    def refit(
        self,
        train: LabelledFeatures,
        classes: int,
        options: Mapping[str, Value],
        details: Mapping[str, float],
        seed: int,
    ) -> Classifier:
        check(classes, train)
        return UnitLengthClassifier(self.head.refit(_copy(train), classes, options, details, seed))

    def restore(
        self,
        state: Mapping[str, torch.Tensor],
        layout: Layout,
        classes: int,
        options: Mapping[str, Value],
    ) -> Classifier:
        return UnitLengthClassifier(self.head.restore(state, layout, classes, options))


def scaled(features: torch.Tensor) -> torch.Tensor:
    """(n, ...) with a root mean square of 1 in each image; an image of zeros stays one."""
    flat = features.flatten(1)
    lengths = flat.square().mean(dim=1, keepdim=True).sqrt()
    return (flat / lengths.masked_fill(lengths == 0, 1)).view_as(features)


def _wrapped(fit: Fit) -> Fit:
    return replace(fit, classifier=UnitLengthClassifier(fit.classifier))


def _copy(data: LabelledFeatures) -> LabelledFeatures:
    """Of these images alone, in a file where they are many."""
    shape = (len(data), *data.features.shape[1:])
    device = data.labels.device
    features = large_empty(shape, data.scratch) if device.type == "cpu" else torch.empty(shape, device=device)
    for rows in data.slabs():
        features[rows] = scaled(data.take(rows))
    return replace(data, features=features, rows=None)
