"""Saves a trained classifier in one safetensors file, and rebuilds it without running any code from the file.

The tensors are the classifier's `state()`. The metadata of the file has the entry "classifier", a JSON object:

    format      1
    setting     from `Setting.to_dict`: the features, and the head, a key of `HEADS`, that rebuilds the classifier
    classes     names of the classes, in the order of the logits
    groups      channels of each block at each timestep, [[c, ...], ...]
    origin      the fields of `Origin`: how the features are made from an image
    worth       results of the study; informative only
    digest      xxh3-128 of the tensors, 32 hex digits
    versions    versions of the libraries that made the classifier; informative only
"""

import json
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

from objectives.atomic_write import replacing
from objectives.features.versions import FIRST, NOISE
from objectives.heads.catalog import head_named
from objectives.heads.head import FeatureLayout, FittedHead
from spaces import ClassifierError, InvalidSpaceError, Setting
from spaces.files import check_ends

FORMAT = 1
ENTRY = "classifier"


@dataclass(frozen=True)
class Origin:
    """Everything on which the features of an image depend besides the setting.

    backbone: a name, folder or hub id for `load_backbone`. weights: digest of the backbone, `Backbone.digest`.
    precision: number format of the forward passes. transform: name of the transform from images to pixels.
    image_side: side of the images in pixels; None for that of the network's training. prompt: the text for a network
    that reads one. taps_inside: activations inside each layer that are blocks too.
    seed: random seed for the noise. noise: name of how the noise is made.
    grids: block → side of the map that a forward pass keeps in half precision, for each block that the setting reads.
    """

    backbone: str
    weights: str
    precision: str
    transform: str
    seed: int
    grids: Mapping[int, int]
    noise: str = NOISE
    image_side: int | None = None
    prompt: str | None = None
    taps_inside: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Origin":
        """Invert `to_dict`; early files name no noise, image side, prompt or taps inside.

        Raises TypeError, KeyError or ValueError for other values.
        """
        grids = {int(block): int(side) for block, side in values["grids"].items()}
        words: dict[str, Any] = {name: str(values[name]) for name in ("backbone", "weights", "precision", "transform")}
        noise, side = str(values.get("noise", FIRST["noise"])), values.get("image_side")
        prompt = values.get("prompt")
        given: dict[str, Any] = {
            "image_side": None if side is None else int(side),
            "prompt": None if prompt is None else str(prompt),
            "taps_inside": tuple(map(str, values.get("taps_inside", ()))),
        }
        return cls(**words, seed=int(values["seed"]), grids=grids, noise=noise, **given)


@dataclass(frozen=True)
class Saved:
    """A classifier with everything that is needed to use it.

    setting: the features that the classifier reads, and the head that trained it.
    classes: names of the classes, one for each logit.
    groups: channels of the setting's features, as in `FeatureLayout`.
    results: of the study, for JSON: its name, metric, accuracies and more; "worth" in the file.
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
    """Write the file, which replaces an older one when it is complete. Raises ClassifierError if that fails."""
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
    try:
        with replacing(path) as part:
            save_file(state, part, metadata={"format": "pt", ENTRY: json.dumps(record)})
            part.chmod(0o644)  # safetensors creates files that only their owner may read
    except (OSError, SafetensorError) as error:
        raise ClassifierError(f"cannot write the classifier to {path}: {error}") from error


def is_classifier(path: Path) -> bool:
    """Return whether a file says that it holds a classifier. Its content is not checked."""
    try:
        with safe_open(path, framework="pt") as file:
            return ENTRY in (file.metadata() or {})
    except (OSError, SafetensorError):
        return False


def load(path: Path) -> Saved:
    """Read a classifier, on the CPU. Raises ClassifierError if the file is missing, damaged, or of another kind."""
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
            raise ValueError(f"its groups are {groups}, which do not match the blocks of {setting}")
        head, layout = head_named(setting.head), FeatureLayout(groups, setting.pool)
        classifier = head.restore(state, layout, len(classes), dict(setting.options))
        shape = tuple(classifier.logits(torch.zeros(2, *layout.shape)).shape)
        if shape != (2, len(classes)):
            raise ValueError(f"its logits of two images have shape {shape}, not {(2, len(classes))}")
        return Saved(
            classifier, setting, classes, groups, Origin.from_dict(record["origin"]), dict(record.get("worth", {}))
        )
    except (AttributeError, InvalidSpaceError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise ClassifierError(f"{path} has no classifier that this version can rebuild: {error!r}") from error


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    try:
        check_ends(path)
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
