"""A Gaussian process that predicts the value of every candidate from a few observed values and from past tasks.

Source: Rasmussen & Williams, Gaussian Processes for Machine Learning (2006), "R&W" below. This file handles numbers
alone: it knows neither settings nor where values come from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, final

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize
from scipy.spatial.distance import cdist

Array = np.ndarray[Any, np.dtype[np.float64]]
Indices = np.ndarray[Any, Any]

MAX_FITTED = 300
"""The most values that the kernel's parameters are fitted to. The time of a fit grows with their cube. The posterior
uses every value."""

MAX_ITERATIONS = 20
"""The most iterations of the optimiser of the kernel's parameters. The likelihood is flat around its maximum."""

PRIOR_SLOPE = 0.6
"""Standard deviations of the new task that are expected for one standard deviation of the mean of past tasks."""

SOLVED_COLUMNS, SOLVED_SIZE = 64, 10**8
"""The least columns, and the least columns times rows squared, that are solved at once: some milliseconds."""

JITTER = 1e-6
"""Added to the noise variance for numerical stability."""

# Mean and standard deviation of the normal prior of each parameter's natural logarithm. Amplitudes are in standard
# deviations of the values, lengths in units of the coordinates.
AMPLITUDE, LENGTH, PAST, LEVEL, OWN = (
    (np.log(0.7), 0.5),
    (np.log(0.5), 0.5),
    (np.log(0.5), 0.5),
    (np.log(1.0), 0.3),
    (np.log(0.1), 0.7),
)


