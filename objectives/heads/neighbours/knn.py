"""The k-nearest-neighbour head: the most similar training images vote."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch

from objectives.heads.calibration import fit_smoothing, smooth
from objectives.heads.head import SLAB_BYTES, FeatureLayout, Fit, FittedHead, LabelledFeatures, check
from objectives.heads.neighbours.cosine import class_frequencies, unit_vectors
from objectives.heads.standardisation import Standardised, Standardiser
from objectives.results import Accuracy, Epoch
from spaces.dimensions import Value

VOTE_TEMPERATURE = 0.07
"""Temperature τ of a vote, exp((cosine − 1) / τ): a cosine that is lower by τ has 1/e of the vote.

Wu et al. 2018 (arXiv 1805.01978), section 3.4; DINO evaluates features with the same value.
"""


@dataclass(frozen=True)
class KnnClassifier:
    """Logits are the logarithms of the classes' shares of the neighbours' votes, smoothed toward uniform shares.

    Similarity is the cosine of standardised features. A neighbour with a negative cosine has no vote. If no neighbour
    votes, the shares are the class frequencies. Votes are multiplied by the weights of their images.
    train: the training images, which are not copied and must not change.
    neighbours: at least 1.
    smoothing: the weight of the uniform distribution in the mixture with the shares, in (0, 1]; see `smooth`.
    """

    standardise: Standardiser
    train: LabelledFeatures
    classes: int
    neighbours: int
    smoothing: float

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        return smooth(self.shares(features), self.smoothing).log()

    def shares(self, features: torch.Tensor) -> torch.Tensor:
        """Return the classes' shares of the votes, float32 (n, classes); each row sums to 1."""
        queries = LabelledFeatures(features, self.train.labels.new_zeros(len(features)))
        return torch.cat([self._shares(queries.flat(rows)) for rows in queries.slabs()])

    def _shares(self, features: torch.Tensor) -> torch.Tensor:
        """Return the shares for one slab of features (n, d), by a scan over all training images in parts."""
        queries = unit_vectors(self.standardise(features))
        best = queries.new_zeros(len(queries), 0)
        labels = self.train.labels.new_zeros(len(queries), 0)
        for rows, slab in Standardised(self.train, self.standardise).slabs():
            step = max(SLAB_BYTES // (torch.float32.itemsize * len(queries)), 1)
            parts = zip(unit_vectors(slab).split(step), self.train.labels[rows].split(step), strict=True)  # type: ignore[no-untyped-call]
            for images, image_labels in parts:
                best = torch.cat([best, queries @ images.T], dim=1)
                labels = torch.cat([labels, image_labels.expand(len(queries), -1)], dim=1)
                best, order = best.topk(min(self.neighbours, best.shape[1]), dim=1)
                labels = labels.gather(1, order)
        votes = ((best - 1) / VOTE_TEMPERATURE).exp().masked_fill(best <= 0, 0)
        shares = votes.new_zeros(len(votes), self.classes).scatter_add_(1, labels, votes)
        if self.train.balanced:
            shares *= self.train.class_weights(self.classes)
        total = shares.sum(dim=1, keepdim=True)
        frequencies = class_frequencies(self.train, self.classes)
        return torch.where(total > 0, shares / total.clamp(min=1e-30), frequencies)

    def state(self) -> dict[str, torch.Tensor]:
        """Return the state, which contains the training features and is as large as they are."""
        train = self.train
        return {
            "mean": self.standardise.mean.clone(),
            "scale": self.standardise.scale.clone(),
            "features": (train.features if train.rows is None else train.features[train.rows]).clone(),
            "labels": train.labels.clone(),
            "balanced": torch.tensor(train.balanced),
            "doubt": torch.tensor(self.smoothing, dtype=torch.float64),
        }


@dataclass(frozen=True)
class Knn:
    """k nearest neighbours. The smoothing is fitted on the validation split; nothing is random, and the seed is unused.

    options: "neighbours", at least 1; if there are fewer training images, all of them vote.
    details: "doubt", the smoothing.
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
        unsmoothed = KnnClassifier(Standardiser.of(train), train, classes, _neighbours(options), 0.0)
        shares = torch.cat([unsmoothed.shares(validation.take(rows)) for rows in validation.slabs()])
        classifier = replace(unsmoothed, smoothing=fit_smoothing(shares, validation.labels))
        labels = smooth(shares, classifier.smoothing).log().argmax(dim=1)
        correct = int((labels == validation.labels).sum())
        yield Fit(classifier, Accuracy(correct, len(validation)), {"doubt": classifier.smoothing})

    def refit(
        self,
        train: LabelledFeatures,
        classes: int,
        options: Mapping[str, Value],
        details: Mapping[str, float],
        seed: int,
    ) -> FittedHead:
        check(classes, train)
        return KnnClassifier(Standardiser.of(train), train, classes, _neighbours(options), details["doubt"])

    def restore(
        self,
        state: Mapping[str, torch.Tensor],
        layout: FeatureLayout,
        classes: int,
        options: Mapping[str, Value],
    ) -> FittedHead:
        balanced = bool(state.get("balanced", False))  # absent from files of versions without this option
        train = LabelledFeatures(state["features"], state["labels"], balanced=balanced)
        standardise = Standardiser(state["mean"], state["scale"])
        return KnnClassifier(standardise, train, classes, _neighbours(options), float(state["doubt"]))


def _neighbours(options: Mapping[str, Value]) -> int:
    value = options.get("neighbours")
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"this head needs option 'neighbours', a whole number of at least 1, not {value!r}")
    return value
