"""Images that weigh by their class: fits to them are the fits to data in which every class has as many images."""

from dataclasses import replace

import pytest
import torch
from sklearn.linear_model import LogisticRegression as Oracle
from torch import nn
from torch.nn.functional import cross_entropy, one_hot

from objectives.heads.catalog import HEADS
from objectives.heads.head import Fit, LabelledFeatures, predict, predict_labels
from objectives.heads.linear_models.eigenbasis import eigenbasis
from objectives.heads.linear_models.linear import Linear
from objectives.heads.linear_models.logistic import LogisticRegression, Solution
from objectives.heads.linear_models.ridge import LeastSquares
from objectives.heads.neighbours.knn import VOTE_TEMPERATURE, Knn, KnnClassifier
from objectives.heads.networks.training import Recipe, epochs
from objectives.heads.standardisation import Standardised, Standardiser
from tests.support.heads import OPTIONS, blobs, blobs_of_sizes, digits

SIZES = (6, 12, 4)
"""Class sizes; with repeated images each class has 12."""

FEATURES = pytest.mark.parametrize("features", [5, 30, 60])
"""Fewer than images; fewer than images only where these are repeated; more."""


def drawn(features: int) -> LabelledFeatures:
    """float64 images of classes of so many, in no order."""
    generator = torch.Generator().manual_seed(features)
    labels = torch.arange(len(SIZES)).repeat_interleave(torch.tensor(SIZES))
    labels = labels[torch.randperm(len(labels), generator=generator)]
    centres = torch.randn(len(SIZES), features, generator=generator, dtype=torch.float64)
    images = centres[labels] + torch.randn(len(labels), features, generator=generator, dtype=torch.float64)
    return LabelledFeatures(images[:, :, None, None], labels)


