"""The bases of all folds of a cross-validation of the ridge, from one matrix of inner products.

If the features outnumber the images, the inner products of all images are computed once, and each fold decomposes rows
and columns of them. So all folds share one scale of the features: that of all images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from objectives.heads.head import Fold, LabelledFeatures
from objectives.heads.linear_models.eigenbasis import Basis, basis_of_gram, eigenbasis
from objectives.heads.products import add_product
from objectives.heads.standardisation import Standardised, Standardiser, strips
from objectives.scoring import Predictions


@dataclass(frozen=True)
class FoldBasis:
    """The basis of one fold's m training images.

    labels, validation_labels: of the training and of the validation images. validated: the validation images in the
    basis, and a last column of ones, (v, r + 1). standardise: for the features of other images. origin: the mean of the
    training images in the basis, (r,), which is zero unless `standardise` subtracts another mean.
    """

    basis: Basis
    labels: torch.Tensor
    validated: torch.Tensor
    validation_labels: torch.Tensor
    standardise: Standardiser
    origin: torch.Tensor

    def lift(self, weights: torch.Tensor, bias: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Transform a classifier in the basis, (K, r) and (K,), to one of standardised features, (K, d) and (K,)."""
        return self.basis.lift(weights), bias - weights @ self.origin


@dataclass(frozen=True)
class FoldPredictions:
    """Predictions for the validation images of each fold. metric: the name of the metric that compares them."""

    folds: tuple[Predictions, ...]
    metric: str

    @cached_property
    def preference(self) -> tuple[float, float]:
        """The score by the metric, and the negative cross-entropy, which decides between equal scores."""
        together = Predictions.joined(self.folds)
        return together.score(self.metric), -together.value("nll")


def fold_bases(data: LabelledFeatures, folds: Sequence[Fold]) -> list[FoldBasis]:
    """Compute the basis of each fold's training images."""
    whole, d = Standardiser.of(data), data.shape[1]
    if d <= min(len(fold.train) for fold in folds):
        return [_of_features(data, fold, whole) for fold in folds]
    features = Standardised(data, whole)
    products = features.empty(len(data)).zero_()
    for columns in strips(features):
        strip = features.strip(columns)
        add_product(products, strip, strip)
    return [_of_products(features, fold, products) for fold in folds]


def _of_features(data: LabelledFeatures, fold: Fold, whole: Standardiser) -> FoldBasis:
    train, validation = data.subset(fold.train), data.subset(fold.validation)
    standardise = Standardiser(Standardiser.of(train).mean, whole.scale)
    basis = eigenbasis(Standardised(train, standardise))
    validated = _with_ones(basis.project(Standardised(validation, standardise)))
    return FoldBasis(basis, train.labels, validated, validation.labels, standardise, torch.zeros_like(basis.spectrum))


def _of_products(features: Standardised, fold: Fold, products: torch.Tensor) -> FoldBasis:
    """Centre the inner products of a fold's images on the mean of its training images, and decompose them."""
    train = features.data.subset(fold.train)
    weights = None if train.weights is None else train.weights.to(products.dtype)
    gram, cross = products[fold.train][:, fold.train], products[fold.validation][:, fold.train]
    share = gram.new_full((len(gram),), 1 / len(gram)) if weights is None else weights / len(gram)
    mean = gram @ share  # the product of each training image with their mean
    gram.add_(share @ mean - mean).sub_(mean[:, None])
    if weights is not None:
        roots = weights.sqrt()
        gram.mul_(roots).mul_(roots[:, None])
    basis = basis_of_gram(gram, Standardised(train, features.standardiser), weights)
    # The coefficients are for images less their mean. These are for the images themselves.
    basis.vectors.sub_(torch.outer(share, basis.vectors.sum(dim=0)))
    origin = mean @ basis.vectors
    validated = _with_ones(cross @ basis.vectors - origin)
    labels = features.data.labels[fold.validation]
    return FoldBasis(basis, train.labels, validated, labels, features.standardiser, origin)


def _with_ones(images: torch.Tensor) -> torch.Tensor:
    return torch.cat([images, images.new_ones(len(images), 1)], dim=1)
