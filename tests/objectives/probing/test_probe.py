from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from objectives.backbones.backbone import Backbone, LateBackbone
from objectives.datasets.dataset import Dataset
from objectives.datasets.images import ArrayImages
from objectives.features import mapped_tensors as scratch
from objectives.heads.catalog import HEADS
from objectives.probing.builder import ProbeBuilder
from objectives.probing.probe import Probe
from objectives.probing.spec import ProbeSpec
from objectives.results import (
    GMACS,
    METRICS,
    SELECTION_METRICS,
    Accuracy,
    Epoch,
    Evaluation,
    Extracted,
    Final,
    Reevaluation,
)
from spaces import HEAD_OPTIONS, BackboneError, CacheError, Setting, Tap
from tests.support.probes import LINEAR, MLP, last

LINEAR_AND_SLOWLY_MLP = [pytest.param(LINEAR, id="linear"), pytest.param(MLP, id="mlp", marks=pytest.mark.slow)]
NETWORKS_ON_MAPS = ("cnn", "attention")
"""Heads that train for seconds."""


def test_a_setting_is_extracted_fitted_and_scored_on_validation(spec: ProbeSpec) -> None:
    reports = list(Probe.build(spec, 1)(LINEAR))
    assert [type(report) for report in reports] == [Extracted, Extracted, Extracted, Evaluation]
    evaluation = reports[-1]
    assert isinstance(evaluation, Evaluation)
    assert evaluation.validation.total == 100
    assert evaluation.validation.value > 0.5
    assert evaluation.passes_made == evaluation.passes_needed == 500
    assert evaluation.details["l2"] > 0
    assert {"extract", "read", "fit"} <= evaluation.seconds.keys()


def test_a_clean_pass_is_made_once_for_all_seeds_of_the_noise(spec: ProbeSpec) -> None:
    clean = replace(LINEAR, draws=0)
    first, again = (last(Probe.build(replace(spec, seed=seed), 1), clean) for seed in (0, 1))
    assert (first.passes_made, first.passes_needed) == (500, 500)
    assert (again.passes_made, again.passes_needed) == (0, 500)
    assert first.details[GMACS] == last(Probe.build(spec, 1), LINEAR).details[GMACS]


def test_a_setting_costs_its_passes_and_its_head(spec: ProbeSpec) -> None:
    probe = Probe.build(spec, 1)
    architecture = probe.backbone.architecture
    features = 4 * architecture.block(9).channels
    for setting, head in ((LINEAR, features * 10), (MLP, features * 128 + 128 * 10)):
        once = architecture.block(9).cumulative_gmacs
        assert last(probe, setting).details[GMACS] == pytest.approx(once + head / 1e9)
    times = LINEAR.reading(Tap(9, 20), Tap(12, 300))
    features += 4 * architecture.block(12).channels
    twice = architecture.block(9).cumulative_gmacs + architecture.block(12).cumulative_gmacs
    for folded in (spec, replace(spec, folds=2), replace(spec, flips=True)):
        assert last(Probe.build(folded, 1), times).details[GMACS] == pytest.approx(twice + features * 10 / 1e9)


def test_block_pool_and_head_cost_no_pass_once_the_timestep_is_there(spec: ProbeSpec) -> None:
    probe = Probe.build(spec, 1)
    last(probe, LINEAR)
    for setting in (replace(LINEAR, block=12), replace(LINEAR, pool=4), MLP):
        evaluation = last(probe, setting)
        assert evaluation.passes_made == 0
        assert evaluation.passes_needed == 500
    assert last(probe, replace(LINEAR, timestep=300)).passes_made == 500


def test_splits_that_are_known_are_not_made_again(spec: ProbeSpec) -> None:
    known = spec.splits(7)  # of another seed, as no probe would make them
    probe = ProbeBuilder(spec, {spec.seed: known}).build(1)
    assert probe.splits(spec.seed) is known
    assert_array_equal(probe.splits(7)[0].train, known[0].train)


