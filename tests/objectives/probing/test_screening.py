"""Scores in closed form are those of refits, and know nothing of the image that they are for."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from objectives import devices
from objectives.datasets.dataset import Dataset
from objectives.datasets.splits import stratified_order
from objectives.probing.probe import Probe
from objectives.probing.screening import Screener, screen
from objectives.probing.spec import MAX_SCREENED_IMAGES, ProbeSpec
from objectives.results import Accuracy, Extracted, ScreenedSetting
from spaces import BackboneError, DatasetError, Setting
from tests.support.heads import digits


def some(count: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Real images of digits as features."""
    train, _ = digits()
    features = train.features.flatten(1)
    return features[:count, torch.linspace(0, features.shape[1] - 1, width).long()], train.labels[:count]


def refitted(features: np.ndarray, labels: np.ndarray, classes: int, l2: float) -> np.ndarray:
    """Return the scores of each image by a ridge classifier that is fitted on all other images."""
    spread = features.std(axis=0)
    standardised = features / np.where(spread > 0, spread, 1)
    targets = np.eye(classes)[labels]
    scores: np.ndarray = np.empty_like(targets)
    for image in range(len(labels)):
        others = np.arange(len(labels)) != image
        mean, frequency = standardised[others].mean(axis=0), targets[others].mean(axis=0)
        centred = standardised[others] - mean
        inverse = np.linalg.inv(centred.T @ centred / others.sum() + l2 * np.eye(features.shape[1]))
        weights = inverse @ centred.T @ (targets[others] - frequency) / others.sum()
        lost = np.ones(classes)
        lost[labels[image]] = (count := (labels == labels[image]).sum()) / max(count - 1, 1)
        scores[image] = targets.mean(axis=0) + (standardised[image] - mean) @ weights * lost**0.5
    return scores


@pytest.mark.parametrize(("count", "width"), [(60, 20), (40, 64), (25, 25)], ids=["tall", "wide", "square"])
def test_the_score_is_that_of_refits_without_the_image(count: int, width: int) -> None:
    """Up to the rounding of float32; `heads/test_ridge.py` has it to 1e-6 in float64."""
    features, labels = some(count, width)
    score = screen(features, labels, 10)
    scores = refitted(features.double().numpy(), labels.numpy(), 10, score.l2)
    errors = ((scores - np.eye(10)[labels]) ** 2).sum(axis=1)
    assert_allclose(score.errors, errors, rtol=1e-3, atol=1e-4)
    assert (score.correct.numpy() != (scores.argmax(axis=1) == labels.numpy())).sum() <= 1


def test_labels_that_mean_nothing_are_not_learnt_even_where_the_fit_nearly_interpolates() -> None:
    features, labels = some(200, 64)
    wide = torch.cat([features, features.square(), features.roll(1, 1) * features, features.sin()], dim=1)
    shuffled = labels[torch.randperm(200, generator=torch.Generator().manual_seed(0))]
    assert screen(wide, labels, 10).correct.double().mean() > 0.8
    score = screen(wide, shuffled, 10)
    assert score.correct.double().mean() < 0.2
    assert score.errors.mean() > 0.88  # of 0.9, where only frequencies are known


def test_the_effective_rank_counts_the_directions_of_the_features() -> None:
    generator, labels = torch.Generator().manual_seed(0), torch.arange(400) % 4
    directions = torch.linalg.qr(torch.randn(64, 5, generator=generator))[0]
    for count in (1, 5):
        features = torch.randn(400, count, generator=generator) @ directions[:, :count].T
        assert screen(features, labels, 4).effective_rank == pytest.approx(count, rel=0.1)


def test_maps_are_screened_as_their_cells_are() -> None:
    features, labels = some(80, 32)
    flat, maps = (screen(each, labels, 10) for each in (features, features.view(80, 8, 2, 2)))
    assert torch.equal(flat.errors, maps.errors)


def test_what_cannot_be_screened_is_refused_in_words() -> None:
    features, labels = some(40, 8)
    with pytest.raises(DatasetError, match="at least two classes"):
        screen(features, torch.zeros(40, dtype=torch.int64), 10)
    with pytest.raises(BackboneError, match="features must be finite"):
        screen(features.index_fill(0, torch.tensor([3]), float("nan")), labels, 10)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(0, 5))
