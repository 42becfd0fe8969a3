"""The heads that compare directions, against the same votes and means computed in one piece."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors
from torch.nn.functional import normalize, one_hot

from objectives.heads.calibration import INVERSE_TEMPERATURES, fit_inverse_temperature, fit_smoothing, smooth
from objectives.heads.catalog import HEADS
from objectives.heads.head import Fit, LabelledFeatures, predict_labels
from objectives.heads.neighbours.knn import VOTE_TEMPERATURE, Knn, KnnClassifier
from objectives.heads.neighbours.prototype import Prototype
from objectives.heads.standardisation import Standardiser
from spaces.dimensions import Value
from tests.support.heads import blobs, digits


@pytest.mark.parametrize("neighbours", [1, 5, 20])
def test_the_votes_equal_those_of_scikit_learn(neighbours: int) -> None:
    train, validation = digits()
    standardise = Standardiser.of(train)
    oracle = NearestNeighbors(n_neighbors=neighbours, metric="cosine", algorithm="brute")
    oracle.fit(standardise(train.features.flatten(1)).double().numpy())
    distances, at = oracle.kneighbors(standardise(validation.features.flatten(1)).double().numpy())
    votes = torch.from_numpy(-distances / VOTE_TEMPERATURE).exp()[:, :, None] * one_hot(train.labels[at], 10)
    expected = votes.sum(dim=1) / votes.sum(dim=(1, 2))[:, None]
    (fit,) = Knn().fit(train, validation, 10, {"neighbours": neighbours}, 0)
    assert isinstance(fit, Fit)
    assert isinstance(fit.classifier, KnnClassifier)
    shares = fit.classifier.shares(validation.features)
    torch.testing.assert_close(shares.double(), expected, rtol=0, atol=1e-3)
    assert torch.equal(predict_labels(fit.classifier, validation.features), shares.argmax(dim=1))
    predict = fit.classifier.logits(validation.features).softmax(dim=1)
    torch.testing.assert_close(predict, smooth(shares, fit.details["doubt"]))


def test_an_image_unlike_all_others_gets_the_class_frequencies() -> None:
    train = LabelledFeatures(torch.tensor([1.0, 1.0, -1.0, -1.0, -1.0]).view(5, 1, 1, 1), torch.tensor([0, 0, 1, 1, 1]))
    (fit,) = Knn().fit(train, train, 3, {"neighbours": 99}, 0)
    assert isinstance(fit, Fit)
    assert isinstance(fit.classifier, KnnClassifier)
    shares = fit.classifier.shares(torch.tensor([3.0, -3.0, -0.2]).view(3, 1, 1, 1))
    assert shares[:2].tolist() == [[1, 0, 0], [0, 1, 0]]
    torch.testing.assert_close(shares[2], torch.tensor([20.0, 30.0, 1.0]) / 51)


@pytest.mark.parametrize("value", [0, 2.5, "five", None])
def test_an_invalid_number_of_neighbours_is_refused(value: Value) -> None:
    train = blobs(2, 8, 0.1, seed=1)
    with pytest.raises(ValueError, match="needs option 'neighbours', a whole number of at least 1, not"):
        next(Knn().fit(train, train, 2, {"neighbours": value}, 0))


def test_prototypes_are_the_class_means() -> None:
    train, validation = digits()
    (fit,) = Prototype().fit(train, validation, 10, {}, 0)
    assert isinstance(fit, Fit)
    standardise = Standardiser.of(train)
    features, unseen = (standardise(part.features.flatten(1)) for part in (train, validation))
    means = torch.stack([features[train.labels == label].mean(dim=0) for label in range(10)])
    expected = fit.details["factor"] * normalize(unseen) @ normalize(means).T
    torch.testing.assert_close(fit.classifier.logits(validation.features), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["knn", "prototype", "ridge"])
def test_a_class_without_images_is_never_predicted(name: str) -> None:
    train = blobs(3, 30, 0.1, seed=1)
    (fit,) = HEADS[name].fit(train, train, 5, {"neighbours": 5}, 0)
    assert isinstance(fit, Fit)
    everywhere = torch.randn(500, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    assert set(predict_labels(fit.classifier, everywhere).tolist()) == {0, 1, 2}


@given(st.integers(0, 2**31), st.integers(2, 6), st.integers(1, 60), st.floats(0.0, 4.0))
def test_label_smoothing_and_factor_maximise_the_likelihood_and_change_no_prediction(
    seed: int, classes: int, count: int, signal: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (count,), generator=generator)
    scores = torch.randn(count, classes, generator=generator) + signal * one_hot(labels, classes)
    shares = (3 * scores).softmax(dim=1)

    def loss(smoothing: float) -> float:
        return -float(smooth(shares.double(), smoothing).gather(1, labels[:, None]).log().mean())

    smoothing = fit_smoothing(shares, labels)
    assert 1 / (count + 2) - 1e-6 <= smoothing <= 0.99
    grid = torch.linspace(min(1 / (count + 2), 0.5), 0.99, 50).tolist()
    assert loss(smoothing) <= min(map(loss, grid)) + 1e-6
    assert torch.equal(smooth(shares.double(), smoothing).argmax(dim=1), shares.argmax(dim=1))

    rest = 1 / (count + 2)
    targets = (1 - rest) * one_hot(labels, classes).double() + rest / classes

    def entropy(factor: float) -> float:
        return -float((targets * (factor * scores.double()).log_softmax(dim=1)).sum(dim=1).mean())

    factor = fit_inverse_temperature(scores, labels)
    if factor > 2e-3:  # not at the end of its range
        assert entropy(factor) <= min(entropy(factor * change) for change in (0.5, 0.9, 1.1, 2.0)) + 1e-9


def test_scores_that_are_not_numbers_give_an_end_of_the_range() -> None:
    labels, numbers = torch.tensor([0, 1]), torch.full((2, 3), float("nan"))
    assert fit_inverse_temperature(numbers, labels) == INVERSE_TEMPERATURES[1]
    assert fit_smoothing(numbers, labels) == 1 / 4


def test_a_classifier_keeps_no_copy_of_its_training_images() -> None:
    train = blobs(3, 30, 0.1, seed=1)
    rows = replace(train, labels=train.labels[::2], rows=torch.arange(0, 30, 2))
    classifier = Knn().refit(rows, 3, {"neighbours": 1}, {"doubt": 0.1}, 0)
    assert isinstance(classifier, KnnClassifier)
    assert classifier.train is rows
    assert torch.equal(classifier.state()["features"], train.features[::2])
