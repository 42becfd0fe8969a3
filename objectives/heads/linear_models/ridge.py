"""The ridge head: least squares on one-hot targets, with exact leave-one-out predictions for nothing.

Minimises, over weights W (classes, d) and an unpenalised bias b (classes,), on standardised features z_i,

    mean_i w_i ½ ‖W z_i + b - onehot(y_i)‖² + l2/2 ‖W‖²

where w_i is what an image counts for, 1 on average.

In the basis that makes the covariance diagonal the solution at any strength is a division (Hoerl and Kennard 1970), so
one eigen-decomposition serves the whole path, of the smaller of the covariance and the Gram matrix.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy, one_hot

from objectives.heads.calibrating import fitted_factor
from objectives.heads.head import SLAB_BYTES, Classifier, Fit, LabelledFeatures, Layout, accuracy, check
from objectives.heads.linear_models.eigenbasis import Basis, eigenbasis
from objectives.heads.linear_models.linear import LinearClassifier
from objectives.heads.standardising import Standardised, Standardiser
from objectives.results import Accuracy, Epoch
from objectives.scoring import Predictions
from spaces.dimensions import Value

# Times the features' total variance, as for the linear head. Strong to weak: from where little but the direction of
# the class means is left, to where float32 has few digits left for leaving one out.
PATH = tuple(10 ** (-half / 2) for half in range(11))


@dataclass(frozen=True)
class LeftOut:
    """What the classifiers of one strength, each fitted to all images but one, make of that one.

    l2: the strength. scores: (n, classes); the label predicted is that of the largest. accuracy: of these labels.
    """

    l2: float
    scores: torch.Tensor
    accuracy: Accuracy


class LeastSquares:
    """The objective on one set of images."""

    def __init__(self, basis: Basis, labels: torch.Tensor, classes: int) -> None:
        """labels: int64 (n,), each in [0, classes), of the basis's images."""
        self.images, self.spectrum, self.labels = basis.images[:, :-1], basis.spectrum, labels
        self.n = len(labels)
        targets = one_hot(labels, classes).to(self.images.dtype)
        self.bias = basis.mean(targets)  # because the images' mean is zero
        self.moments = basis.weighed((targets - self.bias).T) @ self.images / self.n  # (classes, r)
        # Zero but for rounding, which alone spans one direction of more features than images: that of all ones, which
        # leaving one out must not count twice.
        self.mean, self.weighed = basis.mean(self.images), basis.weighed

    def weights(self, l2: float) -> torch.Tensor:
        """In the basis, (classes, r)."""
        return self.moments / (self.spectrum + l2)

    def left_out(self, strengths: Sequence[float]) -> Iterator[LeftOut]:
        """For each strength. As the bias is not penalised, no mean and no frequency knows the image that is left out.

        What an image's score is short of in the refit is what it is short of in the fit over 1 - h, where h is the
        image's entry on the hat matrix's diagonal (Allen 1974; Golub, Heath and Wahba 1979). l2 weighs against the mean
        over n - 1 images, as it would in such a refit. The others count for what they count for among all n: were their
        class's weight shared anew, each refit would be a problem of its own.
        """
        held = [l2 * (self.n - 1) / self.n for l2 in strengths]
        inverse = torch.stack([1 / (self.spectrum + l2) for l2 in held], dim=1)  # (r, strengths)
        step = max(SLAB_BYTES // (self.images.element_size() * max(len(self.spectrum), 1)), 1)
        parts = [(part - self.mean).square() @ inverse for part in torch.split(self.images, step)]
        leverage = self.weighed(torch.cat(parts).add_(1).div_(self.n).T)  # (strengths, n)
        for place, l2 in enumerate(strengths):
            weights = self.weights(held[place])
            scores = torch.addmm(self.bias - weights @ self.mean, self.images, weights.T)
            hat = leverage[place, :, None].clamp(max=1 - torch.finfo(scores.dtype).eps)
            own = one_hot(self.labels, len(self.bias))
            scores = (scores - hat * own) / (1 - hat)
            correct = int((scores.argmax(dim=1) == self.labels).sum())
            yield LeftOut(l2, scores, Accuracy(correct, self.n))


def leave_one_out(train: LabelledFeatures, classes: int) -> Iterator[LeftOut]:
    """For each strength of the path, strong to weak, without a refit.

    Each image's scores are those of a ridge fitted to the others, up to rounding: with their mean, their classes'
    frequencies and that strength. Only each feature's scale, which knows no label, is that of all n images: without it
    each refit would be a problem of its own. Raises as `Head` does.
    """
    check(classes, train)
    basis, strengths = _prepared(train)[1:]
    yield from LeastSquares(basis, train.labels, classes).left_out(strengths)


@dataclass(frozen=True)
class Ridge:
    """Of the strengths of a path keeps the best by the metric of the validation images; ties go to the lower
    cross-entropy there, then to the stronger. Its logits are the least-squares scores times a factor that is fitted on
    the validation split. Nothing in it is random: the seed is not used.

    details: "l2", the coefficient of ‖W‖²/2 beside half the mean squared error; "factor".
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

        def score(l2: float) -> tuple[float, float, float]:
            scores = torch.addmm(squares.bias, validated, squares.weights(l2).T)
            factor = fitted_factor(scores, validation.labels)
            best = Predictions.of(factor * scores, validation.labels).score(validation.metric)
            return best, -float(cross_entropy(factor * scores, validation.labels)), factor

        scores = {l2: score(l2) for l2 in strengths}
        best = max(scores, key=lambda l2: scores[l2][:2])  # the first of equals, so the stronger
        details = {"l2": best, "factor": scores[best][2]}
        classifier = _classifier(standardise, basis, squares, details)
        yield Fit(classifier, accuracy(classifier, validation), details)

    def refit(
        self,
        train: LabelledFeatures,
        classes: int,
        options: Mapping[str, Value],
        details: Mapping[str, float],
        seed: int,
    ) -> Classifier:
        check(classes, train)
        standardise, basis, _ = _prepared(train)
        return _classifier(standardise, basis, LeastSquares(basis, train.labels, classes), details)

    def restore(
        self,
        state: Mapping[str, torch.Tensor],
        layout: Layout,
        classes: int,
        options: Mapping[str, Value],
    ) -> Classifier:
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
