"""A saved classifier says of an image what the search's own fit said, and nothing of what it cannot read."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from objectives.classifier import Classifier
from objectives.classifier_file import Origin, Saved, load, save
from objectives.datasets.dataset import Dataset
from objectives.datasets.images import TRANSFORM, FileImages, square_pixels
from objectives.features.batches import Batches
from objectives.probing.probe import Probe, Trained
from objectives.probing.spec import ProbeSpec
from objectives.results import Final
from spaces import BackboneError, ClassifierError, DatasetError, Setting, Tap, UsageError
from tests.support.small_unets import tiny_unet

GRIDS = {9: 4, 14: 8}
LINEAR = Setting(20, 9, 2, "linear")
SETTINGS = {
    "one tap": LINEAR,
    "two taps of a pass": LINEAR.reading(Tap(9, 20), Tap(14, 20)),
    "two taps of two passes, two draws": replace(LINEAR.reading(Tap(14, 20), Tap(9, 300)), draws=2),
    "two taps of two clean passes": replace(LINEAR.reading(Tap(14, 20), Tap(9, 300)), draws=0),
    "the grid itself": replace(LINEAR, pool=4),
    "a network": replace(LINEAR, head="mlp", options=(("width", 128), ("learning_rate", 3e-3), ("weight_decay", 1e-3))),
    "neighbours": replace(LINEAR, head="knn", options=(("neighbours", 10),)),
}


@pytest.fixture
def spec(tmp_path: Path, tiny_folder: Path, few_digits: Dataset) -> ProbeSpec:
    return ProbeSpec(few_digits, str(tiny_folder), "float32", tmp_path / "cache", GRIDS, seed=5)


def saved(probe: Probe, setting: Setting, path: Path, **changes: object) -> Path:
    """The file of the classifier that the final of seed 1 tests."""
    spec, trained = probe.spec, list(probe.train(setting, 1))[-1]
    assert isinstance(trained, Trained)
    origin = Origin(spec.backbone, probe.backbone.digest, spec.precision, TRANSFORM, spec.seed, GRIDS)
    classes, groups = spec.dataset.classes, trained.layout.groups
    save(Saved(trained.classifier, setting, classes, groups, replace(origin, **changes)), path)  # type: ignore[arg-type]
    return path


def small_files(folder: Path, dataset: Dataset, count: int) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{i}.png" for i in range(count)]
    for i, path in enumerate(paths):
        dataset.images.read(i).save(path)
    return paths


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_it_is_right_of_exactly_the_test_images_that_the_final_was(
    spec: ProbeSpec, setting: Setting, tmp_path: Path
) -> None:
    probe = Probe.build(spec, 1)
    classifier = Classifier.load(saved(probe, setting, tmp_path / "c.safetensors"))
    final = list(probe.finalise(setting, 1))[-1]
    assert isinstance(final, Final)
    tested, dataset = probe._tested, spec.dataset
    predict = classifier.predict_proba(dataset.images.keep(tested.tolist()))
    assert predict.shape == (100, 10)
    assert predict.sum(axis=1) == pytest.approx(np.ones(100), abs=1e-5)
    assert int((predict.argmax(axis=1) == dataset.labels[tested]).sum()) == final.test.correct > 50
    assert classifier.classes == dataset.classes
    assert len(repr(classifier)) < 300
    assert str(setting) in repr(classifier)
    assert f"{len(dataset.classes)} classes: {dataset.classes[0]!r}" in repr(classifier)

    step, kept = Batches.fitting(probe.backbone.architecture, probe.backbone.device).size, probe._views[0]
    for chunk in np.split(tested, range(step, len(tested), step)):
        pixels = square_pixels(dataset.images, chunk, 16)
        digests = [dataset.images.digest(i) for i in chunk]
        cached = kept.read(chunk, setting)
        assert cached is not None
        assert torch.equal(classifier.features(digests, pixels, Batches(step)), cached)


@pytest.mark.parametrize(
    ("changes", "made"),
    [({}, 500), ({"folds": 3}, 500), ({"shots": 5, "flips": True}, 1000)],
    ids=["one split", "folds", "shots and flips"],
)
def test_what_trains_is_what_the_final_trains(spec: ProbeSpec, changes: dict[str, int], made: int) -> None:
    probe = Probe.build(replace(spec, **changes), 1)  # type: ignore[arg-type]
    assert sum(report.made for report in probe.extract(LINEAR)) == made
    *_, trained = probe.train(LINEAR, 1)
    *_, final = probe.finalise(LINEAR, 1)
    assert isinstance(trained, Trained)
    assert isinstance(final, Final)
    assert trained.validation == final.validation
    assert final.passes_made == 100  # the test images', which neither of them had touched
    assert trained.layout.shape == (16, 2, 2)


def test_an_image_is_classified_alike_in_any_company_and_files_by_their_content(
    spec: ProbeSpec, tmp_path: Path
) -> None:
    classifier = Classifier.load(saved(Probe.build(spec, 1), LINEAR, tmp_path / "c.safetensors"))
    paths = small_files(tmp_path / "images", spec.dataset, 70)
    together = classifier.predict_proba(paths)
    assert (together.argmax(axis=1) == spec.dataset.labels[:70]).mean() > 0.6
    (tmp_path / "another name.png").write_bytes(paths[67].read_bytes())
    alone = classifier.predict_proba([tmp_path / "another name.png"])
    assert alone[0] == pytest.approx(together[67], abs=0.01)
    source = FileImages(tmp_path / "images", tuple(path.name for path in paths))
    assert np.array_equal(classifier.predict_proba(source), together)
    pixels = np.stack([np.asarray(spec.dataset.images.read(image)) for image in range(70)])
    in_memory = classifier.predict_proba(pixels)  # their noise differs: it follows from the bytes that are hashed
    assert (in_memory.argmax(axis=1) == spec.dataset.labels[:70]).mean() > 0.6
    assert list(classifier.predict(pixels)) == [classifier.classes[label] for label in in_memory.argmax(axis=1)]
    assert classifier.predict_proba([]).shape == (0, 10)


def test_what_cannot_be_read_is_said_in_its_place(spec: ProbeSpec, tmp_path: Path) -> None:
    classifier = Classifier.load(saved(Probe.build(spec, 1), LINEAR, tmp_path / "c.safetensors"))
    paths = small_files(tmp_path / "images", spec.dataset, 66)
    paths[3].write_bytes(paths[3].read_bytes()[:40])
    paths[65] = tmp_path / "gone.png"
    answers = list(classifier.answers(paths))
    assert [i for i, each in enumerate(answers) if isinstance(each, DatasetError)] == [3, 65]
    assert "3.png" in str(answers[3])
    assert "gone.png cannot be read: No such file or directory" in str(answers[65])
    with pytest.raises(DatasetError, match=r"3\.png"):
        classifier.predict_proba(paths)
    assert [type(each) for each in classifier.answers(paths[65:])] == [DatasetError]


def test_another_network_transform_or_noise_is_refused(spec: ProbeSpec, tmp_path: Path) -> None:
    probe, path = Probe.build(spec, 1), tmp_path / "c.safetensors"
    other = tmp_path / "other"
    network = tiny_unet()
    network.conv_in.weight.data += 1
    network.save_pretrained(other)
    with pytest.raises(BackboneError, match=r"was trained on a network with digest .* give the one it was trained on"):
        Classifier.load(saved(probe, LINEAR, path), backbone=str(other))
    with pytest.raises(BackboneError, match="which is gone; give its new place"):
        Classifier.load(saved(probe, LINEAR, path, backbone=str(tmp_path / "nowhere")))
    assert Classifier.load(path, backbone=spec.backbone).backbone.digest == probe.backbone.digest
    for kind in ("transform", "noise"):
        with pytest.raises(
            ClassifierError, match=f"trained with the {kind} 'squashed', this version has .*: use the ve"
        ):
            Classifier.load(saved(probe, LINEAR, path, **{kind: "squashed"}))


def test_a_block_a_timestep_or_channels_that_the_network_lacks_are_refused(spec: ProbeSpec, tmp_path: Path) -> None:
    probe, path = Probe.build(spec, 1), saved(Probe.build(spec, 1), LINEAR, tmp_path / "c.safetensors")
    whole, grids = load(path), dict.fromkeys((3, 9, 999), 4)
    origin = replace(whole.origin, grids=grids)
    assert probe.backbone.architecture.block(3).channels != whole.groups[0][0]
    for setting in (LINEAR.reading(Tap(999, 20)), LINEAR.reading(Tap(9, 1000)), LINEAR.reading(Tap(3, 20))):
        save(replace(whole, setting=setting, origin=origin), path)
        with pytest.raises(ClassifierError, match=rf"{path} reads {setting} of .* does not have; export it again"):
            Classifier.load(path)
    save(replace(whole, origin=replace(whole.origin, grids={9: 6})), path)
    with pytest.raises(ClassifierError, match="does not have; export it again"):
        Classifier.load(path)


@pytest.mark.parametrize("path", [None, 3, b"c.safetensors", "", "a\0b"])
def test_an_argument_that_is_no_path_is_refused(path: Any) -> None:
    for arguments in ({"path": path}, {"path": "c", "backbone": path or 3}, {"path": "c", "cache": path or 3}):
        with pytest.raises(UsageError, match="must be a path, as text or as a Path, got"):
            Classifier.load(**arguments)


def test_features_beyond_half_precision_are_kept_and_those_that_are_none_are_said(
    spec: ProbeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = Classifier.load(saved(Probe.build(spec, 1), LINEAR, tmp_path / "c.safetensors"))
    taps = type(classifier.backbone).taps
    factor = torch.tensor([1.0, 1e6, torch.nan])[:, None, None, None]

    def scaled(self: object, *inputs: object) -> dict[int, torch.Tensor]:
        return {block: maps * factor for block, maps in taps(self, *inputs).items()}  # type: ignore[arg-type]

    monkeypatch.setattr(type(classifier.backbone), "taps", scaled)
    plain, large, none = classifier.answers(spec.dataset.images.keep([0, 1, 2]))
    assert isinstance(plain, np.ndarray)
    assert isinstance(large, np.ndarray)
    assert isinstance(none, BackboneError)
    assert "image 2 has features that are not finite" in str(none)
