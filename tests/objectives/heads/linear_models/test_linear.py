"""The linear head against scikit-learn's solver, run in float64 to convergence on the same objective."""

from dataclasses import dataclass

import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import cross_entropy

from objectives.heads.head import Fit, LabelledFeatures, predict_labels
from objectives.heads.linear_models import logistic
from objectives.heads.linear_models.eigenbasis import eigenbasis
from objectives.heads.linear_models.linear import PATH, Linear
from objectives.heads.linear_models.logistic import LogisticRegression as Regression
from objectives.heads.standardisation import Standardised, Standardiser
from objectives.scoring import Predictions

UNSEEN = 4000


@dataclass(frozen=True)
class Problem:
    """features (n, d) and labels for training; `unseen` (m, d) to predict."""

    features: torch.Tensor
    labels: torch.Tensor
    unseen: torch.Tensor

    @property
    def classes(self) -> int:
        return int(self.labels.max()) + 1


def drawn(n: int, d: int, classes: int, distance: float, rank: int | None = None) -> Problem:
    """Gaussian classes `distance` apart; with a rank, correlated as a network's features are: power-law variances."""
    generator = torch.Generator().manual_seed(n + d)
    labels = torch.arange(n + UNSEEN) % classes
    centres = distance * torch.randn(classes, d, generator=generator)
    features = centres[labels] + torch.randn(n + UNSEEN, d, generator=generator)
    if rank is not None:
        mixing = torch.randn(d, rank, generator=generator) / torch.arange(1, rank + 1)
        features = features @ mixing @ torch.randn(rank, d, generator=generator) + 0.01 * features
    return Problem(features[:n], labels[:n], features[n:])


def imbalanced() -> Problem:
    """340 of 400 images are of class 0, and 4 of class 5."""
    whole = drawn(2_000, 20, 6, 0.5)
    rows = torch.cat([(whole.labels == k).nonzero()[:many, 0] for k, many in enumerate([330, 30, 20, 10, 6, 4])])
    return Problem(whole.features[rows], whole.labels[rows], whole.unseen)


def duplicated() -> Problem:
    once = drawn(300, 15, 5, 0.7)
    return Problem(once.features.repeat(1, 4), once.labels, once.unseen.repeat(1, 4))


def badly_scaled() -> Problem:
    """Units from 1e-4 to 1e4, far from zero, as blocks of a network are scaled differently."""
    once = drawn(300, 40, 6, 0.4)
    units = 10 ** torch.linspace(-4, 4, 40)
    return Problem((once.features + 20) * units, once.labels, (once.unseen + 20) * units)


def digit_pixels() -> Problem:
    pixels, labels = load_digits(return_X_y=True)
    features, targets = torch.from_numpy(pixels).float(), torch.from_numpy(labels).long()
    return Problem(features[:800], targets[:800], features)


PROBLEMS = {
    "separable": drawn(200, 30, 4, 3.0),
    "noisy": drawn(500, 40, 8, 0.2),
    "two classes": drawn(150, 10, 2, 0.5),
    "more features than images": drawn(150, 600, 10, 0.3, rank=100),
    "correlated": drawn(400, 120, 12, 0.5, rank=60),
    "imbalanced": imbalanced(),
    "duplicated columns": duplicated(),
    "badly scaled": badly_scaled(),
    "digits": digit_pixels(),
}


@dataclass(frozen=True)
class Linearly:
    """weight: (classes, d). bias: (classes, 1)."""

    weight: torch.Tensor
    bias: torch.Tensor

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        return self.weight @ features.double().T + self.bias

    def loss(self, features: torch.Tensor, labels: torch.Tensor, l2: float) -> float:
        return float(cross_entropy(self.logits(features).T, labels) + l2 / 2 * self.weight.square().sum())


def optimum(problem: Problem, features: torch.Tensor, l2: float) -> Linearly:
    # For two classes scikit-learn fits one difference w. Ours are -w/2 and w/2, which have half the square of w.
    halves = 2 if problem.classes == 2 else 1
    oracle = LogisticRegression(C=halves / (len(features) * l2), tol=1e-8, max_iter=100_000)
    oracle.fit(features.double().numpy(), problem.labels.numpy())
    weight, bias = torch.from_numpy(oracle.coef_), torch.from_numpy(oracle.intercept_)[:, None]
    if halves == 2:
        weight, bias = (torch.cat([-part, part]) / 2 for part in (weight, bias))
    return Linearly(weight, bias)