def test_the_network_is_loaded_for_a_missing_pass_alone(spec: ProbeSpec) -> None:
    first = Probe.build(spec, 1)
    evaluation, network = last(first, LINEAR), first.backbone

    def load() -> Backbone:
        raise BackboneError("it is loaded")

    probe = Probe(spec, LateBackbone(network.architecture, network.digest, network.device, load))
    assert last(probe, LINEAR).correct_mask == evaluation.correct_mask
    with pytest.raises(BackboneError, match="it is loaded"):
        last(probe, replace(LINEAR, timestep=300))


def test_taps_are_read_beside_each_other_each_timestep_at_the_price_of_a_pass(spec: ProbeSpec) -> None:
    probe = Probe.build(spec, 1)
    alone = [last(probe, replace(LINEAR, block=block)) for block in (9, 12)]
    both = last(probe, LINEAR.reading(Tap(9, 20), Tap(12, 20)))
    assert (both.passes_made, both.passes_needed) == (0, 500)
    assert both.validation.value > 0.5
    assert both.details != alone[0].details != alone[1].details
    times = last(probe, LINEAR.reading(Tap(9, 20), Tap(9, 300)))
    assert (times.passes_made, times.passes_needed) == (500, 1000)
    *_, final = probe.finalise(LINEAR.reading(Tap(9, 20), Tap(9, 300)), 1)
    assert isinstance(final, Final)
    assert (final.passes_made, final.passes_needed) == (200, 1200)
    assert final.test.value > 0.5


def test_a_setting_s_features_are_those_of_its_taps(spec: ProbeSpec) -> None:
    probe = Probe.build(spec, 1)
    setting = LINEAR.reading(Tap(12, 20), Tap(9, 20), Tap(9, 300))
    list(probe(setting))
    (view,), images = probe._views, probe._training
    together = view.read(images, setting)
    parts = [view.read(images, setting.reading(tap)) for tap in setting.taps]
    assert together is not None
    assert torch.equal(together, torch.cat([part for part in parts if part is not None], dim=1))
    labelled = probe._fitting(setting).labelled(together, np.arange(len(images)), images)
    assert labelled.layout.groups == ((16, 16), (16,))


@pytest.mark.parametrize(
    "head", [pytest.param(head, marks=[pytest.mark.slow] * (head in NETWORKS_ON_MAPS)) for head in HEADS]
)
def test_every_head_learns_from_several_taps(spec: ProbeSpec, head: str) -> None:
    options = tuple((choice.name, choice.values[0]) for choice in HEAD_OPTIONS[head])
    setting = replace(LINEAR, head=head, options=options).reading(Tap(9, 20), Tap(12, 20), Tap(9, 300))
    assert last(Probe.build(spec, 1), setting).validation.value > 0.5


def test_a_head_that_trains_in_epochs_reports_each(spec: ProbeSpec) -> None:
    reports = list(Probe.build(spec, 1)(MLP))
    epochs = [report for report in reports if isinstance(report, Epoch)]
    assert [epoch.number for epoch in epochs] == list(range(1, len(epochs) + 1))
    evaluation = reports[-1]
    assert isinstance(evaluation, Evaluation)
    assert evaluation.validation.value == max(epoch.validation.value for epoch in epochs)


def test_the_same_setting_scores_the_same_in_another_process_and_cache(spec: ProbeSpec, tmp_path: Path) -> None:
    for setting in (LINEAR, MLP):
        first = last(Probe.build(spec, 1), setting)
        second = last(Probe.build(replace(spec, cache=tmp_path / "other"), 1), setting)
        assert first.validation == second.validation


def test_the_search_never_looks_at_a_test_image(spec: ProbeSpec, few_digits: Dataset) -> None:
    """Test labels that are all wrong and test images that are all black change nothing before the finals."""
    pixels = np.stack([np.asarray(few_digits.images.read(i)) for i in range(len(few_digits))])
    black = np.where(few_digits.is_test[:, None, None, None], 0, pixels).astype(np.uint8)
    wrong = np.where(few_digits.is_test, (few_digits.labels + 1) % 10, few_digits.labels)
    clean = replace(few_digits, images=ArrayImages(pixels))
    spoilt = replace(few_digits, images=ArrayImages(black), labels=wrong)
    scores = [last(Probe.build(replace(spec, dataset=dataset), 1), LINEAR).validation for dataset in (clean, spoilt)]
    assert scores[0] == scores[1]


