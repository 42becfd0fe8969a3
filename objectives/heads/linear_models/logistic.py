"""Multinomial logistic regression to convergence, for a path of L2 strengths at about the price of one fit.

Minimises, over weights W (K, r) and an unpenalised bias b (K,),

    mean_i w_i cross-entropy(W z_i + b, y_i) + l2/2 ‖W‖²

where w_i is the weight of image i, 1 on average.

One eigen-decomposition serves every strength. In the eigenbasis of the images' covariance the Hessian of each class is
nearly diagonal: mean_i w_i p_ik (1 - p_ik) λ_j + l2 at (k, j), which is exact if all images have the same probabilities
(Böhning 1992 bounds it by λ_j/2 + l2). That diagonal preconditions L-BFGS (Nocedal 1980). Logits are linear in the
weights, so a line search needs no product with the features and can be nearly exact. Strengths go from strong to weak,
and each fit starts at the extrapolation of the last two solutions. A fit takes three to fifteen iterations on features
of U-Net blocks.

No library is used because scikit-learn's LogisticRegression, which has no preconditioner, takes 6 to 21 times the
processor time for a path (docs/benchmarks.md).

Classes are the first dimension of every matrix, (K, …): products with few rows are a fifth faster than with few
columns.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch.nn.functional import one_hot

from objectives.heads.linear_models.eigenbasis import Basis
from objectives.heads.products import product, transposed

# Tolerances: the remaining error in the norm of the Hessian, relative to the weights and to the square root of the
# loss. The first suffices to compare strengths (the loss is within about 1e-4 of its minimum). With the second nearly
# every prediction is that at the minimum.
SELECTION_TOLERANCE = 2e-3
FOLDS_TOLERANCE = 1e-2  # the loss is within 1e-4 of its minimum, and folds together have more images to compare by
FINAL_TOLERANCE = 2e-4
MAX_ITERATIONS = 500
MEMORY = 6  # pairs of steps and gradient changes that L-BFGS keeps


@dataclass(frozen=True)
class Solution:
    """The parameters at one strength.

    parameters: (K, r + 1), the weights in the basis and, in the last column, the bias.
    logits: (K, n), of the training images. converged: whether the tolerance was reached.
    """

    l2: float
    parameters: torch.Tensor
    logits: torch.Tensor
    converged: bool = False

    @property
    def weights(self) -> torch.Tensor:
        """The weights in the basis, (K, r)."""
        return self.parameters[:, :-1]

    @property
    def bias(self) -> torch.Tensor:
        """The bias, (K,)."""
        return self.parameters[:, -1]


class LogisticRegression:
    """The objective on one set of images. The bias is the unpenalised weight of one more feature, which is always 1."""

    def __init__(self, basis: Basis, labels: torch.Tensor, classes: int) -> None:
        """labels: int64 (n,), each in [0, classes), of the basis's images."""
        self.images, self.weighed = basis.images, basis.weighed  # (n, r + 1); (…, n) → (…, n)
        self.directions = transposed(basis.images)  # (r + 1, n)
        self.spectrum = torch.cat([basis.spectrum, basis.spectrum.new_ones(1)])  # (r + 1,)
        self.penalised = torch.ones_like(self.spectrum)
        self.penalised[-1] = 0
        self.targets = one_hot(labels, classes).T.to(self.images.dtype).contiguous()  # (K, n)
        self.others = 1 - self.targets
        self.n = len(labels)

    def path(self, strengths: Sequence[float], tolerance: float = SELECTION_TOLERANCE) -> Iterator[Solution]:
        """Yield a solution for each strength, to a tolerance. Strong to weak is by far the fastest order."""
        solution = start = self.without_features()
        previous: Solution | None = None
        for l2 in strengths:
            guess = replace(solution, l2=l2)
            # On log-spaced strengths the path is smooth, except for the first step, which starts at infinite strength.
            if previous is not None and previous is not start:
                extrapolated = Solution(
                    l2, 2 * solution.parameters - previous.parameters, 2 * solution.logits - previous.logits
                )
                guess = min(guess, extrapolated, key=self.loss)
            previous, solution = solution, self.minimise(guess, tolerance)
            yield solution

    def solve(self, l2: float) -> Solution:
        """Solve one strength to FINAL_TOLERANCE, by a path from stronger ones; directly it takes twice as long."""
        *_, solution = self.path([l2 * 10 ** (half / 2) for half in reversed(range(5))])
        return self.refine(solution)

    def refine(self, solution: Solution) -> Solution:
        """Continue a solution to FINAL_TOLERANCE."""
        return self.minimise(solution, FINAL_TOLERANCE)

    def without_features(self) -> Solution:
        """Return the solution at infinite strength: the class frequencies, where an absent class counts 0.1 images."""
        bias = self.weighed(self.targets).sum(dim=1).clamp(min=0.1).log()
        parameters = self.images.new_zeros(len(bias), self.images.shape[1])
        parameters[:, -1] = bias - bias.mean()
        return Solution(float("inf"), parameters, product(parameters, self.images))

    def loss(self, at: Solution) -> float:
        """Return the objective's value."""
        entropy = self.weighed(at.logits.logsumexp(dim=0) - (at.logits * self.targets).sum(dim=0)).mean()
        return float(entropy + at.l2 / 2 * (at.parameters.square() @ self.penalised).sum())

    def residuals(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the probabilities, and the weighted probabilities minus targets, both (K, n).

        The residual of the true class is minus the sum of the others. Unlike p - 1, that sum keeps its precision if the
        image is fitted well.
        """
        probabilities = logits.softmax(dim=0)
        wrong = probabilities * self.others
        return probabilities, self.weighed(wrong.addcmul_(self.targets, wrong.sum(dim=0), value=-1))

    def gradient(self, at: Solution, residuals: torch.Tensor) -> torch.Tensor:
        """Return the objective's gradient, (K, r + 1), from weighted residuals (K, n)."""
        moments = product(residuals, self.directions) / self.n
        return moments.addcmul_(at.parameters, self.penalised, value=at.l2)

    def minimise(self, at: Solution, tolerance: float) -> Solution:
        """Minimise the objective at a solution's strength, starting from its parameters."""
        probabilities, residuals = self.residuals(at.logits)
        gradient = self.gradient(at, residuals)
        memory: deque[tuple[torch.Tensor, torch.Tensor, float]] = deque(maxlen=MEMORY)
        for _ in range(MAX_ITERATIONS):
            # Rounding can make p (1 - p) zero, but a bias needs some curvature.
            spread = self.weighed(probabilities - probabilities.square()).mean(dim=1).clamp_(min=1e-7)
            curvature = torch.outer(spread, self.spectrum).add_(self.penalised, alpha=at.l2)
            direction = _descent(gradient, curvature, memory)
            slope = _dot(gradient, direction)  # minus the squared error in the norm of the approximate Hessian
            size = float((at.parameters.square() * curvature).sum())
            # 1e-10 nats of loss suffice for weights that are almost zero.
            if -slope <= max(tolerance**2 * min(size, self.loss(at)), 1e-10):
                return replace(at, converged=True)
            change = product(direction, self.images)
            step, probabilities, residuals = self.line_search(at, direction, change, slope)
            moved = direction.mul_(step)
            at = Solution(at.l2, at.parameters + moved, torch.add(at.logits, change, alpha=step))
            previous, gradient = gradient, self.gradient(at, residuals)
            turned = gradient - previous
            if (change_of_slope := _dot(moved, turned)) > 0:
                memory.append((moved, turned, 1 / change_of_slope))
        return replace(at, converged=False)

    def line_search(
        self, at: Solution, direction: torch.Tensor, change: torch.Tensor, slope: float
    ) -> tuple[float, torch.Tensor, torch.Tensor]:
        """Find the step at which the slope along `direction` has fallen to 0.3 of `slope`; return it and `residuals`.

        This is Newton's method on the slope, which starts at step 1 and stays inside a bracket of the root: the slope
        of a convex function only grows. SciPy's scalar solvers know no such early stop and would cost more evaluations.
        direction: (K, r + 1). change: the change of the logits along it, (K, n). slope: the slope at step 0.
        """
        constant = at.l2 * float(((at.parameters * direction) @ self.penalised).sum())
        linear = at.l2 * float((direction.square() @ self.penalised).sum())
        low, high, step = 0.0, float("inf"), 1.0
        for _ in range(20):
            probabilities, residuals = self.residuals(torch.add(at.logits, change, alpha=step))
            here = _dot(residuals, change) / self.n + constant + step * linear
            if abs(here) <= 0.3 * abs(slope):
                break
            low, high = (low, step) if here > 0 else (step, high)
            expected = probabilities * change
            squared = float(self.weighed(expected.sum(dim=0).square()).sum())
            bend = (_dot(self.weighed(expected), change) - squared) / self.n + linear
            newton = step - here / max(bend, 1e-30)
            outside = (low + high) / 2 if high < float("inf") else 2 * low
            step = newton if low < newton < high and newton < 10 * max(low, 1.0) else outside
        return step, probabilities, residuals


def _descent(
    gradient: torch.Tensor, curvature: torch.Tensor, memory: Sequence[tuple[torch.Tensor, torch.Tensor, float]]
) -> torch.Tensor:
    """Return minus the L-BFGS inverse Hessian times the gradient (two-loop recursion, Nocedal 1980).

    The initial inverse Hessian is the inverse of the diagonal `curvature`.
    """
    direction = -gradient
    coefficients = []
    for moved, turned, inverse in reversed(memory):
        coefficients.append(inverse * _dot(moved, direction))
        direction.sub_(turned, alpha=coefficients[-1])
    direction.div_(curvature)
    for (moved, turned, inverse), coefficient in zip(memory, reversed(coefficients), strict=True):
        direction.add_(moved, alpha=coefficient - inverse * _dot(turned, direction))
    return direction


def _dot(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.dot(a.flatten(), b.flatten()))
