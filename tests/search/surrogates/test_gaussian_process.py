"""The Gaussian process against the formulas written out, and against finite differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from search.surrogates import gaussian_process as surrogate
from search.surrogates.gaussian_process import JITTER, GaussianProcess

RANDOM = np.random.default_rng(0)
PLACES = RANDOM.uniform(0, 2, (40, 2))
HILL = -np.sum((PLACES - 1.2) ** 2, axis=1)
NOISE = np.full(40, 1e-4)


def some(count: int) -> list[int]:
    return [int(index) for index in np.random.default_rng(1).permutation(40)[:count]]


def test_the_posterior_equals_that_of_scikit_learn_for_the_same_kernel() -> None:
    """The variance of a single candidate is noise for all other candidates."""
    at = some(15)
    rest = [index for index in range(40) if index not in at]
    posterior = GaussianProcess.without_past(PLACES).posterior(at, HILL[at], NOISE[at])
    amplitude, _, level, own, *lengths = np.exp(posterior.log_params)
    kernel = ConstantKernel(amplitude**2) * Matern(np.array(lengths), nu=2.5) + ConstantKernel(level**2)
    other = GaussianProcessRegressor(kernel, alpha=NOISE[at] / posterior.scale**2 + JITTER + own**2, optimizer=None)
    other.fit(PLACES[at], (HILL[at] - posterior.offset) / posterior.scale)
    mean, covariance = other.predict(PLACES[rest], return_cov=True)
    covariance = posterior.scale**2 * (covariance + own**2 * np.eye(len(rest)))
    assert posterior.mean[rest] == pytest.approx(posterior.offset + posterior.scale * mean, abs=1e-6)
    assert posterior.covariance(rest) == pytest.approx(covariance, abs=1e-6)
    assert posterior.deviation[rest] == pytest.approx(np.sqrt(np.diag(covariance)), abs=1e-4)


def test_the_analytic_gradient_equals_the_numeric_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}

    def minimize(loss, start, **_):  # type: ignore[no-untyped-def]
        seen["off"] = check_grad(lambda x: loss(x)[0], lambda x: loss(x)[1], start + 0.1)

        class Found:
            x = start

        return Found

    monkeypatch.setattr(surrogate, "minimize", minimize)
    at = some(20)
    past = np.column_stack([HILL, RANDOM.standard_normal(40)])
    GaussianProcess(PLACES, past, np.array([0.7, 0.3])).posterior(at, HILL[at], NOISE[at])
    assert seen["off"] < 1e-4


def test_the_process_finds_a_maximum_between_observations() -> None:
    at = some(12)
    posterior = GaussianProcess.without_past(PLACES).posterior(at, HILL[at], NOISE[at])
    assert np.corrcoef(posterior.mean, HILL)[0, 1] > 0.95
    assert (posterior.deviation[at] < 0.1 * np.std(HILL)).all()
    behind, error = posterior.gaps(at, int(np.argmax(posterior.mean)))
    assert (behind >= 0).all()
    assert (error >= 0).all()


@pytest.mark.parametrize(("sign", "better"), [(1, True), (-1, True)])
def test_past_tasks_help_even_if_their_ranking_is_reversed(sign: int, better: bool) -> None:
    """The values are random: no smooth function of the coordinates predicts them."""
    rough = RANDOM.standard_normal(40)
    at = some(12)
    rest = [index for index in range(40) if index not in at]
    without = GaussianProcess.without_past(PLACES).posterior(at, rough[at], NOISE[at])
    posterior = GaussianProcess(PLACES, sign * rough[:, None], np.ones(1)).posterior(at, rough[at], NOISE[at])
    assert np.corrcoef(posterior.mean[rest], rough[rest])[0, 1] > 0.9
    assert np.corrcoef(without.mean[rest], rough[rest])[0, 1] < 0.6


def test_past_tasks_of_random_scores_do_little_harm() -> None:
    at = some(20)
    rest = [index for index in range(40) if index not in at]
    past = np.random.default_rng(7).standard_normal((40, 3))
    posterior = GaussianProcess(PLACES, past, np.full(3, 1 / 3)).posterior(at, HILL[at], NOISE[at])
    assert np.corrcoef(posterior.mean[rest], HILL[rest])[0, 1] > 0.9


@settings(max_examples=20)
@given(scale=st.floats(1e-3, 1e3), level=st.floats(-100, 100))
def test_the_scale_of_the_inputs_does_not_matter(scale: float, level: float) -> None:
    at = some(10)
    surrogate = GaussianProcess.without_past(PLACES)
    one = surrogate.posterior(at, HILL[at], NOISE[at])
    other = surrogate.posterior(at, level + scale * HILL[at], scale**2 * NOISE[at])
    assert other.mean == pytest.approx(level + scale * one.mean, rel=1e-3, abs=1e-3 * scale)


def test_equal_values_give_a_finite_posterior() -> None:
    at = some(5)
    posterior = GaussianProcess.without_past(PLACES).posterior(at, np.zeros(5), np.zeros(5))
    assert np.isfinite(posterior.mean).all()
    assert np.isfinite(posterior.samples(range(40), 8, seed=0)).all()
