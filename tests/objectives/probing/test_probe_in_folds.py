"""A probe that cross-validates."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from objectives.features.cache.quota import CacheUsage
from objectives.features.extraction import Extractor
from objectives.heads.catalog import head_named
from objectives.heads.head import Fit, LabelledFeatures, predict
from objectives.probing import spec as probe_spec
from objectives.probing.probe import Probe
from objectives.probing.spec import ProbeSpec
from objectives.results import (
    Accuracy,
    Epoch,
    Evaluation,
    Final,
)
from spaces import Setting
from tests.support.probes import LINEAR, MLP, last

LINEAR_AND_SLOWLY_MLP = [pytest.param(LINEAR, id="linear"), pytest.param(MLP, id="mlp", marks=pytest.mark.slow)]


@pytest.mark.parametrize("setting", LINEAR_AND_SLOWLY_MLP)
def test_in_folds_every_image_outside_the_test_split_validates_once(spec: ProbeSpec, setting: Setting) -> None:
    folded = replace(spec, folds=3)
    probe = Probe.build(folded, 1)
    *reports, evaluation = probe(setting)
    assert isinstance(evaluation, Evaluation)
    assert evaluation.validation.total == evaluation.passes_made == evaluation.passes_needed == 500
    assert evaluation.validation.value > 0.5
    epochs = [report for report in reports if isinstance(report, Epoch)]
    assert all(epoch.validation.total == len(folded.splits(0)[0].validation) for epoch in epochs)
    assert bool(epochs) == (setting is MLP)
    assert [epoch.number for epoch in epochs] == list(range(1, len(epochs) + 1))  # of one fold of three
    assert (
        last(Probe.build(replace(folded, cache=spec.cache / "other"), 1), setting).validation == evaluation.validation
    )
    *_, final = probe.finalise(setting, 1)
    assert isinstance(final, Final)
    assert final.validation.total == 500
    assert final.validation != evaluation.validation  # other folds
    assert final.test.total == 100
    assert final.test.value > 0.5
    for accuracy, scores in ((final.validation, final.validation_scores), (final.test, final.test_scores)):
        assert scores is not None
        assert (scores.total, scores.values["accuracy"].value) == (accuracy.total, accuracy.value)
    assert sum(pair.count for pair in final.confused) == 500 - final.validation.correct
    for pair in final.confused:
        assert {int(spec.dataset.labels[image]) for image in pair.examples} == {pair.true}
        assert not spec.dataset.is_test[list(pair.examples)].any()
    assert final.test_correct_mask is not None
    assert final.test_correct_mask.accuracy == final.test
    assert evaluation.correct_mask is not None
    assert evaluation.correct_mask.accuracy == evaluation.validation


@pytest.mark.parametrize(
    ("setting", "chosen"),
    [
        pytest.param(replace(LINEAR, head="prototype"), "factor", id="prototype"),
        pytest.param(MLP, "epochs", id="mlp", marks=pytest.mark.slow),
    ],
)
def test_folds_add_up_what_they_get_right_and_pass_on_the_lower_median_of_what_they_choose(
    spec: ProbeSpec, setting: Setting, chosen: str
) -> None:
    folded = replace(spec, folds=4)
    probe = Probe.build(folded, 1)
    evaluation = last(probe, setting)
    extractor = Extractor(probe.backbone, spec.dataset, CacheUsage(spec.cache), spec.grids, spec.seed)

    def labelled(indices: np.ndarray) -> LabelledFeatures:
        features = extractor.read(indices, setting)
        assert features is not None
        return LabelledFeatures(features, torch.from_numpy(spec.dataset.labels[indices]))

    fits = []
    for parts in folded.splits(0):
        train, validation = labelled(parts.train), labelled(parts.validation)
        *_, fit = head_named(setting.head).fit(train, validation, 10, dict(setting.options), 0)
        assert isinstance(fit, Fit)
        fits.append(fit)
    assert evaluation.validation == Accuracy(sum(fit.validation.correct for fit in fits), 500)
    assert evaluation.details[chosen] == sorted(fit.details[chosen] for fit in fits)[1]


@pytest.mark.parametrize("flips", [False, True], ids=["", "flips"])
@pytest.mark.parametrize("head", ["linear", "linear-unit", "ridge"])
def test_folds_of_a_linear_head_are_fitted_together_about_as_they_are_fitted_alone(
    spec: ProbeSpec, head: str, flips: bool
) -> None:
    folded = replace(spec, folds=4, flips=flips)
    probe, setting = Probe.build(folded, 1), replace(LINEAR, head=head)
    evaluation = last(probe, setting)
    views = [Extractor(probe.backbone, view, CacheUsage(spec.cache), spec.grids, spec.seed) for view in folded.views]

    def labelled(indices: np.ndarray, copies: Sequence[Extractor]) -> LabelledFeatures:
        features = [view.read(indices, setting) for view in copies]
        labels = torch.from_numpy(np.tile(spec.dataset.labels[indices], len(copies)))
        return LabelledFeatures(torch.cat([part for part in features if part is not None]), labels)

    correct = 0
    for parts in folded.splits(0):
        train, validation = labelled(parts.train, views), labelled(parts.validation, views[:1])
        classifier = head_named(head).refit(train, 10, {}, {"factor": 1.0, **evaluation.details}, 0)
        correct += predict(classifier, validation).accuracy.correct
    assert evaluation.validation.total == 500
    assert evaluation.validation.correct == pytest.approx(correct, abs=2)
    mask = evaluation.correct_mask
    assert mask is not None
    assert mask.accuracy == evaluation.validation


def test_folds_of_many_images_are_fitted_one_after_the_other(spec: ProbeSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bases of all folds of many images would take much memory."""
    folded = replace(spec, folds=2)
    assert (spec.fits_folds_together, folded.fits_folds_together) == (False, True)
    assert not replace(folded, shots=3).fits_folds_together
    together = last(Probe.build(folded, 1), LINEAR)
    monkeypatch.setattr(probe_spec, "MORE", 499)
    assert not folded.fits_folds_together
    assert last(Probe.build(folded, 1), LINEAR).validation.value == pytest.approx(together.validation.value, abs=0.02)


def test_with_shots_each_fold_trains_on_so_many_of_each_class(spec: ProbeSpec) -> None:
    few = replace(spec, folds=3, shots=2)
    splits, whole = few.splits(0), replace(few, shots=None).splits(0)
    for parts, all_of_them in zip(splits, whole, strict=True):
        assert np.bincount(spec.dataset.labels[parts.train]).tolist() == [2] * 10
        assert set(parts.train) <= set(all_of_them.train)
        assert parts.validation.tolist() == all_of_them.validation.tolist()
    assert last(Probe.build(few, 1), LINEAR).validation.total == 500
    assert few.counts(splits) == {"train": 20, "validation": 500, "test": 100}
    assert replace(few, shots=None).counts(whole) == {"train": 500, "validation": 500, "test": 100}
    assert spec.counts(spec.splits(0)) == {"train": 400, "validation": 100, "test": 100}
