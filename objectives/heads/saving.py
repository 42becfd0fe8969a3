"""Keeps a trained classifier in one safetensors file, from which it is rebuilt without running anything it holds.

The tensors are the classifier's `state()`. The file's metadata has one entry of ours, "classifier", a JSON object:

    format      1
    head        a key of `HEADS`, which rebuilds the classifier
    options     what the head was trained with
    classes     their names, in the order of the logits
    groups      of the features it reads, [[c, ...], ...]: of each timestep each block's channels
    side        of their maps
    digest      xxh3-128 of the tensors, 32 hex digits
    versions    of the libraries that made it: to know, not to check
"""

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from xxhash import xxh3_128

from objectives.heads.catalog import head_named
from objectives.heads.head import Classifier, Layout
from spaces.dimensions import Value
from spaces.errors import ClassifierError

FORMAT = 1
ENTRY = "classifier"


@dataclass(frozen=True)
class Saved:
    """A classifier and what one must know to use it.

    head, options: what trained it. classes: their names, one for each logit. layout: of the features it reads.
    """

    classifier: Classifier
    head: str
    options: Mapping[str, Value]
    classes: tuple[str, ...]
    layout: Layout


def save(saved: Saved, path: Path) -> None:
    """Write the file, in place of what was there: at once and whole. Raises ClassifierError where it cannot."""
    state = {name: tensor.cpu() for name, tensor in saved.classifier.state().items()}
    record = {
        "format": FORMAT,
        "head": saved.head,
        "options": dict(saved.options),
        "classes": saved.classes,
        "groups": saved.layout.groups,
        "side": saved.layout.side,
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
    """On the CPU. Raises ClassifierError for a file that is absent, damaged, or not one of ours."""
    record, state = _read(path)
    if record.get("format") != FORMAT:
        raise ClassifierError(
            f"{path} has format {record.get('format')!r}, this version reads {FORMAT}: use the version that made it"
        )
    if record.get("digest") != _digest(state):
        raise ClassifierError(f"{path} is damaged: its weights are not those that were saved; train or copy it again")
    try:
        layout = Layout(tuple(tuple(group) for group in record["groups"]), record["side"])
        saved = Saved(
            head_named(record["head"]).restore(state, layout, len(record["classes"]), record["options"]),
            record["head"],
            record["options"],
            tuple(record["classes"]),
            layout,
        )
        answer = tuple(saved.classifier.logits(torch.zeros(2, *layout.shape)).shape)
        if answer != (2, len(saved.classes)):
            raise ValueError(f"it answers two images by logits of shape {answer}")
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise ClassifierError(
            f"{path} does not hold what head {record.get('head')!r} of this version is rebuilt from: {error}"
        ) from error
    return saved


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
