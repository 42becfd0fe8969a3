"""Saves a trained classifier in one safetensors file, and rebuilds it without running any code from the file.

The tensors are the classifier's `state()`. The metadata of the file has the entry "digest", over all bytes of the file
(`objectives/sealed_tensors.py`), and the entry "classifier", a JSON object:

    format      2
    setting     from `Setting.to_dict`: the features, and the head, a key of `HEADS`, that rebuilds the classifier
    classes     names of the classes, in the order of the logits
    groups      channels of each block at each timestep, [[c, ...], ...]
    origin      the fields of `Origin`: how the features are made from an image
    worth       results of the study; informative only
    versions    versions of the libraries that made the classifier; informative only

Files of format 1 are read too. They have no digest over all bytes: their JSON object has the entry "digest", xxh3-128
of the tensors alone, 32 hex digits, so that a change in the rest of the file can go unnoticed.
"""

import json
import math
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
from objectives.classifier_facts import ENTRY
from objectives.features.versions import FIRST, NOISE
from objectives.heads.catalog import head_named
from objectives.heads.head import FeatureLayout, FittedHead
from objectives.sealed_tensors import DIGEST, UNSEALED, is_whole, seal
from spaces import ClassifierError, Setting
from spaces.errors import SearchError, first_line, shown
from spaces.files import check_ends

FORMAT, FORMER = 2, 1

LARGEST_GRID = 4096
MOST_TIMESTEPS = 100_000
MOST_DRAWS = 64
MOST_SEED = 2**63 - 1
"""The largest numbers in a file. Larger ones are damage, and would fill the memory."""


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
        sides = {int(block): side for block, side in values["grids"].items()}
        grids = {block: _whole(side, f"the grid of block {block}", 1, LARGEST_GRID) for block, side in sides.items()}
        given = {"noise": FIRST["noise"], **values}
        words = {name: _text(given[name], name) for name in ("backbone", "weights", "precision", "transform", "noise")}
        side, prompt, inside = values.get("image_side"), values.get("prompt"), values.get("taps_inside", [])
        return cls(
            **words,
            seed=_whole(values["seed"], "its seed", 0, MOST_SEED),
            grids=grids,
            image_side=None if side is None else _whole(side, "its image side", 1, LARGEST_GRID),
            prompt=None if prompt is None else _text(prompt, "its prompt", empty=True),
            taps_inside=tuple(_text(name, "a name in `taps_inside`") for name in _list(inside, "`taps_inside`")),
        )


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
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "safetensors": safetensors.__version__,
        },
    }
    try:
        with replacing(path) as part:
            save_file(state, part, metadata={"format": "pt", ENTRY: json.dumps(record), **UNSEALED})
            seal(part)
            part.chmod(0o644)  # safetensors creates files that only their owner may read
    except (OSError, SafetensorError) as error:
        raise ClassifierError(f"cannot write the classifier to {path}: {error}") from error


def is_classifier(path: Path) -> bool:
    """Return whether a file says that it holds a classifier. Its content is not checked."""
    try:
        check_ends(path)
        with safe_open(path, framework="pt") as file:
            return ENTRY in (file.metadata() or {})
    except (OSError, SafetensorError):
        return False


