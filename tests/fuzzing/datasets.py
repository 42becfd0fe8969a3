"""Fuzzes `search datasets check` in this process: odd folders, lists of images, tables, arrays, and space files.

    python -m tests.fuzzing.datasets --seconds 3600 --seed 0
    python -m tests.fuzzing.datasets --only 1234 --seed 0    # one input again, with its traceback

An input must be refused by a `SearchError`, or be read. Then every file is an image, unreadable, or counted as left
out; one file is in one split; and all names can be stored and printed. Anything else is a fault. Prints how many inputs
were tried, and each distinct fault once.
"""

import json
import random
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

from PIL import Image

from objectives.datasets.catalog import Dataset, load_with_sizes
from objectives.datasets.check import check
from objectives.datasets.images import FileImages
from search.cli.commands.datasets import counts_table, findings
from spaces import PRESETS, SearchError
from spaces.text import escaped
from tests.fuzzing.dataset_inputs import GENERATORS, Input
from tests.fuzzing.loop import Outcomes, count_outcomes, run_command
from tests.support.architectures import SMALL

LONGEST = 6000
"""Most characters of a refusal, without the paths of the input; it may quote a label of 5,000 digits."""


@contextmanager
def small_images() -> Iterator[None]:
    """Refuse images of millions of pixels, which damaged headers announce, and hide Pillow's warnings."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, 2_000_000
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    Image.MAX_IMAGE_PIXELS = before


def read(made: Input) -> str:
    """Check a dataset or read a space file. Return "read", "refused", or a fault in words."""
    try:
        if made.dataset is None:
            PRESETS["default"](SMALL).narrow_from_file(made.root)
            return "read"
        dataset, sizes = load_with_sizes(made.dataset, made.root, skip_unreadable=True)
    except SearchError as error:
        return fault_in(str(error).replace(str(made.root), "ROOT")) or "refused"
    checked = check(dataset, sizes)
    counts_table(checked)
    lines = findings(checked)
    shown = [*lines, *dataset.classes, *(dataset.images.name(i) for i in range(len(dataset)))]
    shown.append(json.dumps(asdict(checked), ensure_ascii=False))
    for text in shown:
        text.encode()
        if escaped(text) != text and text not in dataset.classes and "\\" not in text:
            return f"text with control characters: {text[:100]!r}"
    return fault_of(made, dataset) or "read"


def fault_of(made: Input, dataset: Dataset) -> str:
    """Return what is wrong with a dataset that was read, or "" if nothing is."""
    if len(set(dataset.classes)) < len(dataset.classes):
        return "two classes of one name"
    if not len(dataset) == len(dataset.labels) == len(dataset.is_test):
        return "as many labels as images"
    phrases = [phrase.split(" ", 2) for phrase in dataset.left_out]  # "3 files, …", or "1 class folder, …"
    left_out = sum(int(number.replace(",", "")) for number, kind, _ in phrases if kind.startswith("file"))
    accounted = len(dataset) + len(dataset.skipped) + left_out
    if made.files is not None and accounted != made.files:
        return f"{made.files} files, {len(dataset)} images, {len(dataset.skipped)} unreadable, {left_out} left out"
    if isinstance(dataset.images, FileImages):
        places: dict[tuple[int, int], tuple[bool, int]] = {}
        for i, path in enumerate(dataset.images.paths):
            status = (dataset.images.root / path).stat()
            place = (bool(dataset.is_test[i]), int(dataset.labels[i]))
            if places.setdefault((status.st_dev, status.st_ino), place) != place:
                return "one file in two splits or classes"
    return ""


def fault_in(message: str) -> str:
    """Return what is wrong with a refusal, or "" if nothing is."""
    if not message:
        return "an error without a message"
    if len(message) > LONGEST:
        return f"a refusal of {len(message):,} characters: {message[:100]!r}"
    return ""


def fuzz(seed: int, numbers: Iterable[int], seconds: float, kinds: Iterable[str] = GENERATORS) -> Outcomes:
    """Read odd inputs of some kinds until `seconds` have passed."""

    def make(root: Path, chance: random.Random) -> tuple[str, Callable[[], str]]:
        kind = chance.choice(sorted(kinds))
        return kind, partial(read, GENERATORS[kind](root, chance))

    with small_images():
        return count_outcomes(make, seed, numbers, seconds)


if __name__ == "__main__":
    run_command(__doc__, fuzz)
