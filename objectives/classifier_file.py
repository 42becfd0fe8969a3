"""Keeps a trained classifier in one safetensors file, from which it is rebuilt without running anything it holds.

The tensors are the classifier's `state()`. The file's metadata has one entry of ours, "classifier", a JSON object:

    format      1
    setting     as of `Setting.to_dict`: what it reads, and the head, a key of `HEADS`, that rebuilds it
    classes     their names, in the order of the logits
    groups      of the features it reads, [[c, ...], ...]: of each timestep each block's channels
    origin      what makes them of an image: the fields of `Origin`
    worth       what is known of how good it is: to know, not to check
    digest      xxh3-128 of the tensors, 32 hex digits
    versions    of the libraries that made it: to know, not to check
"""

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from xxhash import xxh3_128

from objectives.heads.catalog import head_named
from objectives.heads.head import FeatureLayout, FittedHead
from spaces import ClassifierError, InvalidSpaceError, Setting

FORMAT = 1
ENTRY = "classifier"


@dataclass(frozen=True)
class Origin:
    """What the features of an image depend on besides the setting.

    backbone: a name, folder or hub id that `load_backbone` knows. weights: its digest, as of `Backbone.digest`.
    precision: of the passes. transform: of images to pixels. seed: of the noise. grids: block → side of the map that a
    pass leaves of it in half precision, of each block that the setting reads.
    """

    backbone: str
    weights: str
    precision: str
    transform: str
    seed: int
    grids: Mapping[int, int]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Origin":
        """Raises TypeError, KeyError or ValueError for what JSON of `to_dict` does not give."""
        grids = {int(block): int(side) for block, side in values["grids"].items()}
        words = {name: str(values[name]) for name in ("backbone", "weights", "precision", "transform")}
        return cls(**words, seed=int(values["seed"]), grids=grids)


@dataclass(frozen=True)
class Saved:
    """A classifier with all that is needed to use it.

    setting: what it reads, and what trained it. classes: their names, one for each logit. groups: as in
    `FeatureLayout`, of the setting's features. worth: JSON-ready, of the study that found it: its name, metric,
    accuracies and more.
    """

    classifier: FittedHead
    setting: Setting
    classes: tuple[str, ...]
    groups: tuple[tuple[int, ...], ...]
    origin: Origin
    results: Mapping[str, Any] = field(default_factory=dict)

    @property
    def layout(self) -> FeatureLayout:
        return FeatureLayout(self.groups, self.setting.pool)


def save(saved: Saved, path: Path) -> None:
    """Write the file at once and whole; it replaces an older one. Raises ClassifierError where it cannot be written."""
    state = {name: tensor.cpu() for name, tensor in saved.classifier.state().items()}
    record = {
        "format": FORMAT,
        "setting": saved.setting.to_dict(),
        "classes": saved.classes,
        "groups": saved.groups,
        "origin": saved.origin.to_dict(),
        "worth": dict(saved.results),
        "digest": _digest(state),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "safetensors": safetensors.__version__,
        },
    }
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        save_file(state, part, metadata={"format": "pt", ENTRY: json.dumps(record)})
        part.chmod(0o644)  # safetensors makes files that nobody else may read
        part.replace(path)
    except (OSError, SafetensorError) as error:
        raise ClassifierError(f"cannot write the classifier to {path}: {error}") from error
    finally:
        part.unlink(missing_ok=True)


def load(path: Path) -> Saved:
    """Read a classifier, on the CPU. Raises ClassifierError for a file that is absent, damaged, or not ours."""
    record, state = _read(path)
    if record.get("format") != FORMAT:
        raise ClassifierError(
            f"{path} has format {record.get('format')!r}, this version reads {FORMAT}: use the version that made it"
        )
    if record.get("digest") != _digest(state):
        raise ClassifierError(f"{path} is damaged: its weights are not those that were saved; train or copy it again")
    try:
        setting, classes = Setting.from_dict(record["setting"]), tuple(record["classes"])
        groups = tuple(tuple(group) for group in record["groups"])
        if [len(group) for group in groups] != [len(blocks) for blocks in setting.passes.values()]:
            raise ValueError(f"its features are of blocks {groups}, which are not those of {setting}")
        head, layout = head_named(setting.head), FeatureLayout(groups, setting.pool)
        classifier = head.restore(state, layout, len(classes), dict(setting.options))
        answer = tuple(classifier.logits(torch.zeros(2, *layout.shape)).shape)
        if answer != (2, len(classes)):
            raise ValueError(f"it answers two images by logits of shape {answer}")
        return Saved(
            classifier, setting, classes, groups, Origin.from_dict(record["origin"]), dict(record.get("worth", {}))
        )
    except (AttributeError, InvalidSpaceError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise ClassifierError(
            f"{path} does not hold what a classifier of this version is rebuilt from: {error!r}"
        ) from error


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            entries = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        record = json.loads(entries[ENTRY])
    except FileNotFoundError:
        raise ClassifierError(f"there is no classifier at {path}") from None
    except KeyError:
        raise ClassifierError(f"{path} holds tensors but no classifier: it needs a file that `save` made") from None
    except (OSError, SafetensorError, ValueError) as error:
        raise ClassifierError(f"{path} is damaged or is no safetensors file: {error}") from error
    if not isinstance(record, dict):
        raise ClassifierError(f"{path} is damaged: its description of the classifier is {record!r}")
    return record, state


def _digest(state: Mapping[str, torch.Tensor]) -> str:
    digest = xxh3_128()
    for name in sorted(state):
        digest.update(f"{name} {state[name].dtype} {tuple(state[name].shape)}\n".encode())
        digest.update(state[name].flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