def test_a_final_uses_the_seeds_own_split_and_the_whole_test_split(spec: ProbeSpec) -> None:
    probe = Probe.build(spec, 1)
    last(probe, LINEAR)
    finals = []
    for seed in (1, 2):
        *_, final = probe.finalise(LINEAR, seed)
        assert isinstance(final, Final)
        finals.append(final)
    assert [final.test.total for final in finals] == [100, 100]
    assert all(final.test.value > 0.5 for final in finals)
    assert finals[0].passes_made == 100
    assert finals[1].passes_made == 0
    assert set(probe.splits(1)[0].validation) != set(probe.splits(2)[0].validation)


@pytest.mark.parametrize("metric", SELECTION_METRICS)
def test_a_candidate_is_scored_on_the_split_of_its_round_and_no_test_image_is_read(
    spec: ProbeSpec, metric: str
) -> None:
    probe = Probe.build(replace(spec, metric=metric), 1)
    *_, found = probe.reevaluate(LINEAR, 2)
    assert isinstance(found, Reevaluation)
    assert (found.passes_made, found.passes_needed) == (500, 500)  # the 100 test images have no features
    *_, final = probe.finalise(LINEAR, 2)
    assert isinstance(final, Final)
    assert final.passes_made == 100
    assert (found.validation, found.validation_scores) == (final.validation, final.validation_scores)
    images = np.frombuffer(found.image_scores.images, "<i4")
    np.testing.assert_array_equal(images, probe.splits(2)[0].validation)
    scores = np.frombuffer(found.image_scores.scores, "<f4")
    assert final.validation_scores is not None
    value = final.validation_scores.values[metric].value
    assert scores.mean() == pytest.approx(METRICS[metric].score(value), abs=1e-5)


def test_with_shots_the_heads_see_so_many_images_of_each_class_and_no_more(spec: ProbeSpec) -> None:
    few = replace(spec, shots=2)
    (parts,), (whole,) = few.splits(0), spec.splits(0)
    assert np.bincount(few.dataset.labels[parts.train]).tolist() == [2] * 10
    assert parts.validation.tolist() == whole.validation.tolist()
    assert parts.test.tolist() == whole.test.tolist()
    assert parts.fingerprint != whole.fingerprint
    *_, final, all_of_them = (
        *Probe.build(few, 1).finalise(LINEAR, 3),
        list(Probe.build(spec, 1).finalise(LINEAR, 3))[-1],
    )
    assert isinstance(final, Final)
    assert isinstance(all_of_them, Final)
    assert final.test.total == 100
    assert 0.1 < final.test.value < all_of_them.test.value


def test_with_flips_heads_are_fitted_on_mirror_images_too_which_cost_a_pass_each(spec: ProbeSpec) -> None:
    flipped = replace(spec, flips=True)
    before, probe = last(Probe.build(spec, 1), LINEAR), Probe.build(flipped, 1)
    *extracted, evaluation = probe(LINEAR)
    assert isinstance(evaluation, Evaluation)
    assert evaluation.passes_made == 500  # the images as they are had theirs
    assert evaluation.passes_needed == 1000
    assert evaluation.validation.total == before.validation.total == 100
    assert evaluation.details != before.details
    assert isinstance(extracted[-1], Extracted)
    assert {report.total for report in extracted if isinstance(report, Extracted)} == {1000}
    assert extracted[-1].done == 1000
    *_, final = probe.finalise(LINEAR, 1)
    assert isinstance(final, Final)
    assert final.test.total == final.passes_made == 100
    assert final.passes_needed == 1100


@pytest.mark.slow
@pytest.mark.parametrize("setting", [LINEAR, MLP], ids=["linear", "mlp"])
def test_with_flips_a_setting_scores_the_same_in_another_cache(spec: ProbeSpec, setting: Setting) -> None:
    flipped = replace(spec, flips=True)
    one, other = (Probe.build(replace(flipped, cache=spec.cache / name), 1) for name in ("one", "other"))
    assert last(one, setting).validation == last(other, setting).validation


