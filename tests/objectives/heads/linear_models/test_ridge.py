"""The ridge head against a direct solution of its equations, with all images and without each image in turn."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge as Oracle
from torch.nn.functional import one_hot

from objectives.heads.calibration import fit_inverse_temperature
from objectives.heads.head import Fit, LabelledFeatures
from objectives.heads.linear_models.eigenbasis import eigenbasis
from objectives.heads.linear_models.ridge import PATH, LeastSquares, Ridge, leave_one_out
from objectives.heads.standardisation import Standardised, Standardiser
from objectives.scoring import Predictions
from tests.support.heads import digits

CLASSES = 3


@st.composite
def problems(draw: st.DrawFn) -> LabelledFeatures:
    """float64; fewer features than images and more, some constant, some with one image that alone is different; of
    classes that weigh the same and of images that do."""
    n, d = draw(st.integers(4, 16)), draw(st.integers(1, 24))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    labels = torch.randint(CLASSES, (n,), generator=generator)
    labels[:2] = torch.tensor([0, 1])
    features = torch.randn(n, d, generator=generator, dtype=torch.float64) + 0.5 * labels[:, None]
    features *= 10.0 ** torch.randint(-3, 4, (d,), generator=generator)
    features[:, draw(st.integers(0, d - 1))] = 0.1
    spike = draw(st.integers(0, d - 1))
    features[:, spike] = 2.5
    features[draw(st.integers(0, n - 1)), spike] = 7.0
    return LabelledFeatures(features[:, :, None, None], labels, balanced=draw(st.booleans()))


def refitted(
    features: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, l2: float, unseen: torch.Tensor
) -> torch.Tensor:
    """Scores of `unseen` (d,) by the head's objective on features (n, d), targets (n, classes) and weights (n,), solved
    directly."""
    mean, frequencies = (weights @ values / weights.sum() for values in (features, targets))
    centred = features - mean
    weighed = centred.T * weights / len(features)
    matrix = weighed @ centred + l2 * torch.eye(features.shape[1], dtype=features.dtype)
    weight: torch.Tensor = torch.linalg.solve(matrix, weighed @ (targets - frequencies))
    return (unseen - mean) @ weight + frequencies


@given(problems())
def test_leave_one_out_equals_a_fit_to_the_others_at_every_strength(train: LabelledFeatures) -> None:
    standardise = Standardiser.of(train)
    basis = eigenbasis(Standardised(train, standardise))
    strengths = [factor * float(basis.spectrum.sum()) for factor in PATH]
    scaled, targets = train.features.flatten(1) / standardise.scale, one_hot(train.labels, CLASSES).double()
    weights = torch.ones(len(train), dtype=torch.float64) if train.weights is None else train.weights
    for left in LeastSquares(basis, train.labels, CLASSES).leave_one_out(strengths):
        for image in range(len(train)):
            others = torch.arange(len(train)) != image
            expected = refitted(scaled[others], targets[others], weights[others], left.l2, scaled[image])
            frequencies = weights @ targets / weights.sum()
            expected += frequencies - weights[others] @ targets[others] / weights[others].sum()
            label, count = train.labels[image], int((train.labels == train.labels[image]).sum())
            expected[label] += (expected[label] - frequencies[label]) * ((count / max(count - 1, 1)) ** 0.5 - 1)
            torch.testing.assert_close(left.scores[image], expected, rtol=1e-6, atol=1e-6)
        assert left.accuracy.correct == int((left.scores.argmax(dim=1) == train.labels).sum())


@pytest.mark.parametrize("count", [50, 400])  # of 64 features, some of which never vary
def test_leave_one_out_in_float32_ranks_strengths_well_enough(count: int) -> None:
    whole, _ = digits()
    train = LabelledFeatures(whole.features[:count], whole.labels[:count])
    exact = LabelledFeatures(train.features.double(), train.labels)
    basis = eigenbasis(Standardised(exact, Standardiser.of(exact)))
    ours = list(leave_one_out(train, 10))
    theirs = list(LeastSquares(basis, train.labels, 10).leave_one_out([left.l2 for left in ours]))
    assert len(ours) == len(PATH)
    for one, other in zip(ours, theirs, strict=True):
        assert abs(one.accuracy.correct - other.accuracy.correct) <= 1
        digits_lost = 1e-7 * float(basis.spectrum.sum()) / one.l2  # 1 - h is about as small as l2 is
        torch.testing.assert_close(one.scores.double(), other.scores, rtol=0, atol=20 * digits_lost)


def test_features_without_information_give_no_good_score() -> None:
    """More features than images: a held-out image that leaks into the mean is told from the rest by that alone."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 2
    noise = LabelledFeatures(torch.randn(60, 500, 1, 1, generator=generator), labels)
    for left in leave_one_out(noise, 2):
        assert left.accuracy.value <= 0.7, left.l2


@pytest.mark.parametrize("count", [50, 400])
def test_fits_what_scikit_learn_fits(count: int) -> None:
    whole, validation = digits()
    train = LabelledFeatures(whole.features[:count], whole.labels[:count])
    (fit,) = Ridge().fit(train, validation, 10, {}, 0)
    assert isinstance(fit, Fit)
    standardise = Standardiser.of(train)
    oracle = Oracle(alpha=count * fit.details["l2"])
    oracle.fit(standardise(train.features.flatten(1)).double(), one_hot(train.labels, 10).double())
    expected = torch.from_numpy(oracle.predict(standardise(validation.features.flatten(1)).double()))
    scores = fit.classifier.logits(validation.features).double() / fit.details["factor"]
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-3)


def test_probabilities_are_calibrated() -> None:
    train, validation = digits()
    half = len(validation) // 2
    chosen = LabelledFeatures(validation.features[:half], validation.labels[:half])
    (fit,) = Ridge().fit(train, chosen, 10, {}, 0)
    assert isinstance(fit, Fit)
    predict, labels = fit.classifier.logits(validation.features[half:]).softmax(dim=1).max(dim=1)
    right = (labels == validation.labels[half:]).float().mean()
    assert float(predict.mean()) == pytest.approx(float(right), abs=0.04)


@pytest.mark.parametrize("metric", ["accuracy", "nll"])
def test_chooses_by_the_metric(metric: str) -> None:
    """With few images, the two metrics choose different strengths."""
    train, rest = digits()
    few = LabelledFeatures(train.features[:80], train.labels[:80])
    validation = LabelledFeatures(rest.features, rest.labels, metric=metric)
    (fit,) = Ridge().fit(few, validation, 10, {}, 0)
    assert isinstance(fit, Fit)
    standardise = Standardiser.of(few)
    variance = float(eigenbasis(Standardised(few, standardise)).spectrum.sum())
    score = {}
    for factor in PATH:
        details = {"l2": factor * variance, "factor": 1.0}
        scores = Ridge().refit(few, 10, {}, details, 0).logits(rest.features)
        score[details["l2"]] = Predictions.of(fit_inverse_temperature(scores, rest.labels) * scores, rest.labels).score(
            metric
        )
    chosen = min(score, key=lambda l2: abs(l2 - fit.details["l2"]))
    assert score[chosen] == pytest.approx(max(score.values()), abs=1e-4)