@pytest.mark.parametrize("name", PROBLEMS)
def test_agrees_with_scikit_learn_at_every_strength(name: str) -> None:
    problem = PROBLEMS[name]
    train = LabelledFeatures(problem.features[:, :, None, None], problem.labels)
    standardise = Standardiser.of(train)
    features, unseen = standardise(problem.features), standardise(problem.unseen)
    basis = eigenbasis(Standardised(train, standardise))
    regression = Regression(basis, problem.labels, problem.classes)
    for compared in regression.path([factor * float(basis.spectrum.sum()) for factor in PATH]):
        theirs = optimum(problem, features, compared.l2)
        least = theirs.loss(features, problem.labels, compared.l2)
        for solution, tolerance in [(compared, 3e-4), (regression.refine(compared), 1e-5)]:
            assert solution.converged
            ours = Linearly(basis.lift(solution.weights).double(), solution.bias.double()[:, None])
            assert ours.loss(features, problem.labels, solution.l2) == pytest.approx(least, rel=tolerance)
        agreed = (ours.logits(unseen).argmax(dim=0) == theirs.logits(unseen).argmax(dim=0)).double().mean()
        assert agreed >= 0.999, solution.l2


@pytest.mark.parametrize("name", PROBLEMS)
def test_fit_and_refit_agree_with_scikit_learn_at_the_strength_they_chose(name: str) -> None:
    problem = PROBLEMS[name]
    train = LabelledFeatures(problem.features[:, :, None, None], problem.labels)
    unseen = problem.unseen[:, :, None, None]
    (fit,) = Linear().fit(train, train, problem.classes, {}, 0)
    assert isinstance(fit, Fit)
    assert fit.details["converged"] == 1
    standardise = Standardiser.of(train)
    features = standardise(problem.features)
    theirs = optimum(problem, features, fit.details["l2"])
    least = theirs.loss(features, problem.labels, fit.details["l2"])
    expected = theirs.logits(standardise(problem.unseen)).argmax(dim=0)
    for classifier in (fit.classifier, Linear().refit(train, problem.classes, {}, fit.details, 0)):
        assert (predict_labels(classifier, unseen) == expected).double().mean() >= 0.999
        state = classifier.state()
        ours = Linearly(state["weight"].double(), state["bias"].double()[:, None])
        assert ours.loss(features, problem.labels, fit.details["l2"]) == pytest.approx(least, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("digits", "accuracy"),
        ("separable", "accuracy"),  # most strengths get every image right
        ("digits", "nll"),
        ("correlated", "nll"),
    ],
)
def test_chooses_by_the_metric_and_then_by_cross_entropy(name: str, metric: str) -> None:
    whole, count = PROBLEMS[name], len(PROBLEMS[name].labels) // 2
    half = Problem(whole.features[:count], whole.labels[:count], whole.features[count:])
    validation = LabelledFeatures(half.unseen[:, :, None, None], whole.labels[count:], metric=metric)
    train = LabelledFeatures(half.features[:, :, None, None], half.labels)
    (fit,) = Linear().fit(train, validation, whole.classes, {}, 0)
    assert isinstance(fit, Fit)
    standardise = Standardiser.of(train)
    features, unseen = standardise(half.features), standardise(half.unseen)
    score = {}
    for factor in PATH:
        l2 = factor * int((features.var(dim=0) > 0.5).sum())  # some of the digits' pixels never vary
        logits = optimum(half, features, l2).logits(unseen).T
        first = Predictions.of(logits, validation.labels).score(metric)
        score[l2] = (first, -float(cross_entropy(logits, validation.labels)))
    best = max(score, key=lambda l2: score[l2])
    assert fit.details["l2"] == pytest.approx(best)
    if metric == "accuracy":
        assert fit.validation.value == score[best][0]


def test_a_fit_that_runs_out_of_iterations_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = PROBLEMS["correlated"]
    train = LabelledFeatures(problem.features[:, :, None, None], problem.labels)
    monkeypatch.setattr(logistic, "MAX_ITERATIONS", 2)
    (fit,) = Linear().fit(train, train, problem.classes, {}, 0)
    assert isinstance(fit, Fit)
    assert fit.details["converged"] == 0


def test_the_basis_is_orthonormal_and_reproduces_the_images() -> None:
    for name in ("noisy", "more features than images", "duplicated columns"):
        train = LabelledFeatures(PROBLEMS[name].features[:, :, None, None], PROBLEMS[name].labels)
        standardise = Standardiser.of(train)
        features = standardise(PROBLEMS[name].features)
        basis = eigenbasis(Standardised(train, standardise))
        projected = basis.project(Standardised(train, standardise))
        torch.testing.assert_close(projected, basis.images[:, :-1], atol=1e-2, rtol=1e-3)
        assert bool((basis.images[:, -1] == 1).all())
        torch.testing.assert_close(projected.square().mean(dim=0), basis.spectrum, atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(basis.lift(projected), features, atol=1e-2, rtol=1e-3)
