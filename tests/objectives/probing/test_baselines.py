"""Baselines on data whose truth is known, and against the probe, which fits the same head on the same features."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from objectives.datasets.dataset import Dataset
from objectives.datasets.images import ArrayImages
from objectives.probing.probe import Probe
from objectives.probing.spec import ProbeSpec
from objectives.results import METRICS, Baseline, Final
from spaces import Setting
from tests.support.probes import LINEAR

CLASSES = 3


def striped(shuffled: bool) -> Dataset:
    """240 noisy images with one bright third, which is their class; or whose classes were shuffled.

    The thirds lie one above the other, so that mirror images are of the same class.
    """
    generator = np.random.default_rng(0)
    labels = np.arange(240) % CLASSES
    images = generator.integers(0, 100, (240, 9, 9), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[3 * label : 3 * label + 3] += 80
    if shuffled:
        labels = generator.permutation(labels)
    return Dataset("stripes", ("top", "middle", "bottom"), ArrayImages(images), labels, np.arange(240) >= 160)


def fitted(spec: ProbeSpec, setting: Setting | None = None) -> Baseline:
    (baseline,) = Probe.build(spec, 1).baseline(setting)
    return baseline


@pytest.mark.parametrize("changes", [{"folds": 4}, {}, {"shots": 20}, {"flips": True, "balanced": True, "folds": 2}])
def test_pixels_that_tell_the_classes_apart_are_always_right_and_shuffled_classes_are_guessed(
    spec: ProbeSpec, changes: dict[str, Any]
) -> None:
    easy = fitted(replace(spec, dataset=striped(shuffled=False), **changes))
    assert (easy.validation.value, easy.test.value, easy.test.total) == (1.0, 1.0, 80)
    assert easy.validation.total == (160 if "folds" in changes else 32)
    shuffled = fitted(replace(spec, dataset=striped(shuffled=True), **changes))
    for accuracy in (shuffled.validation, shuffled.test):
        low, high = accuracy.interval()
        assert low < 1 / CLASSES < high


def test_pixels_need_no_network(spec: ProbeSpec, tmp_path: Path) -> None:
    baseline = fitted(spec)
    assert (baseline.kind, baseline.setting, baseline.seed) == ("pixels", None, spec.seed)
    assert (baseline.side, baseline.features) == (16, 3 * 16**2)
    assert baseline.test.value > 0.8  # digits are easy
    assert baseline.test_correct_mask is not None
    assert baseline.test_correct_mask.accuracy == baseline.test
    for part in ("validation", "test"):
        assert baseline.estimate(part, METRICS["accuracy"]) is not None
        assert baseline.estimate(part, METRICS["nll"]) is not None
    assert not (tmp_path / "features").exists()


def test_pixels_are_averaged_as_the_network_gets_them(spec: ProbeSpec) -> None:
    (view,) = Probe.build(spec, 1)._views
    whole, averaged = view.pixels(np.array([5, 300, 7]), 16), view.pixels(np.array([5, 300, 7]), 4)
    assert whole.shape == (3, 3, 16, 16)
    assert_allclose(averaged, whole.reshape(3, 3, 4, 4, 4, 4).mean(dim=(3, 5)), rtol=1e-6)
    assert 0 <= float(whole.min()) < float(whole.max()) <= 255


@pytest.mark.parametrize("changes", [{}, {"folds": 3}, {"flips": True, "metric": "nll"}])
def test_a_first_block_scores_as_a_final_of_its_setting(spec: ProbeSpec, changes: dict[str, Any]) -> None:
    probe = Probe.build(replace(spec, **changes), 1)
    assert list(probe.baseline(LINEAR)) == []  # no pass is made for it
    *_, final = probe.finalise(LINEAR, spec.seed)
    (baseline,) = probe.baseline(LINEAR)
    assert isinstance(final, Final)
    assert (baseline.kind, baseline.setting, baseline.side) == ("first block", LINEAR, LINEAR.pool)
    assert (baseline.validation, baseline.test) == (final.validation, final.test)
    assert (baseline.validation_scores, baseline.test_scores) == (final.validation_scores, final.test_scores)
    assert baseline.test_correct_mask == final.test_correct_mask
