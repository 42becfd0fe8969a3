"""Fuzzes the reading of classifier files: those of every head with flipped bits, cuts and other descriptions.

    python -m tests.fuzzing.classifier_files --seconds 300 --seed 0
    python -m tests.fuzzing.classifier_files --only 1234 --seed 0    # one input again, with its traceback

A file whose bytes have changed must be refused by a `ClassifierError` of one line that names the file. A file of
another description with a digest of its own must be refused so, or predict. Anything else is a fault.
"""

import json
import random
import tempfile
from collections.abc import Callable, Iterable
from copy import deepcopy
from functools import partial
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from objectives.classifier_facts import ENTRY
from objectives.classifier_file import Origin, Saved, load, save
from objectives.heads.catalog import HEADS
from objectives.sealed_tensors import UNSEALED, seal
from spaces import ClassifierError, Setting
from tests.fuzzing.damages import VALUES
from tests.fuzzing.loop import Outcomes, count_outcomes, run_command
from tests.support.heads import OPTIONS, blobs, blobs_of_sizes, fit_head

LONGEST = 1500
"""Most characters of a refusal."""


def read(path: Path, changed: bool) -> str:
    """Load a classifier and predict. changed: whether its bytes differ from those that were saved."""
    try:
        saved = load(path)
    except ClassifierError as error:
        message = str(error)
        if str(path) not in message or not message.isprintable() or len(message) > LONGEST:
            return f"a refusal of another form: {message[:200]!r}"
        return "refused"
    if changed:
        return "a change of its bytes went unnoticed"
    logits = saved.classifier.logits(torch.ones(3, *saved.layout.shape))
    return "read" if logits.shape == (3, len(saved.classes)) else "logits of another shape"


def flip(path: Path, chance: random.Random) -> None:
    """Flip one to three bits, half of the time in the header."""
    content = bytearray(path.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    for bit in chance.sample(
        range(8 * (header if chance.random() < 0.5 else len(content))), chance.choice([1, 1, 2, 3])
    ):
        content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def cut(path: Path, chance: random.Random) -> None:
    """Cut the end off, add to it, or repeat a piece."""
    content = path.read_bytes()
    first, second = sorted(chance.sample(range(len(content)), 2))
    path.write_bytes(
        chance.choice([content[:second], content + b"\0", content[:first] + content[second:], content[:second] * 2])
    )


def change_description(path: Path, chance: random.Random) -> None:
    """Change entries of the description, and perhaps a tensor, and seal the file again."""
    with safe_open(path, framework="pt") as file:
        record = json.loads(file.metadata()[ENTRY])
    tensors = load_file(path)
    for _ in range(chance.choice([1, 1, 2])):
        holder = record
        while True:
            key = chance.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
            if isinstance(holder[key], dict | list) and holder[key] and chance.random() < 0.7:
                holder = holder[key]
                continue
            if chance.random() < 0.15:
                del holder[key]
            else:
                holder[key] = deepcopy(chance.choice(VALUES))
            break
        if not record:
            break
    if tensors and chance.random() < 0.3:
        key = chance.choice(sorted(tensors))
        tensor = tensors[key]
        tensors[key] = chance.choice(
            [tensor.flatten()[:0], tensor.double(), tensor[None], tensor.bool(), tensor * 2]
        ).clone()
    entry = json.dumps(record).encode("utf-8", "replace").decode()
    save_file(tensors, path, metadata={ENTRY: entry, **UNSEALED})
    seal(path)


def build_classifiers(folder: Path) -> Path:
    """Save a small classifier of every head."""
    sets = blobs_of_sizes((12, 6, 6), 1.0, seed=1), blobs(3, 8, 1.0, seed=2)
    for name in HEADS:
        _, fit = fit_head(name, *sets, 3)
        (channels, side) = sets[0].features.shape[1:3]
        setting = Setting(20, 9, side, name, 1, tuple(OPTIONS[name].items()))
        origin = Origin("bundled", "b" * 64, "float32", "squares", 7, {9: 4 * side})
        saved = Saved(fit.classifier, setting, ("a", "b", "c"), ((channels,),), origin)
        save(saved, folder / f"{name}.safetensors")
    return folder


def fuzz(classifiers: Path, seed: int, numbers: Iterable[int], seconds: float) -> Outcomes:
    """Read changed copies of the classifiers in a folder until `seconds` have passed."""

    def make(root: Path, chance: random.Random) -> tuple[str, Callable[[], str]]:
        root.mkdir()
        source = chance.choice(sorted(classifiers.iterdir()))
        path, before = root / source.name, source.read_bytes()
        path.write_bytes(before)
        damage = chance.choice([flip, flip, cut, change_description])
        damage(path, chance)
        changed = damage is not change_description and path.read_bytes() != before
        return f"{source.stem}, {damage.__name__}", partial(read, path, changed)

    return count_outcomes(make, seed, numbers, seconds)


def fuzz_new_classifiers(seed: int, numbers: Iterable[int], seconds: float) -> Outcomes:
    with tempfile.TemporaryDirectory() as work:
        return fuzz(build_classifiers(Path(work)), seed, numbers, seconds)


if __name__ == "__main__":
    torch.set_num_threads(1)
    run_command(__doc__, fuzz_new_classifiers)
