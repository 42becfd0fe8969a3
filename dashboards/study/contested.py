"""Which images good settings answer otherwise than bad ones: a table as those of `summaries`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from objectives.results import CorrectMask, StudyResults

FEWEST = 8
"""Complete trials of which a quarter is more than one."""


@dataclass(frozen=True, slots=True)
class ContestedImage:
    """An image by its position among the answers. good, bad: the share of each that had it right, in [0, 1]."""

    position: int
    good: float
    bad: float


@dataclass(frozen=True, slots=True)
class Contested:
    """What the best and the worst quarter of the trials make of the validation images.

    gained: that the good have right and the bad wrong, the clearest first. lost: the other way round. settings: of each
    quarter. always, never: images that all good settings had right, and that no complete trial at all had.
    """

    gained: tuple[ContestedImage, ...]
    lost: tuple[ContestedImage, ...]
    settings: int
    always: int
    never: int
    images: int


def contested(study: StudyResults, top: int = 8) -> Contested | None:
    """None where too few trials kept their answers."""
    answers = [trial.correct_mask for trial in study.complete if trial.correct_mask is not None]
    if len(answers) < FEWEST:
        return None
    quarter = len(answers) // 4
    good, bad = _share(answers[:quarter]), _share(answers[-quarter:])
    gap = good - bad
    # Neighbours in a dataset are often of one class: of equals, take some from everywhere.
    order = np.random.default_rng(0).permutation(len(gap))
    order = order[np.argsort(-gap[order], kind="stable")]
    ever = 0
    for each in answers:
        ever |= each.bits

    def some(positions: np.ndarray) -> tuple[ContestedImage, ...]:
        return tuple(ContestedImage(int(p), float(good[p]), float(bad[p])) for p in positions[:top])

    return Contested(
        gained=some(order[gap[order] > 0]),
        lost=some(order[::-1][gap[order[::-1]] < 0]),
        settings=quarter,
        always=int((good == 1).sum()),
        never=len(gap) - ever.bit_count(),
        images=len(gap),
    )


def _share(answers: Sequence[CorrectMask]) -> np.ndarray:
    """Of them that had each image right, float64 (images,)."""
    total = answers[0].total
    count = np.zeros(total)
    for each in answers:
        count += np.unpackbits(np.frombuffer(each.to_bytes(), np.uint8), count=total, bitorder="little")
    return count / len(answers)
