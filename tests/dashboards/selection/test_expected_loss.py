"""The expected loss: the samples of true scores against a closed form, and the interval on made-up scores."""

import numpy as np
import pytest

from dashboards.selection.expected_loss import Contrasts, loss_to_best, sampled_scores


def test_with_one_spread_the_samples_have_the_moments_of_the_gaussian_posterior() -> None:
    chance, count = np.random.default_rng(0), 6
    root = chance.standard_normal((count, count))
    precision = root @ root.T + 0.5 * np.eye(count)
    measured, spread = chance.standard_normal(count), 1.5
    samples = sampled_scores(precision, precision @ measured, np.array([spread]))
    centred = np.eye(count) - 1 / count  # with a flat prior, the centre integrates out
    covariance = np.linalg.inv(precision + centred / spread**2)
    errors = np.sqrt(np.diag(covariance))
    assert samples.mean(axis=0) == pytest.approx(covariance @ precision @ measured, abs=0.2 * errors.max())
    assert samples.std(axis=0) == pytest.approx(errors, rel=0.15)


NO_ROUNDS = Contrasts(np.zeros((0, 24)), np.zeros(0), np.zeros((0, 0)))


def test_the_interval_contains_the_loss_whether_few_settings_are_better_or_many() -> None:
    chance, noise, held = np.random.default_rng(0), 0.02, dict[int, float]()
    for better in (0, 1, 3, 12):
        losses = []
        for _ in range(30):
            scores = 0.01 * chance.standard_normal(24)
            scores[:better] += 0.05
            measured = scores + noise * chance.standard_normal(24)
            answer = int(measured.argmax())
            loss = loss_to_best(list(measured - np.median(measured)), noise**2 * np.eye(24), NO_ROUNDS, answer)
            losses.append((loss.value, scores.max() - scores[answer], loss.high))
        stated, true, high = np.array(losses).T
        assert stated.mean() == pytest.approx(true.mean(), abs=0.01)
        held[better] = float((true <= high).mean())
    assert np.mean(list(held.values())) >= 0.95
    assert min(held.values()) >= 0.87, held
