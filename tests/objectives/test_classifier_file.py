"""Every head's classifier from a file is the one that was saved; what else may lie there is an error in words."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from objectives.classifier_file import ENTRY, Origin, Saved, load, save
from objectives.features.versions import FIRST
from objectives.heads.catalog import HEADS
from objectives.heads.head import LabelledFeatures
from spaces import ClassifierError, Setting, Tap, UnknownNameError
from tests.support.heads import OPTIONS, blobs, blobs_of_sizes, fit_head

CLASSES = ("wren", "Zaunkönig", "")
GROUPS = ((1,), (2,))
ORIGIN = Origin(
    "bundled",
    "b" * 64,
    "float32",
    "squares",
    7,
    {9: 8, 12: 4},
    image_side=64,
    prompt="a bird",
    taps_inside=("query", "mlp"),
)
WORTH = {"study": "birds-ü", "test_accuracy": 0.5, "test_interval": [0.4, 0.6]}


def reading(head: str) -> Setting:
    return Setting(20, 9, 2, head, 3, tuple(OPTIONS[head].items()), (Tap(12, 90),))


@cache
def trained(name: str, balanced: bool = False) -> tuple[Saved, LabelledFeatures]:
    sets = blobs_of_sizes((60, 10, 20), 1.0, seed=1), blobs(3, 40, 1.0, seed=2)
    train, validation = (replace(data, groups=GROUPS) for data in sets)
    _, fit = fit_head(name, replace(train, balanced=balanced), validation, 3)
    return Saved(fit.classifier, reading(name), CLASSES, GROUPS, ORIGIN, WORTH), validation


def rewritten(path: Path, tensors: dict[str, torch.Tensor] | None = None, **changes: object) -> None:
    """The file with other tensors, or other entries in the classifier's description."""
    with safe_open(path, framework="pt") as file:
        record = json.loads(file.metadata()[ENTRY])
    save_file(tensors or load_file(path), path, metadata={ENTRY: json.dumps(record | changes)})


@pytest.mark.parametrize("name", HEADS)
class TestSaved:
    @pytest.mark.parametrize("balanced", [False, True])
    def test_gives_the_same_logits(self, name: str, balanced: bool, tmp_path: Path) -> None:
        saved, validation = trained(name, balanced)
        path = tmp_path / "classifier.safetensors"
        path.write_text("what was there before")
        save(saved, path)
        assert list(tmp_path.iterdir()) == [path]
        again = load(path)
        assert (again.setting, again.classes, again.groups) == (reading(name), CLASSES, GROUPS)
        assert (again.origin, again.results) == (ORIGIN, WORTH)
        features = validation.features
        assert torch.equal(again.classifier.logits(features), saved.classifier.logits(features))
        state = saved.classifier.state()
        assert again.classifier.state().keys() == state.keys()
        assert all(torch.equal(again.classifier.state()[key], state[key]) for key in state)

    def test_a_damaged_file_is_said_to_be(self, name: str, tmp_path: Path) -> None:
        path = tmp_path / "classifier.safetensors"
        save(trained(name)[0], path)
        whole = path.read_bytes()
        for damaged in (whole[:-9], whole[: len(whole) // 2], whole[:5], b"", b"not tensors at all, but words"):
            path.write_bytes(damaged)
            with pytest.raises(ClassifierError, match="is damaged or is no safetensors file"):
                load(path)
        path.write_bytes(whole[:-3] + bytes([whole[-3] ^ 64]) + whole[-2:])
        with pytest.raises(ClassifierError, match="is damaged: its weights are not those that were saved"):
            load(path)

    def test_what_does_not_fit_its_head_is_refused(self, name: str, tmp_path: Path) -> None:
        path = tmp_path / "classifier.safetensors"
        setting = reading(name).to_dict()
        changes: list[dict[str, Any]] = [{"groups": [[5]]}, {"groups": [[1], [5]]}, {"groups": 3}, {"origin": {}}]
        spoilt: list[dict[str, Any]] = [{"pool": 3}, {"pool": "2"}, {"further": []}]
        changes += [{"setting": setting | change} for change in spoilt]
        changes += [{"setting": None}, {"origin": ORIGIN.to_dict() | {"grids": [9]}}, {"worth": 3}]
        changes += [{"classes": CLASSES[:2]}, {"classes": [*CLASSES, "more"]}]
        for change in changes:
            save(trained(name)[0], path)
            if name == "knn" and len(change.get("classes", ())) == 4:
                continue  # its training images may be of fewer classes than there are
            rewritten(path, **change)
            with pytest.raises(ClassifierError, match="has no classifier that this version can rebuild"):
                load(path)


def test_what_is_no_saved_classifier_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "classifier.safetensors"
    with pytest.raises(ClassifierError, match="there is no classifier at"):
        load(path)
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(ClassifierError, match="holds tensors but no classifier"):
        load(path)
    save(trained("linear")[0], path)
    rewritten(path, format=2)
    with pytest.raises(ClassifierError, match="has format 2, this version reads 1"):
        load(path)
    save(trained("linear")[0], path)
    rewritten(path, setting=reading("linear").to_dict() | {"head": "liner"})
    with pytest.raises(UnknownNameError, match="unknown head 'liner'; did you mean 'linear'"):
        load(path)


def test_an_early_file_has_the_first_noise(tmp_path: Path) -> None:
    path = tmp_path / "classifier.safetensors"
    save(trained("linear")[0], path)
    rewritten(path, origin={name: value for name, value in ORIGIN.to_dict().items() if name != "noise"})
    assert load(path).origin == ORIGIN
    assert FIRST["noise"] == ORIGIN.noise


def test_a_file_that_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    saved, _ = trained("linear")
    with pytest.raises(ClassifierError, match="cannot write the classifier to"):
        save(saved, tmp_path / "absent" / "classifier.safetensors")
    (tmp_path / "taken").mkdir()
    with pytest.raises(ClassifierError, match="cannot write the classifier to"):
        save(saved, tmp_path / "taken")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
