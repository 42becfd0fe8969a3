"""The linear head: multinomial logistic regression on standardised features, its L2 strength chosen on validation."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy

from objectives.heads.head import FeatureLayout, Fit, FittedHead, LabelledFeatures, accuracy, check
from objectives.heads.linear_models.eigenbasis import Basis, eigenbasis
from objectives.heads.linear_models.logistic import LogisticRegression, Solution
from objectives.heads.standardisation import Standardised, Standardiser
from objectives.results import Epoch
from objectives.scoring import Predictions
from spaces.dimensions import Value

# L2 strengths as multiples of the features' total variance (the number of features that vary, once standardised), from
# strong to weak. The best strength grows with that variance. It was 3e-5 to 1e-3 of it for 100 to 3,000 features of
# U-Net blocks that classify birds poorly, and 3e-7 to 1e-5 for random convolutions that classify digits well.
PATH = tuple(10 ** (-2.5 - half / 2) for half in range(9))


@dataclass(frozen=True)
class LinearClassifier:
    """A linear classifier of standardised features. weight: (classes, d). bias: (classes,)."""

    standardise: Standardiser
    weight: torch.Tensor
    bias: torch.Tensor

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        return torch.addmm(self.bias, self.standardise(features.flatten(1)), self.weight.T)

    def state(self) -> dict[str, torch.Tensor]:
        tensors = {
            "mean": self.standardise.mean,
            "scale": self.standardise.scale,
            "weight": self.weight,
            "bias": self.bias,
        }
        return {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}

    @classmethod
    def of(cls, state: Mapping[str, torch.Tensor]) -> "LinearClassifier":
        """Rebuild the classifier that had this state."""
        return cls(Standardiser(state["mean"], state["scale"]), state["weight"], state["bias"])


@dataclass(frozen=True)
class Linear:
    """Multinomial logistic regression, fitted to convergence at every L2 strength of `PATH`.

    The strength with the best metric on the validation images is kept. Ties go to the lower validation cross-entropy,
    then to the stronger penalty. Nothing is random, and the seed is unused.

    details: "l2", the coefficient of ‖W‖²/2 beside the mean cross-entropy; "converged", whether the fit at this
    strength converged, 1 or 0.
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
        standardise, basis = _prepared(train)
        validated = basis.project(Standardised(validation, standardise))
        variance = max(float(basis.spectrum.sum()), 1.0)

        def preference(solution: Solution) -> tuple[float, float]:
            """Return the score by the metric, and the negative cross-entropy, which decides between equal scores."""
            logits = torch.addmm(solution.bias, validated, solution.weights.T)
            score = Predictions.of(logits, validation.labels).score(validation.metric)
            return score, -float(cross_entropy(logits, validation.labels))

        regression = LogisticRegression(basis, train.labels, classes)
        path = regression.path([factor * variance for factor in PATH])
        best = regression.refine(max(path, key=preference))  # of equals the first, which is the strongest
        classifier = _classifier(standardise, basis, best)
        details = {"l2": best.l2, "converged": float(best.converged)}
        yield Fit(classifier, accuracy(classifier, validation), details)

    def refit(
        self,
        train: LabelledFeatures,
        classes: int,
        options: Mapping[str, Value],
        details: Mapping[str, float],
        seed: int,
    ) -> FittedHead:
        check(classes, train)
        standardise, basis = _prepared(train)
        solution = LogisticRegression(basis, train.labels, classes).solve(details["l2"])
        return _classifier(standardise, basis, solution)

    def restore(
        self,
        state: Mapping[str, torch.Tensor],
        layout: FeatureLayout,
        classes: int,
        options: Mapping[str, Value],
    ) -> FittedHead:
        return LinearClassifier.of(state)


def _prepared(train: LabelledFeatures) -> tuple[Standardiser, Basis]:
    standardise = Standardiser.of(train)
    return standardise, eigenbasis(Standardised(train, standardise))


def _classifier(standardise: Standardiser, basis: Basis, solution: Solution) -> LinearClassifier:
    return LinearClassifier(standardise, basis.lift(solution.weights), solution.bias)