@final
@dataclass(frozen=True)
class GaussianProcess:
    """A prior over the values of m candidates. It is the sum of four parts:

    - a smooth function of the coordinates;
    - a multiple of what each past task predicts; the multiple is expected to be positive, but may be negative;
    - a level that all candidates share;
    - an amount of each candidate's own.

    coordinates: (m, k), each column scaled so that values half a unit apart are alike. past: (m, j), what each of j
    past tasks predicts, standardised, more is better; j may be 0. weights: (j,), summing to 1, how much each past task
    counts at first.
    """

    coordinates: Array
    past: Array
    weights: Array

    @classmethod
    def without_past(cls, coordinates: Array) -> "GaussianProcess":
        return cls(coordinates, np.empty((len(coordinates), 0)), np.empty(0))

    def posterior(self, observed: Sequence[int], values: Array, noise_variance: Array) -> "Posterior":
        """Condition on observed values.

        observed: indices of n ≥ 2 candidates. values: (n,), more is better. noise_variance: (n,).
        """
        indices, offset = np.asarray(observed), float(values.mean())
        scale = float(values.std()) or 1.0
        residuals = (values - offset) / scale - self.prior_mean[indices]
        scaled_noise = noise_variance / scale**2
        log_params = self._fit(indices, residuals, scaled_noise)
        return Posterior(self, indices, residuals, scaled_noise, log_params, offset, scale)

    @cached_property
    def prior_mean(self) -> Array:
        """(m,), in standard deviations of the values."""
        if not self.weights.size:
            return np.zeros(len(self.coordinates))
        mean: Array = PRIOR_SLOPE * (self.past * self.weights).sum(axis=1)
        return mean

    def _fit(self, observed: Indices, residuals: Array, noise_variance: Array) -> Array:
        """Return the logarithms of the kernel's parameters with the highest posterior density.

        The loss is the negative log marginal likelihood (R&W, equation 5.8; its gradient is equation 5.9) plus the
        normal priors of the logarithms.
        """
        if len(observed) > MAX_FITTED:
            chosen = np.random.default_rng(0).permutation(len(observed))[:MAX_FITTED]
            observed, residuals, noise_variance = observed[chosen], residuals[chosen], noise_variance[chosen]
        means, deviations = np.array([AMPLITUDE, PAST, LEVEL, OWN, *[LENGTH] * self.coordinates.shape[1]]).T
        coordinates, past = self.coordinates[observed], self.past[observed] * np.sqrt(self.weights)
        squares = [np.subtract.outer(column, column) ** 2 for column in coordinates.T]
        products = past @ past.T

        def loss(logs: Array) -> tuple[float, Array]:
            scaled = [square / np.exp(2 * log) for square, log in zip(squares, logs[4:], strict=True)]
            smooth, slope_factor = _matern(np.sqrt(5 * np.sum(scaled, axis=0)), logs)
            by_past = np.exp(2 * logs[1]) * products
            kernel = smooth + by_past + np.exp(2 * logs[2]) + np.diag(noise_variance + JITTER + np.exp(2 * logs[3]))
            try:
                factor = cho_factor(kernel, lower=True)
            except np.linalg.LinAlgError:
                return 1e12, np.zeros_like(logs)
            inverse = cho_solve(factor, np.eye(len(observed)))
            solved = inverse @ residuals
            from_mean = (logs - means) / deviations
            cost = residuals @ solved / 2 + np.log(np.diag(factor[0])).sum() + from_mean @ from_mean / 2
            outer = (inverse - np.outer(solved, solved)) / 2
            level = np.full_like(smooth, np.exp(2 * logs[2]))
            own = np.exp(2 * logs[3]) * np.eye(len(observed))
            derivatives = [2 * part for part in (smooth, by_past, level, own)]
            derivatives += [slope_factor * square for square in scaled]
            gradient = np.array([(outer * derivative).sum() for derivative in derivatives])
            return float(cost), gradient + from_mean / deviations

        bounds = list(zip(means - 4 * deviations, means + 4 * deviations, strict=True))
        fit = minimize(loss, means, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": MAX_ITERATIONS})
        log_params: Array = fit.x
        return log_params


def _matern(distance: Array, logs: Array) -> tuple[Array, Array]:
    """Return the Matérn kernel of order 5/2 (R&W, equation 4.17), and the factor of its derivatives.

    The derivative by the logarithm of a length is that factor times the squared distance along the coordinate, in
    lengths. distance: sqrt(5) times the distance in lengths.
    """
    decay = np.exp(2 * logs[0] - distance)
    return decay * (1 + distance + distance**2 / 3), decay * (1 + distance) * 5 / 3


def _solved(factor: Array, right: Array) -> Array:
    """Return the (n, m) solution x of factor @ x = right, for a lower triangular (n, n) factor.

    SciPy lets no other thread run while it solves, so it gets a few columns at a time. NumPy lets others run.
    """
    solution = np.empty(right.shape)
    step = max(SOLVED_COLUMNS, SOLVED_SIZE // len(factor) ** 2)
    for start in range(0, right.shape[1], step):
        some = slice(start, start + step)
        solution[:, some] = solve_triangular(factor, right[:, some], lower=True, check_finite=False)
    return solution


@final
@dataclass(frozen=True)
class Posterior:
    """The values of all candidates, given those that were observed (R&W, equations 2.25 and 2.26).

    Results are in the units of the observed values. observed: indices of n candidates. residuals: (n,), standardised
    values minus the prior mean. noise_variance: (n,), standardised. log_params: of the kernel: amplitude, past, level,
    own, and a length for each coordinate. offset, scale: mean and standard deviation of the observed values.
    """

    process: GaussianProcess
    observed: Indices
    residuals: Array
    noise_variance: Array
    log_params: Array
    offset: float
    scale: float

    @cached_property
    def mean(self) -> Array:
        """(m,)"""
        solved = cho_solve((self._factor, True), self.residuals)
        mean: Array = self.offset + self.scale * (self.process.prior_mean + self._cross @ solved)
        return mean

    @cached_property
    def deviation(self) -> Array:
        """(m,): the standard deviation of each candidate."""
        own = np.exp(2 * self.log_params[[0, 2, 3]]).sum()
        past = np.exp(2 * self.log_params[1]) * (self.process.past**2 @ self.process.weights)
        deviation: Array = self.scale * np.sqrt(np.maximum(own + past - (self._explained**2).sum(axis=0), 0))
        return deviation

    def covariance(self, candidates: Sequence[int]) -> Array:
        """Return the (n, n) covariance of n candidates."""
        rows = np.asarray(candidates)
        prior = self._kernel(rows, rows)
        explained = self._explained[:, rows]
        covariance: Array = self.scale**2 * (prior - explained.T @ explained)
        return covariance

    def gaps(self, candidates: Sequence[int], best: int) -> tuple[Array, Array]:
        """Return by how much each candidate is worse than `best`: the (n,) means and their (n,) standard errors."""
        covariance = self.covariance([*candidates, best])
        variance = np.diag(covariance)[:-1] + covariance[-1, -1] - 2 * covariance[-1, :-1]
        return self.mean[best] - self.mean[np.asarray(candidates)], np.sqrt(np.maximum(variance, 0))

    def with_pending(self, candidates: Sequence[int]) -> "Posterior":
        """Return the posterior as if these candidates had been observed at their means.

        This is the kriging believer of Ginsbourger, Le Riche & Carraro 2010, "Kriging is well-suited to parallelize
        optimization". For p candidates it takes time in proportion to p m n, where n were observed before.
        """
        pending = np.asarray(candidates)
        residuals = (self.mean[pending] - self.offset) / self.scale - self.process.prior_mean[pending]
        later = replace(
            self,
            observed=np.concatenate([self.observed, pending]),
            residuals=np.concatenate([self.residuals, residuals]),
            noise_variance=np.concatenate([self.noise_variance, np.zeros(len(pending))]),
        )
        # The Cholesky factor grows by rows, and no mean changes.
        among = self._explained[:, pending]
        everywhere = np.arange(len(self.process.coordinates))
        own = self._kernel(pending, pending) + JITTER * np.eye(len(pending)) - among.T @ among
        corner = np.linalg.cholesky(own).astype(np.float64, copy=False)
        rows = _solved(corner, self._kernel(pending, everywhere) - among.T @ self._explained)
        factor = np.block([[self._factor, np.zeros_like(among)], [among.T, corner]])
        variance = (self.deviation / self.scale) ** 2 - (rows**2).sum(axis=0)
        later.__dict__.update(
            mean=self.mean,
            deviation=self.scale * np.sqrt(np.maximum(variance, 0)),
            _factor=factor,
            _explained=np.concatenate([self._explained, rows]),
        )
        return later

    def samples(self, candidates: Sequence[int], count: int, seed: int) -> Array:
        """Return `count` joint samples of the values of n candidates, (count, n)."""
        covariance = self.covariance(candidates) / self.scale**2
        factor = np.linalg.cholesky(covariance + 1e-6 * np.eye(len(covariance)))
        normal = np.random.default_rng(seed).standard_normal((count, len(covariance)))
        samples: Array = self.mean[np.asarray(candidates)] + self.scale * normal @ factor.T
        return samples

    @cached_property
    def _factor(self) -> Array:
        kernel = self._kernel(self.observed, self.observed)
        factor: Array = np.linalg.cholesky(kernel + np.diag(self.noise_variance + JITTER)).astype(
            np.float64, copy=False
        )
        return factor

    @cached_property
    def _cross(self) -> Array:
        """(m, n): the kernel between all candidates and the observed ones."""
        return self._kernel(np.arange(len(self.process.coordinates)), self.observed)

    @cached_property
    def _explained(self) -> Array:
        """(n, m): its squared columns sum to the variance that the observations explain."""
        return _solved(self._factor, self._cross.T)

    def _kernel(self, rows: Indices, columns: Indices) -> Array:
        scaled = self.process.coordinates / np.exp(self.log_params[4:])
        smooth, _ = _matern(np.sqrt(5) * cdist(scaled[rows], scaled[columns]), self.log_params)
        past = self.process.past * np.sqrt(self.process.weights)
        by_past = np.exp(2 * self.log_params[1]) * (past[rows] @ past[columns].T)
        level = np.exp(2 * self.log_params[2])
        own = np.exp(2 * self.log_params[3]) * np.equal.outer(rows, columns)
        kernel: Array = smooth + by_past + level + own
        return kernel
