"""Small studies: their records, their results, and the type of the fixture that makes their records."""

from collections.abc import Callable
from typing import Any

from objectives.results import Final, StudyResults, Trial
from search.database.records import StudyRecord
from spaces import Architecture, Block, Space
from tests.support.architectures import SMALL

MakeRecord = Callable[..., StudyRecord]
"""Makes the record of a study; keyword arguments replace its fields."""


def small_space() -> Space:
    """Return a space of 3 timesteps, 5 blocks, 3 pools and 2 heads. Some of its 12 maps are too small for pool 4."""
    sides = (16, 16, 8, 4, 2, 2, 2, 4, 4, 8, 16, 16)
    blocks = tuple(
        Block(number, f"block.{number}", "encoder" if number < 7 else "decoder", 32, side, 0.01, 0.01 * number)
        for number, side in enumerate(sides, start=1)
    )
    architecture = Architecture("small", 16, blocks, tuple(0.9999 - 0.9998 * t / 999 for t in range(1000)))
    return Space(architecture, (10, 90, 300), (3, 4, 5, 8, 10), (1, 2, 4), ("linear", "mlp"))


def small_record(**changes: Any) -> StudyRecord:
    """Return the record of a study of digits in the small space."""
    fields: dict[str, Any] = {
        "dataset": "digits",
        "dataset_fingerprint": "d" * 64,
        "backbone": "bundled",
        "weights_digest": "w" * 64,
        "preset": "default",
        "space": small_space(),
        "classes": ("zero", "one"),
        "counts": {"train": 80, "validation": 20, "test": 50},
        "protocol": {"validation split": "20 % of the training images, seed 0"},
    }
    return StudyRecord(**(fields | changes))


def small_results(trials: tuple[Trial, ...] = (), finals: tuple[Final, ...] = (), **changes: Any) -> StudyResults:
    """Return the results of a study of two classes, 80 training, 20 validation and 50 test images."""
    fields: dict[str, Any] = {
        "name": "digits-1",
        "dataset": "digits",
        "backbone": "bundled",
        "architecture": SMALL,
        "preset": "default",
        "space_size": 9,
        "classes": ("zero", "one"),
        "counts": {"train": 80, "validation": 20, "test": 50},
        "provenance": {},
        "wall_seconds": 1.0,
    }
    return StudyResults(trials=trials, finals=finals, **(fields | changes))
