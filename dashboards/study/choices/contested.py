"""A table of the images on which good and bad settings differ."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from objectives.results import CorrectMask, StudyResults

FEWEST = 8
"""The fewest complete trials whose quarter is more than one trial."""


@dataclass(frozen=True, slots=True)
class ContestedImage:
    """A validation image by its bit in the correct masks. good, bad: the share of each that is correct, in [0, 1]."""

    position: int
    good: float
    bad: float


@dataclass(frozen=True, slots=True)
class Contested:
    """The validation images on which the best and the worst quarter of the trials differ most.

    gained: images that good settings classify correctly and bad ones do not, the largest difference first. lost: the
    reverse. settings: how many trials a quarter has. always: how many images every good setting classifies correctly.
    never: how many images no complete trial classifies correctly.
    """

    gained: tuple[ContestedImage, ...]
    lost: tuple[ContestedImage, ...]
    settings: int
    always: int
    never: int
    images: int


def contested(study: StudyResults, top: int = 8) -> Contested | None:
    """None if too few trials kept their correct masks."""
    masks = [trial.correct_mask for trial in study.complete if trial.correct_mask is not None]
    if len(masks) < FEWEST:
        return None
    quarter = len(masks) // 4
    good, bad = _correct_share(masks[:quarter]), _correct_share(masks[-quarter:])
    gap = good - bad
    # Neighbours in a dataset often share a class, so images with equal gaps are taken in random order.
    order = np.random.default_rng(0).permutation(len(gap))
    order = order[np.argsort(-gap[order], kind="stable")]
    ever = 0
    for mask in masks:
        ever |= mask.bits

    def images_at(positions: np.ndarray) -> tuple[ContestedImage, ...]:
        return tuple(ContestedImage(int(p), float(good[p]), float(bad[p])) for p in positions[:top])

    return Contested(
        gained=images_at(order[gap[order] > 0]),
        lost=images_at(order[::-1][gap[order[::-1]] < 0]),
        settings=quarter,
        always=int((good == 1).sum()),
        never=len(gap) - ever.bit_count(),
        images=len(gap),
    )


def _correct_share(masks: Sequence[CorrectMask]) -> np.ndarray:
    """The share of the masks in which each image is correct, float64 (images,)."""
    total = masks[0].total
    count = np.zeros(total)
    for mask in masks:
        count += np.unpackbits(np.frombuffer(mask.to_bytes(), np.uint8), count=total, bitorder="little")
    return count / len(masks)
