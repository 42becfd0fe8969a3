"""The prototype head: each image goes to the class whose mean points most nearly where it points."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch

from objectives.heads.calibrating import fitted_factor
from objectives.heads.head import Classifier, Fit, LabelledFeatures, Layout, accuracy, check
from objectives.heads.neighbours.cosine import directions, frequencies
from objectives.heads.standardising import Standardised, Standardiser
from objectives.results import Epoch
from spaces.dimensions import Value


@dataclass(frozen=True)
class PrototypeClassifier:
    """Logits are a factor times the cosines of an image and each class's mean.

    prototypes: (classes, d), unit vectors of standardised features. offset: (classes,), 0, or -2 for a class without
    training images, which puts it below every cosine. commonness: (classes,), the log of each class's frequency: all
    that is known of an image without a direction. factor: ().
    """

    standardise: Standardiser
    prototypes: torch.Tensor
    offset: torch.Tensor
    commonness: torch.Tensor
    factor: torch.Tensor

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        pointing = directions(self.standardise(features.flatten(1)))
        cosines = torch.addmm(self.offset, pointing, self.prototypes.T)
        return torch.where(pointing.any(dim=1, keepdim=True), self.factor * cosines, self.commonness)

    def state(self) -> dict[str, torch.Tensor]:
        tensors = {
            "mean": self.standardise.mean,
            "scale": self.standardise.scale,
            "prototypes": self.prototypes,
            "offset": self.offset,
            "commonness": self.commonness,
            "factor": self.factor,
        }
        return {name: tensor.clone() for name, tensor in tensors.items()}


@dataclass(frozen=True)
class Prototype:
    """Class means of standardised features, compared by cosine, the factor fitted on the validation split. Nothing is
    random: the seed is not used. A class's mean is what it is whatever its images weigh: that moves what they are
    standardised by, and what is believed of an image without a direction.

    details: "factor".
    """

    def fit(
        self,
        train: LabelledFeatures,
        validation: LabelledFeatures,
        classes: int,
        options: Mapping[str, Value],
        seed: int,
    ) -> Iterator[Epoch | Fit]:
        check(classes, train, validation)
        plain = _classifier(train, classes, 1.0)
        scores = torch.cat([plain.logits(validation.take(rows)) for rows in validation.slabs()])
        factor = fitted_factor(scores, validation.labels)
        classifier = replace(plain, factor=torch.full_like(plain.factor, factor))
        yield Fit(classifier, accuracy(classifier, validation), {"factor": factor})

    def refit(
        self,
        train: LabelledFeatures,
        classes: int,
        options: Mapping[str, Value],
        details: Mapping[str, float],
        seed: int,
    ) -> Classifier:
        check(classes, train)
        return _classifier(train, classes, details["factor"])

    def restore(
        self,
        state: Mapping[str, torch.Tensor],
        layout: Layout,
        classes: int,
        options: Mapping[str, Value],
    ) -> Classifier:
        learned = {name: state[name] for name in ("prototypes", "offset", "commonness", "factor")}
        return PrototypeClassifier(Standardiser(state["mean"], state["scale"]), **learned)


def _classifier(train: LabelledFeatures, classes: int, factor: float) -> PrototypeClassifier:
    standardise = Standardiser.of(train)
    sums = standardise.mean.new_zeros(classes, train.shape[1])
    for rows, slab in Standardised(train, standardise).slabs():
        sums.index_add_(0, train.labels[rows], slab)
    counts = torch.bincount(train.labels, minlength=classes)
    means = directions(sums / counts.clamp(min=1)[:, None])
    offset = torch.where(counts > 0, 0.0, -2.0)
    return PrototypeClassifier(standardise, means, offset, frequencies(train, classes).log(), sums.new_tensor(factor))
