"""The nearest-neighbour head: the most similar training images vote."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch

from objectives.heads.head import SLAB_BYTES, Classifier, Fit, LabelledFeatures, Layout, check
from objectives.heads.neighbours.cosine import directions, frequencies
from objectives.heads.standardising import Standardised, Standardiser
from objectives.results import Accuracy, Epoch
from spaces.dimensions import Value

SHARPNESS = 0.07
"""A neighbour whose cosine is so much lower has 1/e of the vote (Wu et al. 2018, as DINO evaluates features)."""


@dataclass(frozen=True)
class KnnClassifier:
    """The logarithm of the classes' shares of the neighbours' votes, of which `doubt` is shared by all classes alike.

    Similarity is the cosine of standardised features; an image that points away has no vote, and where nobody votes the
    shares are the classes' frequencies. A vote counts for what its image weighs. neighbours ≥ 1. doubt: in (0, 1]. The
    training images are not copied: `train` must stay as it is.
    """

    standardise: Standardiser
    train: LabelledFeatures
    classes: int
    neighbours: int
    label_smoothing: float

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        return smoothed(self.shares(features), self.label_smoothing).log()

    def shares(self, features: torch.Tensor) -> torch.Tensor:
        """Of the votes, float32 (n, classes); each row's sum is 1."""
        queries = LabelledFeatures(features, self.train.labels.new_zeros(len(features)))
        return torch.cat([self._shares(queries.flat(rows)) for rows in queries.slabs()])

    def _shares(self, features: torch.Tensor) -> torch.Tensor:
        """Of features (n, d) that are a slab: all training images pass by, a slab and a part of it at a time."""
        queries = directions(self.standardise(features))
        best = queries.new_zeros(len(queries), 0)
        labels = self.train.labels.new_zeros(len(queries), 0)
        for rows, slab in Standardised(self.train, self.standardise).slabs():
            step = max(SLAB_BYTES // (torch.float32.itemsize * len(queries)), 1)
            parts = zip(directions(slab).split(step), self.train.labels[rows].split(step), strict=True)  # type: ignore[no-untyped-call]
            for images, theirs in parts:
                best = torch.cat([best, queries @ images.T], dim=1)
                labels = torch.cat([labels, theirs.expand(len(queries), -1)], dim=1)
                best, order = best.topk(min(self.neighbours, best.shape[1]), dim=1)
                labels = labels.gather(1, order)
        votes = ((best - 1) / SHARPNESS).exp().masked_fill(best <= 0, 0)
        shares = votes.new_zeros(len(votes), self.classes).scatter_add_(1, labels, votes)
        if self.train.balanced:
            shares *= self.train.class_weights(self.classes)
        total = shares.sum(dim=1, keepdim=True)
        common = frequencies(self.train, self.classes)
        return torch.where(total > 0, shares / total.clamp(min=1e-30), common)

    def state(self) -> dict[str, torch.Tensor]:
        """With the training images: as large as their features."""
        train = self.train
        return {
            "mean": self.standardise.mean.clone(),
            "scale": self.standardise.scale.clone(),
            "features": (train.features if train.rows is None else train.features[train.rows]).clone(),
            "labels": train.labels.clone(),
            "balanced": torch.tensor(train.balanced),
            "doubt": torch.tensor(self.label_smoothing, dtype=torch.float64),
        }


@dataclass(frozen=True)
class Knn:
    """Nothing in it is trained or random: the seed is not used. The doubt is fitted on the validation split.

    options: "neighbours" ≥ 1; all training images where there are fewer. details: "doubt".
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
        certain = KnnClassifier(Standardiser.of(train), train, classes, _neighbours(options), 1.0)
        shares = torch.cat([certain.shares(validation.take(rows)) for rows in validation.slabs()])
        classifier = replace(certain, label_smoothing=fitted_label_smoothing(shares, validation.labels))
        labels = smoothed(shares, classifier.label_smoothing).log().argmax(dim=1)
        correct = int((labels == validation.labels).sum())
        yield Fit(classifier, Accuracy(correct, len(validation)), {"doubt": classifier.label_smoothing})

    def refit(
        self,
        train: LabelledFeatures,
        classes: int,
        options: Mapping[str, Value],
        details: Mapping[str, float],
        seed: int,
    ) -> Classifier:
        check(classes, train)
        return KnnClassifier(Standardiser.of(train), train, classes, _neighbours(options), details["doubt"])

    def restore(
        self,
        state: Mapping[str, torch.Tensor],
        layout: Layout,
        classes: int,
        options: Mapping[str, Value],
    ) -> Classifier:
        balanced = bool(state.get("balanced", False))  # files from before there was a choice do not say
        train = LabelledFeatures(state["features"], state["labels"], balanced=balanced)
        standardise = Standardiser(state["mean"], state["scale"])
        return KnnClassifier(standardise, train, classes, _neighbours(options), float(state["doubt"]))


def smoothed(shares: torch.Tensor, label_smoothing: float) -> torch.Tensor:
    """Shares (n, classes) of which `doubt` is spread evenly; the largest stays the largest."""
    return (1 - label_smoothing) * shares + label_smoothing / shares.shape[1]


def fitted_label_smoothing(shares: torch.Tensor, labels: torch.Tensor) -> float:
    """The doubt that makes labels, int64 (m,), likeliest by their `doubted` shares (m, classes).

    At least 1 / (m + 2): m images that are all right do not show that none could be wrong (Laplace). At most 0.99, so
    that an order is left. The loss is convex in it, and its slope is bisected.
    """
    own = shares.double().gather(1, labels[:, None])
    even = 1 / shares.shape[1]
    low, high = min(1 / (len(labels) + 2), 0.5), 0.99
    for _ in range(30):
        middle = (low + high) / 2
        falling = float(((even - own) / ((1 - middle) * own + middle * even)).mean()) > 0
        low, high = (middle, high) if falling else (low, middle)
    return (low + high) / 2


def _neighbours(options: Mapping[str, Value]) -> int:
    value = options.get("neighbours")
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"this head needs option 'neighbours', a whole number of at least 1, not {value!r}")
    return value
