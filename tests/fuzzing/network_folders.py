"""Fuzzes the reading of network folders: damaged copies of small networks of every kind are shown and loaded.

    python -m tests.fuzzing.network_folders --seconds 3600 --seed 0
    python -m tests.fuzzing.network_folders --only 1234 --seed 0    # one input again, with its traceback

A damaged folder must be refused by a `SearchError` of one line, or load completely: with the same weights whatever was
in memory before. Anything else is a fault. Prints how many inputs were tried, and each distinct fault once.
"""

import random
import shutil
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import torch

from objectives.backbones.catalog import architecture_named, describe_backbone, load_backbone
from objectives.backbones.reading import Reading
from objectives.backbones.tapped import TappedBackbone
from spaces import SearchError
from tests.fuzzing.damages import (
    damage_content,
    damage_entry,
    damage_neighbours,
    damage_place,
    damage_tensors,
    files_in,
)
from tests.fuzzing.loop import Outcomes, count_outcomes, run_command
from tests.support import small_encoders, small_latents, small_transformers, small_unets

KINDS = small_unets.FOLDERS | small_latents.FOLDERS | small_transformers.FOLDERS | small_encoders.FOLDERS
LARGEST_SIDE = 128
"""The largest images, in pixels a side, of which the fuzzer makes forward passes."""
LONGEST = 1500
"""Most characters of a refusal."""


def loaded(folder: Path, filled: bool) -> TappedBackbone:
    """Load a network. filled: memory that nothing initialises holds NaN."""
    torch.use_deterministic_algorithms(filled, warn_only=True)
    try:
        return load_backbone(str(folder))
    finally:
        torch.use_deterministic_algorithms(False)


def weights_of(backbone: TappedBackbone) -> dict[str, torch.Tensor]:
    module = backbone.network.module
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def read(folder: Path) -> str:
    """Show and load a network. Return "read", "refused", or a fault in words."""
    shown = [refusal_of(partial(architecture_named, str(folder))), refusal_of(partial(describe, folder))]
    if faults := [fault for fault in map(fault_in, shown) if fault]:
        return faults[0]
    if shown[0] and not shown[1]:
        return "shown by the run, and refused by `backbones show`"
    try:
        first = loaded(folder, filled=False)
    except SearchError as error:
        return fault_in(str(error)) or "refused"
    if shown[0]:
        return "loaded, and refused by `backbones show`"
    try:
        second = loaded(folder, filled=True)
    except SearchError:
        return "weights that nothing initialised: loaded or refused by chance"
    return difference(first, second) or "read"


def describe(folder: Path) -> None:
    describe_backbone(str(folder), Reading(cache=folder / "none"))


def refusal_of(step: Callable[[], object]) -> str:
    """Return the message with which a step is refused, or "" if it is not."""
    try:
        step()
    except SearchError as error:
        return str(error) or "an error without a message"
    return ""


def difference(first: TappedBackbone, second: TappedBackbone) -> str:
    """Return how two loadings of a network differ, or how its maps differ from what is shown; "" if they do not."""
    one, other = weights_of(first), weights_of(second)
    if one.keys() != other.keys() or not all(torch.equal(one[name], other[name]) for name in one):
        return "weights that nothing initialised: two loadings differ"
    side = first.architecture.image_side
    if side > LARGEST_SIDE:  # an attention over all pixels takes hours, and no alarm ends it
        return ""
    pixels = torch.randint(0, 256, (2, 3, side, side), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    inputs = first.encode(pixels)
    noise, timestep = (torch.ones_like(inputs), 0) if first.architecture.noised else (None, None)
    maps = first.taps(inputs, noise, timestep, [block.number for block in first.architecture.blocks])
    for block in first.architecture.blocks:
        shape = maps[block.number].shape
        if shape != (2, block.channels, block.side, block.side):
            return f"maps {tuple(shape[1:])} of another shape than shown"
    return ""


def fault_in(message: str) -> str:
    """Return what is wrong with a refusal, or "" if nothing is."""
    if not message.isprintable():
        return f"a refusal of several lines or with control characters: {message[:100]!r}"
    if len(message) > LONGEST:
        return f"a refusal of {len(message):,} characters: {message[:100]!r}"
    return ""


def fuzz(networks: Path, seed: int, numbers: Iterable[int], seconds: float) -> Outcomes:
    """Read damaged copies of the networks in a folder until `seconds` have passed."""

    def make(root: Path, chance: random.Random) -> tuple[str, Callable[[], str]]:
        return damaged_copy(networks, root, chance), partial(read, root)

    return count_outcomes(make, seed, numbers, seconds)


def damaged_copy(networks: Path, folder: Path, chance: random.Random) -> str:
    """Copy one of the networks to `folder`, damage it, and return what was done, for people."""
    torch.manual_seed(int(folder.name))  # for the damages that torch draws
    kind = chance.choice(sorted(path.name for path in networks.iterdir()))
    shutil.copytree(networks / kind, folder)
    damages = [damage_entry, damage_entry, damage_content, damage_place, damage_tensors, damage_neighbours(networks)]
    done = [kind]
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        damage = chance.choice(damages)
        done.append(damage.__name__)
        if files_in(folder, ".json"):
            damage(folder, chance)
    return ", ".join(done)


def build_networks(folder: Path) -> Path:
    """Build a small network of every kind."""
    for name, build in KINDS.items():
        part = folder / name.replace(" ", "-").replace("'", "")
        part.mkdir(parents=True)
        build(part)
    return folder


def fuzz_new_networks(seed: int, numbers: Iterable[int], seconds: float) -> Outcomes:
    with tempfile.TemporaryDirectory() as work:
        return fuzz(build_networks(Path(work)), seed, numbers, seconds)


if __name__ == "__main__":
    torch.set_num_threads(1)
    run_command(__doc__, fuzz_new_networks)