def load(path: Path) -> Saved:
    """Read a classifier, on the CPU. Raises ClassifierError if the file is missing, damaged, or of another kind."""
    record, state = _read(path)
    try:
        return _rebuilt(record, state)
    except Exception as error:  # a file that was not made by `save` can hold anything
        raise ClassifierError(
            f"{path} has no classifier that this version can rebuild: {_reason(error)}; export it again"
        ) from error


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return the description of the classifier and the tensors of a file that has not changed since it was written."""
    try:
        check_ends(path)
        with safe_open(path, framework="pt") as file:
            entries = file.metadata() or {}
            if DIGEST in entries and not is_whole(path, entries[DIGEST]):
                raise ClassifierError(
                    f"{path} is damaged: its bytes are not those that were saved; copy or export it again"
                )
            record = json.loads(entries[ENTRY]) if ENTRY in entries else None
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except FileNotFoundError:
        raise ClassifierError(f"there is no classifier at {path}") from None
    except ClassifierError:
        raise
    except Exception as error:  # damaged files make the readers raise nearly anything
        raise ClassifierError(f"{path} is damaged or is no safetensors file: {_reason(error)}") from error
    if record is None:
        raise ClassifierError(f"{path} holds tensors but no classifier; give a file that `search export` made")
    if not isinstance(record, dict):
        raise ClassifierError(f"{path} is damaged: its description of the classifier is {shown(record)}")
    form = record.get("format")
    if type(form) is not int or form not in (FORMAT, FORMER):
        raise ClassifierError(
            f"{path} has format {shown(form)}, this version reads {FORMER} and {FORMAT}: use the version that made it"
        )
    if form == FORMAT and DIGEST not in entries:
        raise ClassifierError(f"{path} is damaged: its digest is missing; copy or export it again")
    if form == FORMER and record.get("digest") != _tensor_digest(state):
        raise ClassifierError(f"{path} is damaged: its weights are not those that were saved; copy or export it again")
    return record, state


def _rebuilt(record: Mapping[str, Any], state: Mapping[str, torch.Tensor]) -> Saved:
    """Rebuild a classifier. Raises nearly anything for a description that does not fit the tensors.

    Every number that says how much memory is taken is compared with the tensors first.
    """
    setting, origin = _checked_setting(record["setting"]), Origin.from_dict(record["origin"])
    numbers = sum(tensor.numel() for tensor in state.values())
    classes = tuple(_text(name, "the name of a class", empty=True) for name in _list(record["classes"], "its classes"))
    groups = tuple(
        tuple(_whole(channels, "a number of channels", 1, numbers) for channels in _list(group, "its groups"))
        for group in _list(record["groups"], "its groups")
    )
    if [len(group) for group in groups] != [len(blocks) for blocks in setting.passes.values()]:
        raise ValueError(f"its groups are {shown(groups)}, which do not match the blocks of {setting}")
    for tap in setting.taps:
        if origin.grids.get(tap.block, 1) % setting.pool or tap.block not in origin.grids:
            raise ValueError(f"its grids are {shown(dict(origin.grids))}, which do not suit {setting}")
    layout = FeatureLayout(groups, setting.pool)
    if not classes:
        raise ValueError("it has no classes")
    if math.prod(layout.shape) > numbers or len(classes) > numbers:
        raise ValueError(
            f"its {math.prod(layout.shape):,} features and {len(classes):,} classes are more than the {numbers:,} "
            "numbers of its tensors"
        )
    classifier = head_named(setting.head).restore(state, layout, len(classes), dict(setting.options))
    shape = tuple(classifier.logits(torch.zeros(2, *layout.shape)).shape)
    if shape != (2, len(classes)):
        raise ValueError(f"its logits of two images have shape {shape}, not {(2, len(classes))}")
    return Saved(classifier, setting, classes, groups, origin, dict(record.get("worth", {})))


def _checked_setting(values: Any) -> Setting:
    setting = Setting.from_dict(values)
    _whole(setting.pool, "its pool size", 1, LARGEST_GRID)
    _whole(setting.draws, "its number of draws", 0, MOST_DRAWS)
    for tap in setting.taps:
        _whole(tap.block, "its block", 1, MOST_TIMESTEPS)
        _whole(0 if tap.timestep is None else tap.timestep, "its timestep", 0, MOST_TIMESTEPS)
    return setting


def _whole(value: object, what: str, low: int, high: int) -> int:
    """Return a whole number from low to high, both included. Raises ValueError for anything else."""
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{what} must be a whole number from {low:,} to {high:,}, got {shown(value)}")
    return value


def _text(value: object, what: str, empty: bool = False) -> str:
    if not isinstance(value, str) or not (value or empty) or "\0" in value:
        raise ValueError(f"{what} must be text, got {shown(value)}")
    return value


def _list(value: object, what: str) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{what} must be a list, got {shown(value)}")
    return list(value)


def _reason(error: Exception) -> str:
    """Return what is wrong with a file, in words."""
    if isinstance(error, KeyError) and error.args:
        return f"it lacks {shown(error.args[0])}"
    if isinstance(error, SearchError | ValueError | OSError | SafetensorError | RuntimeError):
        return first_line(error)
    return f"{type(error).__name__}, {first_line(error)}"


def _tensor_digest(state: Mapping[str, torch.Tensor]) -> str:
    """Return the digest of a file of format 1: of names, types, shapes and values of the tensors."""
    digest = xxh3_128()
    for name in sorted(state):
        digest.update(f"{name} {state[name].dtype} {tuple(state[name].shape)}\n".encode())
        digest.update(state[name].flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
