"""The prototype head: each image gets the class whose mean has the largest cosine with it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch

from objectives.heads.calibration import fit_inverse_temperature
from objectives.heads.head import FeatureLayout, Fit, FittedHead, LabelledFeatures, accuracy, check
from objectives.heads.neighbours.cosine import class_frequencies, unit_vectors
from objectives.heads.standardisation import Standardised, Standardiser
from objectives.results import Epoch
from spaces.dimensions import Value


@dataclass(frozen=True)
class PrototypeClassifier:
    """Logits are the cosines of an image with each class's mean, times a factor.

    prototypes: the class means of standardised features, as unit vectors, (classes, d).
    offset: what is added to the cosines, (classes,): 0, or -2 for a class without training images, which puts it below
    every cosine.
    log_frequencies: the logarithms of the class frequencies, (classes,); the logits of an image without a direction,
    whose standardised features are zero.
    factor: the inverse temperature, ().
    """

    standardise: Standardiser
    prototypes: torch.Tensor
    offset: torch.Tensor
    log_frequencies: torch.Tensor
    factor: torch.Tensor

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        vectors = unit_vectors(self.standardise(features.flatten(1)))
        cosines = torch.addmm(self.offset, vectors, self.prototypes.T)
        return torch.where(vectors.any(dim=1, keepdim=True), self.factor * cosines, self.log_frequencies)

    def state(self) -> dict[str, torch.Tensor]:
        tensors = {
            "mean": self.standardise.mean,
            "scale": self.standardise.scale,
            "prototypes": self.prototypes,
            "offset": self.offset,
            "commonness": self.log_frequencies,
            "factor": self.factor,
        }
        return {name: tensor.clone() for name, tensor in tensors.items()}


@dataclass(frozen=True)
class Prototype:
    """Nearest class mean by cosine (as in Snell et al. 2017, arXiv 1703.05175, there with Euclidean distance).

    The factor is fitted on the validation split. Nothing is random, and the seed is unused. Image weights do not move a
    class's mean, because all images of a class have equal weights. They change the standardisation, and the logits of
    an image without a direction.

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
        factor = fit_inverse_temperature(scores, validation.labels)
        classifier = replace(plain, factor=torch.full_like(plain.factor, factor))
        yield Fit(classifier, accuracy(classifier, validation), {"factor": factor})

    def refit(
        self,
        train: LabelledFeatures,
        classes: int,
        options: Mapping[str, Value],
        details: Mapping[str, float],
        seed: int,
    ) -> FittedHead:
        check(classes, train)
        return _classifier(train, classes, details["factor"])

    def restore(
        self,
        state: Mapping[str, torch.Tensor],
        layout: FeatureLayout,
        classes: int,
        options: Mapping[str, Value],
    ) -> FittedHead:
        if state["prototypes"].ndim != 2:
            raise ValueError(f"its prototypes must have the shape (classes, d), got {tuple(state['prototypes'].shape)}")
        return PrototypeClassifier(
            Standardiser(state["mean"], state["scale"]),
            state["prototypes"],
            state["offset"],
            state["commonness"],
            state["factor"],
        )


def _classifier(train: LabelledFeatures, classes: int, factor: float) -> PrototypeClassifier:
    standardise = Standardiser.of(train)
    sums = standardise.mean.new_zeros(classes, train.shape[1])
    for rows, slab in Standardised(train, standardise).slabs():
        sums.index_add_(0, train.labels[rows], slab)
    counts = torch.bincount(train.labels, minlength=classes)
    means = unit_vectors(sums / counts.clamp(min=1)[:, None])
    offset = torch.where(counts > 0, 0.0, -2.0)
    return PrototypeClassifier(
        standardise, means, offset, class_frequencies(train, classes).log(), sums.new_tensor(factor)
    )
