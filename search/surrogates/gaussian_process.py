"""What every setting is worth, guessed from the few that were tried and from past tasks: a Gaussian process.

Rasmussen & Williams, Gaussian Processes for Machine Learning (2006): chapter 2 for the posterior, 4.2 for the Matérn
kernel, 5.4.1 for the marginal likelihood and its gradient. Numbers in, numbers out: it knows neither settings nor
where values come from.
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

MOST_FITTED = 300
"""Values that lengths and strengths are fitted to; every value counts for the posterior. A fit takes time with their
cube."""

ROUNDS = 20
"""Of the optimiser, at most: the likelihood is flat around its top."""

TRUST = 0.6
"""How much of the past is expected to hold: standard deviations of the new task for one of the mean of past ones."""

JITTER = 1e-6
"""Added to the variance of noise, for numbers' sake."""

# Natural logarithms of what is fitted, as the mean and standard deviation of a normal prior, in standard deviations of
# the values and in the units of the coordinates.
AMPLITUDE, LENGTH, PAST, LEVEL, OWN = (
    (np.log(0.7), 0.5),
    (np.log(0.5), 0.5),
    (np.log(0.5), 0.5),
    (np.log(1.0), 0.3),
    (np.log(0.1), 0.7),
)


@final
@dataclass(frozen=True)
class Surrogate:
    """Before any value is known: a smooth function of the coordinates, plus a multiple of each past surface, which is
    expected to be positive, but need not be, plus what is each candidate's own.

    coordinates: (m, k) of all candidates, each column scaled so that values half a unit apart are alike. past: (m, j),
    what each past task would say, standardised, more is better; j may be 0. weights: (j,), of how much each counts at
    first; they sum to 1.
    """

    coordinates: Array
    past: Array
    weights: Array

    @classmethod
    def without_past(cls, coordinates: Array) -> "Surrogate":
        return cls(coordinates, np.empty((len(coordinates), 0)), np.empty(0))

    def posterior(self, at: Sequence[int], values: Array, noise: Array) -> "Posterior":
        """Given the values of the candidates `at`, (n,), n ≥ 2, more is better, and their noise's variance, (n,)."""
        where, level = np.asarray(at), float(values.mean())
        scale = float(values.std()) or 1.0
        standard = (values - level) / scale - self.expected[where]
        logs = self._fitted(where, standard, noise / scale**2)
        return Posterior(self, where, standard, noise / scale**2, logs, level, scale)

    @cached_property
    def expected(self) -> Array:
        """Of each candidate, in standard deviations, before any value is known."""
        mean: Array = TRUST * self._past.sum(axis=1) if self.weights.size else np.zeros(len(self.coordinates))
        return mean

    @cached_property
    def _past(self) -> Array:
        return self.past * self.weights

    def _fitted(self, at: np.ndarray[Any, Any], values: Array, noise: Array) -> Array:
        """The logarithms of the kernel's parameters, at the top of their posterior density."""
        if len(at) > MOST_FITTED:
            some = np.random.default_rng(0).permutation(len(at))[:MOST_FITTED]
            at, values, noise = at[some], values[some], noise[some]
        means, deviations = np.array([AMPLITUDE, PAST, LEVEL, OWN, *[LENGTH] * self.coordinates.shape[1]]).T
        rows, past = self.coordinates[at], self.past[at] * np.sqrt(self.weights)
        squares = [np.subtract.outer(column, column) ** 2 for column in rows.T]
        products = past @ past.T

        def loss(logs: Array) -> tuple[float, Array]:
            scaled = [square / np.exp(2 * log) for square, log in zip(squares, logs[4:], strict=True)]
            smooth, falling = _smooth(np.sqrt(5 * np.sum(scaled, axis=0)), logs)
            by_past = np.exp(2 * logs[1]) * products
            kernel = smooth + by_past + np.exp(2 * logs[2]) + np.diag(noise + JITTER + np.exp(2 * logs[3]))
            try:
                factor = cho_factor(kernel, lower=True)
            except np.linalg.LinAlgError:
                return 1e12, np.zeros_like(logs)
            inverse = cho_solve(factor, np.eye(len(at)))
            solved = inverse @ values
            away = (logs - means) / deviations
            cost = values @ solved / 2 + np.log(np.diag(factor[0])).sum() + away @ away / 2
            slope = (inverse - np.outer(solved, solved)) / 2
            whole = [smooth, by_past, np.full_like(smooth, np.exp(2 * logs[2])), np.exp(2 * logs[3]) * np.eye(len(at))]
            parts = [2 * each for each in whole] + [falling * each for each in scaled]
            return float(cost), np.array([(slope * part).sum() for part in parts]) + away / deviations

        bounds = list(zip(means - 4 * deviations, means + 4 * deviations, strict=True))
        found: Array = minimize(loss, means, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": ROUNDS}).x
        return found


def _smooth(distance: Array, logs: Array) -> tuple[Array, Array]:
    """The Matérn kernel of order 5/2, and what a squared distance is multiplied with in the derivative by the logarithm
    of its length. distance: sqrt(5) times that in lengths."""
    falling = np.exp(2 * logs[0] - distance)
    return falling * (1 + distance + distance**2 / 3), falling * (1 + distance) * 5 / 3


@final
@dataclass(frozen=True)
class Posterior:
    """What is thought of all candidates once some were tried. Values are in the units that they came in."""

    surrogate: Surrogate
    at: np.ndarray[Any, Any]
    standard: Array
    noise: Array
    logs: Array
    level: float
    scale: float

    @cached_property
    def mean(self) -> Array:
        """(m,)"""
        known = cho_solve((self._factor, True), self.standard)
        mean: Array = self.level + self.scale * (self.surrogate.expected + self._across @ known)
        return mean

    @cached_property
    def deviation(self) -> Array:
        """(m,), of each by itself."""
        own = np.exp(2 * self.logs[[0, 2, 3]]).sum()
        past = np.exp(2 * self.logs[1]) * (self.surrogate.past**2 @ self.surrogate.weights)
        deviation: Array = self.scale * np.sqrt(np.maximum(own + past - (self._explained**2).sum(axis=0), 0))
        return deviation

    def covariance(self, of: Sequence[int]) -> Array:
        """(n, n) of these candidates."""
        rows = np.asarray(of)
        prior = self._kernel(rows, rows)
        explained = self._explained[:, rows]
        covariance: Array = self.scale**2 * (prior - explained.T @ explained)
        return covariance

    def behind(self, of: Sequence[int], best: int) -> tuple[Array, Array]:
        """By how much each of these is worse than another candidate: the mean and its standard error."""
        covariance = self.covariance([*of, best])
        variance = np.diag(covariance)[:-1] + covariance[-1, -1] - 2 * covariance[-1, :-1]
        return self.mean[best] - self.mean[np.asarray(of)], np.sqrt(np.maximum(variance, 0))

    def believing(self, at: Sequence[int]) -> "Posterior":
        """As if these candidates, too, had been tried and were worth what is expected of them (the kriging believer of
        Ginsbourger et al. 2010)."""
        more = np.asarray(at)
        standard = (self.mean[more] - self.level) / self.scale - self.surrogate.expected[more]
        return replace(
            self,
            at=np.concatenate([self.at, more]),
            standard=np.concatenate([self.standard, standard]),
            noise=np.concatenate([self.noise, np.zeros(len(more))]),
        )

    def draws(self, of: Sequence[int], count: int, seed: int) -> Array:
        """(count, n): what these candidates may be worth together."""
        covariance = self.covariance(of) / self.scale**2
        factor = np.linalg.cholesky(covariance + 1e-6 * np.eye(len(covariance)))
        normal = np.random.default_rng(seed).standard_normal((count, len(covariance)))
        drawn: Array = self.mean[np.asarray(of)] + self.scale * normal @ factor.T
        return drawn

    @cached_property
    def _factor(self) -> Array:
        kernel = self._kernel(self.at, self.at)
        factor: Array = cho_factor(kernel + np.diag(self.noise + JITTER), lower=True)[0]
        return factor

    @cached_property
    def _across(self) -> Array:
        """(m, n) of all candidates with those tried."""
        return self._kernel(np.arange(len(self.surrogate.coordinates)), self.at)

    @cached_property
    def _explained(self) -> Array:
        solved: Array = solve_triangular(self._factor, self._across.T, lower=True)
        return solved

    def _kernel(self, rows: np.ndarray[Any, Any], columns: np.ndarray[Any, Any]) -> Array:
        """A smooth part; how much of each past surface holds; the level of all; what is each one's own."""
        scaled = self.surrogate.coordinates / np.exp(self.logs[4:])
        smooth, _ = _smooth(np.sqrt(5) * cdist(scaled[rows], scaled[columns]), self.logs)
        past = self.surrogate.past * np.sqrt(self.surrogate.weights)
        by_past = np.exp(2 * self.logs[1]) * (past[rows] @ past[columns].T)
        own = np.exp(2 * self.logs[3]) * np.equal.outer(rows, columns)
        kernel: Array = smooth + by_past + np.exp(2 * self.logs[2]) + own
        return kernel
