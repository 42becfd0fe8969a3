"""Tests of what is compared: the same images of a dataset, read from the cache at one noise draw."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from objectives.cka.networks import ComparedNetwork, chosen_images, draw_similarity, similarity
from objectives.datasets.catalog import load_dataset
from objectives.probing.probe import Probe
from objectives.probing.spec import ProbeSpec
from objectives.results import Representation
from spaces import BackboneError, Setting, Tap

PLACES = [Representation("bundled", block, 20) for block in (12, 13)]


@pytest.fixture
def spec(tmp_path: Path) -> ProbeSpec:
    return ProbeSpec(load_dataset("digits", None), "bundled", "float32", tmp_path / "cache", {12: 4, 13: 4}, seed=3)


def test_images_are_of_every_class_and_none_is_tested(spec: ProbeSpec) -> None:
    images = chosen_images(spec, 50)
    assert len(set(images.tolist())) == 50
    assert not spec.dataset.is_test[images].any()
    assert set(np.bincount(spec.dataset.labels[images])) == {5}
    assert not np.array_equal(images, np.sort(images))  # minibatches are drawn by chance
    assert np.array_equal(images, chosen_images(spec, 50))
    assert len(chosen_images(spec, 10**6)) == int((~spec.dataset.is_test).sum())


def test_a_draw_is_read_by_itself_and_the_mean_of_two_is_what_a_setting_reads(spec: ProbeSpec) -> None:
    network = ComparedNetwork(spec, Probe.build(spec, 1).backbone, 2)
    images = chosen_images(spec, 20)
    draws = [network.features(images, replace(PLACES[0], draw=draw)) for draw in (0, 1)]
    assert draws[0].shape == (20, network.backbone.architecture.block(12).channels, 2, 2)
    assert not torch.equal(*draws)
    setting = Setting(20, 12, 2, "linear", draws=2).reading(Tap(12, 20))
    averaged = network._view.read(images, setting)
    assert averaged is not None
    torch.testing.assert_close(averaged, (draws[0] + draws[1]) / 2)
    done = list(network.fill(images, [PLACES[0], replace(PLACES[1], draw=1)]))
    assert [report.made for report in done] == [0]  # each pass kept both blocks


def test_maps_hold_rows_and_columns_as_they_were_asked_for(spec: ProbeSpec) -> None:
    network = ComparedNetwork(spec, Probe.build(spec, 1).backbone, 8)  # the largest pool that divides
    images = chosen_images(spec, 40)
    networks = {"bundled": network}
    found = similarity(networks, images, PLACES, [PLACES[1]], batch=20)
    both = similarity(networks, images, PLACES, PLACES, batch=20)
    assert (found.rows, found.columns, found.batches, found.images) == (tuple(PLACES), (PLACES[1],), 2, 40)
    assert [row[0] for row in found.values] == [row[1] for row in both.values]
    assert found.values[1][0] == pytest.approx(1)
    twice = draw_similarity("bundled", network, images, (12, 13), (20,), batch=20)
    one, other = [replace(place, draw=1) for place in PLACES], PLACES
    drawn = similarity(networks, images, one, other, batch=20)
    assert [row[0] for row in twice.values] == pytest.approx([drawn.values[0][0], drawn.values[1][1]])
    assert [row[0] for row in twice.errors] == pytest.approx([drawn.errors[0][0], drawn.errors[1][1]])


def test_features_that_are_not_finite_are_refused(spec: ProbeSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    network = ComparedNetwork(spec, Probe.build(spec, 1).backbone, 4)
    images = chosen_images(spec, 4)
    taps: Callable[..., dict[int, torch.Tensor]] = type(network.backbone).taps

    def broken(*arguments: object) -> dict[int, torch.Tensor]:
        return {block: torch.full_like(maps, torch.inf) for block, maps in taps(*arguments).items()}

    monkeypatch.setattr(type(network.backbone), "taps", broken)
    with pytest.raises(BackboneError, match="some of block 12 of bundled are not: leave that block out"):
        network.features(images, PLACES[0])