def test_every_beginning_of_the_order_has_each_class_in_proportion(sizes: list[int], seed: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    order = stratified_order(labels, seed)
    assert sorted(order.tolist()) == list(range(len(labels)))
    for count in range(1, len(labels) + 1):
        found = np.bincount(labels[order[:count]], minlength=len(sizes))
        expected = count * np.array(sizes) / len(labels)
        assert (np.abs(found - expected) <= 1 + len(sizes) * np.array(sizes) / len(labels)).all()


@pytest.fixture
def screener(tmp_path: Path, tiny_folder: Path, few_digits: Dataset) -> Screener:
    probe = Probe.build(ProbeSpec(few_digits, str(tiny_folder), "float32", tmp_path, {9: 4, 12: 4}), 1)
    return Screener(probe.spec, probe.backbone)


def screened(reports: Sequence[Extracted | ScreenedSetting]) -> list[ScreenedSetting]:
    return [report for report in reports if isinstance(report, ScreenedSetting)]


def made(reports: Sequence[Extracted | ScreenedSetting]) -> int:
    return sum(report.made for report in reports if isinstance(report, Extracted))


class TestScreener:
    SETTINGS = tuple(Setting(20, block, pool, "ridge") for block in (9, 12) for pool in (1, 2, 4))

    def test_scores_every_block_and_pool_for_one_pass(self, screener: Screener) -> None:
        reports = list(screener.screen(self.SETTINGS, 100))
        assert [score.setting for score in screened(reports)] == list(self.SETTINGS)
        assert made(reports) == 100
        assert all(len(score.correct) == len(score.errors) == 100 for score in screened(reports))
        assert max(score.accuracy.value for score in screened(reports)) > 0.5

    def test_each_thread_scores_a_setting_of_its_own_and_scores_stay_the_same(
        self, screener: Screener, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(devices, "_threads", 1)
        alone = screened(list(screener.screen(self.SETTINGS, 100)))
        monkeypatch.setattr(devices, "_threads", 3)
        together = screened(list(screener.screen(self.SETTINGS, 100)))
        assert [score.setting for score in together] == list(self.SETTINGS)
        assert_allclose([s.errors for s in together], [s.errors for s in alone], rtol=1e-5, atol=1e-6)
        assert [score.correct for score in together] == [score.correct for score in alone]

    def test_more_images_are_the_same_and_others(self, screener: Screener) -> None:
        few = list(screener.screen(self.SETTINGS[:1], 60))
        more = list(screener.screen(self.SETTINGS[:1], 90))
        assert (made(few), made(more)) == (60, 30)
        assert made(list(screener.screen(self.SETTINGS, 90))) == 0

    def test_test_images_are_not_looked_at(self, screener: Screener, few_digits: Dataset) -> None:
        assert not few_digits.is_test[screener.order].any()
        assert len(screener.order) == (~few_digits.is_test).sum() <= MAX_SCREENED_IMAGES

    def test_it_is_the_same_again(self, screener: Screener, tmp_path: Path) -> None:
        first = screened(list(screener.screen(self.SETTINGS, 80)))
        other = Screener(replace(screener.spec, cache=tmp_path / "other"), screener.backbone)
        second = screened(list(other.screen(self.SETTINGS, 80)))
        assert [score.errors for score in first] == [score.errors for score in second]


@pytest.mark.parametrize(("classes", "shots"), [(2, 50), (10, 8), (10, 30)])
def test_leave_one_out_on_shuffled_labels_is_as_good_as_chance(classes: int, shots: int) -> None:
    generator, images, repeats = torch.Generator().manual_seed(0), classes * shots, 40
    right = 0.0
    for _ in range(repeats):
        labels = (torch.arange(images) % classes)[torch.randperm(images, generator=generator)]
        features = torch.randn(images, 200, 1, 1, generator=generator)
        right += screen(features, labels, classes).correct.sum().item()
    accuracy = Accuracy(int(right), images * repeats)
    low, high = accuracy.interval(0.999)
    assert low <= 1 / classes <= high
