"""The linear head: multinomial logistic regression on standardised features, its L2 strength chosen on validation."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import lt

import torch
from torch.nn.functional import cross_entropy

from objectives.heads.head import FeatureLayout, Fit, FittedHead, Fold, FoldFits, LabelledFeatures, accuracy, check
from objectives.heads.linear_models.eigenbasis import Basis, eigenbasis
from objectives.heads.linear_models.folds import FoldPredictions
from objectives.heads.linear_models.logistic import FOLDS_TOLERANCE, LogisticRegression, Solution
from objectives.heads.standardisation import Standardised, Standardiser
from objectives.results import Epoch
from objectives.scoring import Predictions
from spaces.dimensions import Value

# L2 strengths as multiples of the features' total variance (the number of features that vary, once standardised), from
# strong to weak. The best strength grows with that variance. It was 3e-5 to 1e-3 of it for 100 to 3,000 features of
# U-Net blocks that classify birds poorly, and 3e-7 to 1e-5 for random convolutions that classify digits well.
PATH = tuple(10 ** (-2.5 - half / 2) for half in range(9))


PATIENCE = 2
"""Strengths that may be worse than the best before the path of the folds ends."""


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
        """Rebuild the classifier that had this state. Raises ValueError for weights that are no matrix."""
        if state["weight"].ndim != 2:
            raise ValueError(f"its weights must have the shape (classes, d), got {tuple(state['weight'].shape)}")
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

    def fit_folds(
        self,
        data: LabelledFeatures,
        folds: Sequence[Fold],
        classes: int,
        options: Mapping[str, Value],
        seed: int,
    ) -> FoldFits:
        """Fit every fold at the same strengths, and keep the one that all folds together prefer.

        One basis, of all images, serves every fold. Strengths go from strong to weak. The path ends when `PATIENCE`
        strengths in succession are worse than the best by the metric and by the cross-entropy. Solutions are to
        `FOLDS_TOLERANCE`: only those of `refit` classify other images.
        """
        check(classes, data)
        # The basis only turns the coordinates of the weights: it changes the way to a minimum, not the minimum.
        standardise, basis = _prepared(data)
        variance = max(float(basis.spectrum.sum()), 1.0)
        strengths = [factor * variance for factor in PATH]
        paths = [
            LogisticRegression(basis.subset(fold.train, data), data.labels[fold.train], classes).path(
                strengths, FOLDS_TOLERANCE
            )
            for fold in folds
        ]
        best: _Candidate | None = None
        worse = 0  # strengths in succession that are worse than the best
        for solutions in zip(*paths, strict=True):
            predictions = tuple(
                Predictions.of(basis.images[fold.validation] @ solution.parameters.T, data.labels[fold.validation])
                for fold, solution in zip(folds, solutions, strict=True)
            )
            candidate = _Candidate(FoldPredictions(predictions, data.metric), solutions)
            if best is None or candidate.preference > best.preference:  # of equals the first, which is the strongest
                best = candidate
            worse = worse + 1 if all(map(lt, candidate.preference, best.preference)) else 0
            if worse == PATIENCE:
                break
        assert best is not None  # `PATH` is not empty
        solution = best.solutions[-1]
        converged = all(solution.converged for solution in best.solutions)
        classifier = _classifier(standardise, basis, solution)
        return FoldFits(best.predictions.folds, classifier, {"l2": solution.l2, "converged": float(converged)})

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


@dataclass(frozen=True)
class _Candidate:
    """The solutions of all folds at one strength, and their predictions."""

    predictions: FoldPredictions
    solutions: tuple[Solution, ...]

    @property
    def preference(self) -> tuple[float, float]:
        return self.predictions.preference


def _prepared(train: LabelledFeatures) -> tuple[Standardiser, Basis]:
    standardise = Standardiser.of(train)
    return standardise, eigenbasis(Standardised(train, standardise))


def _classifier(standardise: Standardiser, basis: Basis, solution: Solution) -> LinearClassifier:
    return LinearClassifier(standardise, basis.lift(solution.weights), solution.bias)
