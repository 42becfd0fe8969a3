"""The ridge head: least squares on one-hot targets, with exact leave-one-out predictions at almost no cost.

Minimises, over weights W (classes, d) and an unpenalised bias b (classes,), on standardised features z_i,

    mean_i w_i ½ ‖W z_i + b - onehot(y_i)‖² + l2/2 ‖W‖²

where w_i is the weight of image i, 1 on average.

In the basis in which the covariance is diagonal, the solution at any strength is a division (Hoerl and Kennard 1970).
So one eigen-decomposition, of the smaller of the covariance and the Gram matrix, serves all strengths.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy, one_hot

from objectives.heads.calibration import fit_inverse_temperature
from objectives.heads.head import (
    SLAB_BYTES,
    FeatureLayout,
    Fit,
    FittedHead,
    Fold,
    FoldFits,
    LabelledFeatures,
    accuracy,
    check,
)
from objectives.heads.linear_models.eigenbasis import Basis, eigenbasis
from objectives.heads.linear_models.folds import FoldPredictions, fold_bases
from objectives.heads.linear_models.linear import LinearClassifier
from objectives.heads.products import product
from objectives.heads.standardisation import Standardised, Standardiser
from objectives.results import Accuracy, Epoch
from objectives.scoring import Predictions
from spaces.dimensions import Value

# L2 strengths as multiples of the features' total variance, as for the linear head, from strong to weak. At the
# strongest little but the direction of the class means is left; at the weakest float32 has few digits left for leaving
# one out.
PATH = tuple(10 ** (-half / 2) for half in range(11))


@dataclass(frozen=True)
class LeaveOneOut:
    """The leave-one-out predictions at one strength: each image is scored by a classifier of all other images.

    l2: the strength. scores: (n, classes); the predicted label is that of the largest. accuracy: of these labels.
    effective_rank: of the features, as `LeastSquares.effective_rank`.
    """

    l2: float
    scores: torch.Tensor
    accuracy: Accuracy
    effective_rank: float


class LeastSquares:
    """The objective on one set of images."""

    def __init__(self, basis: Basis, labels: torch.Tensor, classes: int) -> None:
        """labels: int64 (n,), each in [0, classes), of the basis's images."""
        self.with_ones, self.spectrum, self.labels = basis.images, basis.spectrum, labels
        self.images = self.with_ones[:, :-1]
        self.n = len(labels)
        targets = one_hot(labels, classes).to(self.images.dtype)
        self.bias = basis.mean(targets)  # the images' mean is zero
        self.moments = basis.weighed((targets - self.bias).T) @ self.images / self.n  # (classes, r)
        # The mean is zero except for rounding error. With more features than images, that error alone spans one
        # direction, that of all ones, which leaving one out must not count twice.
        self.mean, self.weighed = basis.mean(self.images), basis.weighed

    def effective_rank(self) -> float:
        """Return over how many directions the variance of the features is spread, at least 1.

        It is exp of the entropy of the eigenvalues of their covariance, divided by the sum of these (Roy and Vetterli
        2007, "The effective rank", equation 4, of the eigenvalues instead of the singular values).
        """
        shares = self.spectrum.double().clamp(min=0)
        shares = shares / shares.sum().clamp(min=torch.finfo(shares.dtype).tiny)
        return float(torch.special.entr(shares).sum().exp())

    def weights(self, l2: float) -> torch.Tensor:
        """Return the weights in the basis at one strength, (classes, r)."""
        return self.moments / (self.spectrum + l2)

    def leave_one_out(self, strengths: Sequence[float]) -> Iterator[LeaveOneOut]:
        """Yield the leave-one-out predictions at each strength, without a refit.

        The residual of an image in the fit without it is its residual in the full fit divided by 1 - h, where h is its
        entry on the diagonal of the hat matrix (Allen 1974; Golub, Heath and Wahba 1979). The penalty l2 stands beside
        the mean over n - 1 images, as in a refit. Image weights stay those among all n images: if each refit shared a
        class's weight anew, it would be a problem of its own.

        Without an image its class is rarer, which tells the label: of 10 equal classes with shuffled labels, only 2 %
        of the images were correct. So the class frequencies stay those of all images, and the image's own class is
        scored as if it had lost no image: on shuffled labels, the scores of a class of n images vary by the root of n.
        """
        effective = [l2 * (self.n - 1) / self.n for l2 in strengths]
        inverse = torch.stack([1 / (self.spectrum + l2) for l2 in effective], dim=1)  # (r, strengths)
        step = max(SLAB_BYTES // (self.images.element_size() * max(len(self.spectrum), 1)), 1)
        parts = [(part - self.mean).square() @ inverse for part in torch.split(self.images, step)]
        leverage = self.weighed(torch.cat(parts).add_(1).div_(self.n).T)  # (strengths, n)
        targets, share = one_hot(self.labels, len(self.bias)), self.weighed(self.bias.new_ones(self.n))
        frequencies = (targets - self.bias) * (share / (self.n - share))[:, None]  # of all images, minus of the others
        counts = targets.sum(dim=0)[self.labels, None].to(share.dtype)
        rank = self.effective_rank()
        own_class = 1 + targets * ((counts / (counts - 1).clamp(min=1)).sqrt() - 1)
        for index, l2 in enumerate(strengths):
            weights = self.weights(effective[index])
            parameters = torch.column_stack([weights, self.bias - weights @ self.mean])
            scores = product(parameters, self.with_ones).T
            hat = leverage[index, :, None].clamp(max=1 - torch.finfo(scores.dtype).eps)
            scores = (scores - hat * targets) / (1 - hat) + frequencies
            scores = self.bias + (scores - self.bias) * own_class
            correct = int((scores.argmax(dim=1) == self.labels).sum())
            yield LeaveOneOut(l2, scores, Accuracy(correct, self.n), rank)


def leave_one_out(train: LabelledFeatures, classes: int) -> Iterator[LeaveOneOut]:
    """Yield the leave-one-out predictions of a ridge at each strength of `PATH`, strong to weak, without a refit.

    Each image's scores are, up to rounding, those of a ridge fitted to the other images, with their mean, but as if the
    image's class had lost no image. The features' scales, which depend on no label, are those of all n images. Raises
    as `Head` does.
    """
    check(classes, train)
    basis, strengths = _prepared(train)[1:]
    yield from LeastSquares(basis, train.labels, classes).leave_one_out(strengths)


@dataclass(frozen=True)
class Ridge:
    """Ridge regression on one-hot targets, at the strength of `PATH` with the best metric on the validation images.

    Ties go to the lower validation cross-entropy, then to the stronger penalty. Logits are the least-squares scores
    times a factor that is fitted on the validation split. Nothing is random, and the seed is unused.

    details: "l2", the coefficient of ‖W‖²/2 beside half the mean squared error; "factor", the inverse temperature.
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
        standardise, basis, strengths = _prepared(train)
        validated = basis.project(Standardised(validation, standardise))
        squares = LeastSquares(basis, train.labels, classes)

        def validated_at(l2: float) -> tuple[float, float, float]:
            """Return the score by the metric, the negative cross-entropy, and the factor of the logits."""
            scores = torch.addmm(squares.bias, validated, squares.weights(l2).T)
            factor = fit_inverse_temperature(scores, validation.labels)
            score = Predictions.of(factor * scores, validation.labels).score(validation.metric)
            return score, -float(cross_entropy(factor * scores, validation.labels)), factor

        results = {l2: validated_at(l2) for l2 in strengths}
        best = max(results, key=lambda l2: results[l2][:2])  # of equals the first, which is the strongest
        details = {"l2": best, "factor": results[best][2]}
        classifier = _classifier(standardise, basis, squares, details)
        yield Fit(classifier, accuracy(classifier, validation), details)

    def fit_folds(
        self,
        data: LabelledFeatures,
        folds: Sequence[Fold],
        classes: int,
        options: Mapping[str, Value],
        seed: int,
    ) -> FoldFits:
        """Fit every fold, and keep the strength and the factor that all folds together prefer."""
        check(classes, data)
        bases = fold_bases(data, folds)
        squares = [LeastSquares(fold.basis, fold.labels, classes) for fold in bases]
        labels = torch.cat([fold.validation_labels for fold in bases])
        variance = max(sum(float(fold.basis.spectrum.sum()) for fold in bases) / len(bases), 1.0)

        def validated_at(l2: float) -> tuple[FoldPredictions, float]:
            scores = [
                torch.addmm(square.bias, fold.validated[:, :-1], square.weights(l2).T)
                for fold, square in zip(bases, squares, strict=True)
            ]
            factor = fit_inverse_temperature(torch.cat(scores), labels)
            predictions = (
                Predictions.of(factor * part, fold.validation_labels) for part, fold in zip(scores, bases, strict=True)
            )
            return FoldPredictions(tuple(predictions), data.metric), factor

        results = {strength * variance: validated_at(strength * variance) for strength in PATH}
        best = max(results, key=lambda l2: results[l2][0].preference)
        predictions, factor = results[best]
        weight, bias = bases[-1].lift(squares[-1].weights(best), squares[-1].bias)
        classifier = LinearClassifier(bases[-1].standardise, weight * factor, bias * factor)
        return FoldFits(predictions.folds, classifier, {"l2": best, "factor": factor})

    def refit(
        self,
        train: LabelledFeatures,
        classes: int,
        options: Mapping[str, Value],
        details: Mapping[str, float],
        seed: int,
    ) -> FittedHead:
        check(classes, train)
        standardise, basis, _ = _prepared(train)
        return _classifier(standardise, basis, LeastSquares(basis, train.labels, classes), details)

    def restore(
        self,
        state: Mapping[str, torch.Tensor],
        layout: FeatureLayout,
        classes: int,
        options: Mapping[str, Value],
    ) -> FittedHead:
        return LinearClassifier.of(state)


def _prepared(train: LabelledFeatures) -> tuple[Standardiser, Basis, list[float]]:
    standardise = Standardiser.of(train)
    basis = eigenbasis(Standardised(train, standardise))
    variance = max(float(basis.spectrum.sum()), 1.0)
    return standardise, basis, [factor * variance for factor in PATH]


def _classifier(
    standardise: Standardiser, basis: Basis, squares: LeastSquares, details: Mapping[str, float]
) -> LinearClassifier:
    weight = basis.lift(squares.weights(details["l2"]))
    return LinearClassifier(standardise, weight * details["factor"], squares.bias * details["factor"])