def repeated(data: LabelledFeatures) -> LabelledFeatures:
    """Each image as often as makes all classes equally many."""
    counts = torch.bincount(data.labels)
    often = (counts.max() // counts)[data.labels]
    rows = torch.arange(len(data)).repeat_interleave(often)
    return LabelledFeatures(data.features[rows], data.labels[rows])


def both_ways(data: LabelledFeatures) -> tuple[LabelledFeatures, LabelledFeatures]:
    return replace(data, balanced=True), repeated(data)


def test_classes_have_equal_weight_and_images_a_mean_weight_of_one() -> None:
    data = replace(drawn(5), balanced=True)
    assert data.weights is not None
    sums = torch.zeros(3, dtype=torch.float64).index_add_(0, data.labels, data.weights)
    torch.testing.assert_close(sums, torch.full((3,), 22 / 3, dtype=torch.float64))
    gap = replace(data, labels=data.labels.where(data.labels != 1, 3))  # a class without images takes no share
    assert gap.weights is not None
    assert torch.equal(gap.weights, data.weights)
    assert replace(data, balanced=False).weights is None


@FEATURES
def test_features_are_standardised_as_repeated_ones_are(features: int) -> None:
    data = drawn(features)
    data.features[:, 0] = 0.1
    ours, theirs = (Standardiser.of(features) for features in both_ways(data))
    torch.testing.assert_close(ours.mean, theirs.mean)
    torch.testing.assert_close(ours.scale, theirs.scale)
    assert ours.scale[0] == 1  # which is constant
    single = Standardiser.of(LabelledFeatures(data.features.float(), data.labels, balanced=True))
    torch.testing.assert_close(single.scale, ours.scale.float())


@FEATURES
def test_the_basis_is_of_the_weighted_covariance(features: int) -> None:
    data = replace(drawn(features), balanced=True)
    by = Standardiser.of(data)
    basis = eigenbasis(Standardised(data, by))
    projected, standardised = basis.images[:, :-1], by(data.features.flatten(1))
    torch.testing.assert_close(basis.project(Standardised(data, by)), projected)
    torch.testing.assert_close(basis.lift(projected), standardised)
    torch.testing.assert_close(basis.weighed(projected.T) @ projected / len(data), basis.spectrum.diag())
    torch.testing.assert_close(basis.mean(projected), torch.zeros_like(basis.spectrum))


@FEATURES
@pytest.mark.parametrize("strength", [1e-1, 1e-3, 1e-5])
def test_weighted_linear_and_ridge_fits_equal_fits_to_repeated_images(features: int, strength: float) -> None:
    fits = []
    for data in both_ways(drawn(features)):
        by = Standardiser.of(data)
        basis = eigenbasis(Standardised(data, by))
        l2 = strength * float(basis.spectrum.sum())
        logistic, squares = LogisticRegression(basis, data.labels, 3), LeastSquares(basis, data.labels, 3)
        solution = logistic.minimise(logistic.solve(l2), 1e-9)
        assert solution.converged
        weights = [basis.lift(weight) for weight in (solution.weights, squares.weights(l2))]
        fits.append((torch.tensor(logistic.loss(solution)), solution.bias, squares.bias, *weights))
    for ours, theirs in zip(*fits, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_the_gradient_is_that_of_the_weighted_loss() -> None:
    data = replace(drawn(5), balanced=True)
    basis = eigenbasis(Standardised(data, Standardiser.of(data)))
    logistic = LogisticRegression(basis, data.labels, 3)
    generator = torch.Generator().manual_seed(0)
    at = torch.randn(3, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    logits = at @ basis.images.T
    assert data.weights is not None
    loss = (data.weights * cross_entropy(logits.T, data.labels, reduction="none")).mean()
    loss = loss + 0.1 / 2 * at[:, :-1].square().sum()
    (slope,) = torch.autograd.grad(loss, at)
    here = Solution(0.1, at.detach(), logits.detach())
    assert logistic.loss(here) == pytest.approx(loss.item())
    torch.testing.assert_close(logistic.gradient(here, logistic.residuals(here.logits)[1]), slope)


@pytest.mark.parametrize("count", [60, 800])  # of 64 features
def test_linear_agrees_with_scikit_learn(count: int) -> None:
    whole, validation = digits()
    chosen = (whole.labels % 3 > 0) | (torch.arange(len(whole)) % 5 == 0)  # of four classes a fifth
    train = LabelledFeatures(whole.features[chosen][:count], whole.labels[chosen][:count], balanced=True)
    (fit,) = Linear().fit(train, validation, 10, {}, 0)
    assert isinstance(fit, Fit)
    assert fit.details["converged"] == 1
    l2, standardise = fit.details["l2"], Standardiser.of(train)
    features = standardise(train.features.flatten(1)).double()
    oracle = Oracle(C=1 / (len(train) * l2), class_weight="balanced", tol=1e-8, max_iter=100_000)
    oracle.fit(features.numpy(), train.labels.numpy())

    def loss(logits: torch.Tensor, weight: torch.Tensor) -> float:
        assert train.weights is not None
        entropy = train.weights * cross_entropy(logits, train.labels, reduction="none")
        return float(entropy.mean() + l2 / 2 * weight.square().sum())

    weight, bias = torch.from_numpy(oracle.coef_), torch.from_numpy(oracle.intercept_)
    least = loss(features @ weight.T + bias, weight)
    unseen = standardise(validation.features.flatten(1)).double() @ weight.T + bias
    for classifier in (fit.classifier, Linear().refit(train, 10, {}, fit.details, 0)):
        state = classifier.state()
        assert loss(classifier.logits(train.features).double(), state["weight"].double()) == pytest.approx(least, 1e-5)
        agreed = predict_labels(classifier, validation.features) == unseen.argmax(dim=1)
        assert agreed.float().mean() >= 0.995


@pytest.mark.parametrize("batch", [1, 8])
def test_a_balanced_network_without_information_predicts_equal_classes_for_any_batch_size(batch: int) -> None:
    """If each batch normalised its own weights, a single image would have the same weight in any class."""
    labels = torch.arange(64).remainder(4).clamp(max=1)
    probability = {}
    for balanced in (False, True):
        network = nn.Sequential(nn.Flatten(), nn.Linear(1, 2))
        for parameter in network.parameters():
            parameter.data.zero_()
        data = LabelledFeatures(torch.zeros(64, 1, 1, 1), labels, balanced=balanced)
        list(epochs(network, data, Recipe(0.05, 0.0, epochs=100, batch=batch), seed=0))
        probability[balanced] = network(data.features[:1]).softmax(dim=1)[0, 1].item()
    assert probability[False] == pytest.approx(0.75, abs=0.03)
    assert probability[True] == pytest.approx(0.5, abs=0.03)


def test_a_network_trains_in_whole_batches_as_on_repeated_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("objectives.heads.networks.training.STEPS", 1)
    trained = []
    for data in both_ways(drawn(5)):
        network = nn.Sequential(nn.Flatten(), nn.Linear(5, 3)).double()
        for parameter in network.parameters():  # of which none has a slope that is zero, whose sign AdamW would follow
            parameter.data = torch.linspace(-1, 1, parameter.numel()).double().view_as(parameter)
        list(epochs(network, data, Recipe(0.01, 0.1, epochs=20), seed=0))
        trained.append(network(data.features[:1]))
    torch.testing.assert_close(trained[0], trained[1], rtol=1e-5, atol=1e-5)


def test_the_vote_of_a_neighbour_has_the_weight_of_its_image() -> None:
    train, validation = replace(blobs_of_sizes((60, 10, 20), 2.0, seed=1), balanced=True), blobs(3, 90, 2.0, seed=2)
    (fit,) = Knn().fit(train, validation, 3, {"neighbours": 7}, 0)
    assert isinstance(fit, Fit)
    assert isinstance(fit.classifier, KnnClassifier)
    standardise = Standardiser.of(train)
    images, queries = (
        nn.functional.normalize(standardise(data.features.flatten(1)).double()) for data in (train, validation)
    )
    cosines, at = (queries @ images.T).topk(7, dim=1)
    votes = ((cosines - 1) / VOTE_TEMPERATURE).exp().where(cosines > 0, 0)[:, :, None] * one_hot(train.labels[at], 3)
    votes = votes.sum(dim=1) / torch.tensor([60, 10, 20])
    expected = votes / votes.sum(dim=1, keepdim=True)
    torch.testing.assert_close(fit.classifier.shares(validation.features).double(), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["linear", "ridge", "knn", "prototype"])
def test_without_information_all_classes_are_equally_probable(name: str) -> None:
    labels = torch.arange(60).remainder(6).clamp(max=2)  # 10, 10, 40; and none of a fourth class
    train = LabelledFeatures(torch.full((60, 2, 1, 1), 3.3), labels, balanced=True)
    (fit,) = HEADS[name].fit(train, train, 4, OPTIONS[name], 0)
    assert isinstance(fit, Fit)
    logits = fit.classifier.logits(train.features[:1])[0]
    torch.testing.assert_close(logits[:3], logits[:1].expand(3), rtol=0, atol=1e-3)
    assert logits[3] < logits[0]


@pytest.mark.parametrize("name", ["linear", "ridge", "knn", "prototype"])
def test_validation_scores_are_never_weighted(name: str) -> None:
    train = replace(blobs_of_sizes((60, 10, 20), 2.0, seed=1), balanced=True)
    validation = blobs_of_sizes((50, 5, 20), 2.0, seed=2)
    (fit,) = HEADS[name].fit(train, validation, 3, OPTIONS[name], 0)
    (again,) = HEADS[name].fit(train, replace(validation, balanced=True), 3, OPTIONS[name], 0)
    assert isinstance(fit, Fit)
    assert isinstance(again, Fit)
    assert fit.details == again.details
    assert fit.validation == again.validation == predict(fit.classifier, validation).accuracy