@pytest.mark.parametrize("flips", [False, True])
def test_balanced_heads_serve_the_rare_classes(spec: ProbeSpec, flips: bool) -> None:
    most_are_others = spec.dataset.labels.clip(max=3)
    dataset = replace(spec.dataset, labels=most_are_others, classes=("0", "1", "2", "other"))
    reached = []
    for balanced in (False, True):
        probe = Probe.build(replace(spec, dataset=dataset, flips=flips, balanced=balanced), 1)
        *_, final = probe.finalise(replace(LINEAR, head="ridge"), 1)
        assert isinstance(final, Final)
        assert final.validation_scores is not None
        assert final.test_scores is not None
        reached.append(
            [scores.values["mean-per-class"].value for scores in (final.validation_scores, final.test_scores)]
        )
    for plain, fair in zip(*reached, strict=True):
        assert fair > plain + 0.02


@pytest.mark.parametrize(("shots", "folds"), [(None, None), (20, None), (None, 3), (20, 3)])
def test_the_mirror_image_of_an_image_that_validates_or_tests_never_trains(
    spec: ProbeSpec, shots: int | None, folds: int | None
) -> None:
    """Labels that say nothing of images which are their own mirror images: only a leak could tell them."""
    generator = np.random.default_rng(0)
    half = generator.integers(0, 256, (600, 8, 4), np.uint8)
    images = ArrayImages(np.concatenate([half, half[:, :, ::-1]], axis=2))
    blind = replace(spec.dataset, images=images, labels=generator.permutation(spec.dataset.labels))
    setting = replace(LINEAR, pool=4)  # so many features that what trained is known by heart
    probe = Probe.build(replace(spec, dataset=blind, shots=shots, flips=True, folds=folds), 1)
    *_, final = probe.finalise(setting, 1)
    assert isinstance(final, Final)
    for accuracy in (last(probe, setting).validation, final.validation, final.test):
        assert accuracy.value < 0.25


@pytest.mark.parametrize("setting", [LINEAR, MLP], ids=["linear", "mlp"])
@pytest.mark.parametrize("metric", SELECTION_METRICS)
def test_all_metrics_are_measured_and_one_is_maximised(spec: ProbeSpec, setting: Setting, metric: str) -> None:
    *reports, evaluation = Probe.build(replace(spec, metric=metric), 1)(setting)
    assert isinstance(evaluation, Evaluation)
    assert evaluation.scores is not None
    assert evaluation.scores.values.keys() == METRICS.keys()
    assert evaluation.scores.values["accuracy"].value == evaluation.validation.value
    assert evaluation.score == METRICS[metric].score(evaluation.scores.values[metric].value)
    for epoch in (report for report in reports if isinstance(report, Epoch)):
        assert epoch.score <= evaluation.score + 1e-9


@pytest.mark.parametrize(
    ("setting", "flips"),
    [
        pytest.param(LINEAR, False, id="linear"),
        pytest.param(LINEAR, True, id="linear, flips"),
        pytest.param(MLP, False, id="mlp", marks=pytest.mark.slow),
    ],
)
def test_features_in_a_file_score_the_same(
    spec: ProbeSpec, setting: Setting, flips: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    probe = Probe.build(replace(spec, flips=flips), 1)
    before = last(probe, setting).validation, _tested(probe, setting)
    monkeypatch.setattr(scratch, "free_memory", lambda: 1000)
    assert (last(probe, setting).validation, _tested(probe, setting)) == before
    assert list((tmp_path / "scratch").iterdir()) == []  # where they lay


def _tested(probe: Probe, setting: Setting) -> Accuracy:
    *_, final = probe.finalise(setting, 1)
    assert isinstance(final, Final)
    return final.test


def test_a_cache_file_damaged_between_trials_is_made_again(spec: ProbeSpec) -> None:
    probe = Probe.build(spec, 1)
    before = last(probe, LINEAR)
    for victim in (spec.cache / "features").rglob("*.safetensors"):
        victim.write_bytes(b"not a tensor")
    after = last(probe, LINEAR)
    assert after.validation == before.validation
    assert after.passes_made == 500


def test_a_cache_that_cannot_be_written_is_an_error_in_words(spec: ProbeSpec, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CacheError, match="cannot write to"):
        list(Probe.build(replace(spec, cache=tmp_path / "file"), 1)(LINEAR))
