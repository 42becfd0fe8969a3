"""Folds that are fitted together against fits of one fold after the other in float64."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.model_selection import StratifiedKFold
from torch.nn.functional import cross_entropy

from objectives.heads.catalog import HEADS
from objectives.heads.head import Fit, Fold, FoldFits, FoldsHead, LabelledFeatures, predict
from objectives.heads.linear_models import linear, ridge
from objectives.heads.linear_models.eigenbasis import eigenbasis
from objectives.heads.linear_models.logistic import LogisticRegression
from objectives.heads.linear_models.ridge import LeastSquares
from objectives.heads.standardisation import Standardised, Standardiser
from objectives.scoring import Predictions

CLASSES = 8


def drawn(n: int, d: int, balanced: bool) -> LabelledFeatures:
    """Classes of unequal sizes, with correlated features of power-law variances on very different scales."""
    generator = torch.Generator().manual_seed(n + d)
    labels = (CLASSES * torch.rand(n, generator=generator) ** 1.3).long()
    centres = 0.25 * torch.randn(CLASSES, 60, generator=generator)
    latent = (centres[labels] + torch.randn(n, 60, generator=generator)) * torch.arange(1, 61) ** -0.5
    features = latent @ torch.randn(60, d, generator=generator) + 0.3 * torch.randn(n, d, generator=generator)
    features = (features + 5) * 10 ** (4 * torch.rand(d, generator=generator) - 2)
    features[:, d // 2] = 1.5  # a constant
    return LabelledFeatures(features[:, :, None, None], labels, balanced=balanced)


def folds_of(data: LabelledFeatures, k: int = 5) -> list[Fold]:
    parts = StratifiedKFold(k, shuffle=True, random_state=0).split(data.labels, data.labels)
    return [Fold(torch.from_numpy(kept), torch.from_numpy(held)) for kept, held in parts]


def fitted(name: str, data: LabelledFeatures, folds: list[Fold]) -> FoldFits:
    head = HEADS[name]
    assert isinstance(head, FoldsHead)
    return head.fit_folds(data, folds, CLASSES, {}, 0)


def separately(
    name: str, data: LabelledFeatures, folds: list[Fold], l2: float, own_scales: bool = False
) -> Predictions:
    """Predictions for all folds, each of a fit in float64 to the fold's images alone.

    own_scales: whether features are scaled by the standard deviations of the fold's images; if not, by those of all.
    """
    exact = replace(data, features=data.features.double())
    scale = Standardiser.of(exact).scale
    results = []
    for fold in folds:
        train, validation = exact.subset(fold.train), replace(exact.subset(fold.validation), balanced=False)
        standardise = Standardiser.of(train)
        if not own_scales:
            standardise = Standardiser(standardise.mean, scale)
        basis = eigenbasis(Standardised(train, standardise))
        images = basis.project(Standardised(validation, standardise))
        if name == "ridge":
            squares = LeastSquares(basis, train.labels, CLASSES)
            weights, bias = squares.weights(l2), squares.bias
        else:
            solution = LogisticRegression(basis, train.labels, CLASSES).solve(l2)
            weights, bias = solution.weights, solution.bias
        results.append(Predictions.of(images @ weights.T + bias, validation.labels))
    return Predictions.joined(results)


@pytest.mark.parametrize("name", ["linear", "ridge"])
@pytest.mark.parametrize("balanced", [False, True], ids=["", "balanced"])
@pytest.mark.parametrize(("n", "d"), [(700, 800), (1500, 60)], ids=["more features", "fewer features"])
def test_the_accuracy_is_that_of_separate_fits_in_float64(name: str, balanced: bool, n: int, d: int) -> None:
    data = drawn(n, d, balanced)
    folds = folds_of(data)
    fits = fitted(name, data, folds)
    path = linear.PATH if name == "linear" else ridge.PATH
    variance = d - 1  # one feature is constant
    together = Predictions.joined(fits.predictions).accuracy.value
    l2 = fits.details["l2"]
    assert min(abs(np.log10(l2 / (factor * variance))) for factor in path) < 0.01
    assert 0.3 < together < 0.99
    assert abs(together - separately(name, data, folds, l2).accuracy.value) <= 0.002
    # A fold's own scales move one image in 300 at most, to either side.
    assert abs(together - separately(name, data, folds, l2, own_scales=True).accuracy.value) <= 0.0034
    others = [separately(name, data, folds, factor * variance).accuracy.value for factor in path[::2]]
    assert together >= max(others) - 0.002  # no strength is better


@pytest.mark.parametrize("balanced", [False, True], ids=["", "balanced"])
@pytest.mark.parametrize(("n", "d"), [(400, 500), (400, 30)], ids=["more features", "fewer features"])
def test_the_loss_is_within_1e_4_of_its_minimum(balanced: bool, n: int, d: int) -> None:
    data = drawn(n, d, balanced)
    folds = folds_of(data)
    fits = fitted("linear", data, folds)
    train = replace(data, features=data.features.double()).subset(folds[-1].train)
    scale = Standardiser.of(replace(data, features=data.features.double())).scale
    standardise = Standardiser(Standardiser.of(train).mean, scale)
    basis = eigenbasis(Standardised(train, standardise))
    regression = LogisticRegression(basis, train.labels, CLASSES)
    least = regression.loss(regression.solve(fits.details["l2"]))
    weight = fits.classifier.state()["weight"].double()
    logits = fits.classifier.logits(data.subset(folds[-1].train).features[folds[-1].train]).double()
    weights = torch.ones(len(train)).double() if train.weights is None else train.weights
    entropy = float((weights * cross_entropy(logits, train.labels, reduction="none")).mean())
    assert least <= entropy + fits.details["l2"] / 2 * float(weight.square().sum()) + 1e-6
    assert entropy + fits.details["l2"] / 2 * float(weight.square().sum()) <= least + 1e-4


@pytest.mark.parametrize("name", ["linear", "linear-unit", "ridge"])
@pytest.mark.parametrize("d", [30, 500])
def test_the_classifier_of_the_last_fold_predicts_what_was_scored(name: str, d: int) -> None:
    data = drawn(300, d, balanced=False)
    folds = folds_of(data)
    fits = fitted(name, data, folds)
    again = predict(fits.classifier, data.subset(folds[-1].validation))
    np.testing.assert_allclose(again.loss, fits.predictions[-1].loss, atol=1e-3)
    assert [len(part) for part in fits.predictions] == [len(fold.validation) for fold in folds]


@pytest.mark.parametrize("name", ["linear", "ridge"])
def test_rows_of_a_larger_tensor_are_read_as_a_copy_of_them(name: str) -> None:
    data = drawn(300, 400, balanced=True)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    scattered = replace(data, features=data.features[order], rows=order.argsort())
    here, there = (fitted(name, part, folds_of(data)) for part in (data, scattered))
    for one, other in zip(here.predictions, there.predictions, strict=True):
        np.testing.assert_array_equal(one.predicted, other.predicted)
        np.testing.assert_allclose(one.loss, other.loss, rtol=1e-3)


@pytest.mark.parametrize("metric", ["accuracy", "nll"])
def test_the_path_ends_early_at_the_strength_that_the_whole_path_prefers(
    metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = replace(drawn(400, 500, balanced=False), metric=metric)
    fits = fitted("linear", data, folds_of(data))
    monkeypatch.setattr(linear, "PATIENCE", 100)
    whole = fitted("linear", data, folds_of(data))
    assert fits.details == whole.details


def test_one_fold_is_nearly_one_split() -> None:
    data = drawn(800, 40, balanced=False)
    fold = folds_of(data)[0]
    fits = fitted("linear", data, [fold])
    *_, fit = HEADS["linear"].fit(data.subset(fold.train), data.subset(fold.validation), CLASSES, {}, 0)
    assert isinstance(fit, Fit)
    assert fits.predictions[0].accuracy.value == pytest.approx(fit.validation.value, abs=0.01)
