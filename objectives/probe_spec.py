"""What a probe is built from: plain data, which loads no network library."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np

from objectives.datasets.dataset import Dataset
from objectives.datasets.flips import Mirrored
from objectives.datasets.splits import Split, few_shot, folds, split
from objectives.features.quota import CacheUsage
from objectives.results import ACCURACY


def validated_images(splits: Sequence[Split]) -> np.ndarray:
    """Indices into the dataset, int64 (n,), in the order of the answers of whatever these splits validate."""
    return np.concatenate([parts.validation for parts in splits])


@final
@dataclass(frozen=True)
class ProbeSpec:
    """What a worker needs to build the probe for itself: everything but the loaded network.

    backbone: a name that `load_backbone` knows. grids: block → grid of everything that a pass should keep, from the
    space. cache: folder of the feature cache; cache_size: bytes that it may take, None for as many as the disk has.
    seed: of the noise, the validation split and the heads. shots: training images of each class that heads are fitted
    on; None for all. flips: fit heads on the training images and on their mirror images. balanced: every class weighs
    the same when heads are fitted, however many images it has. folds: so many splits in place of one by the validation
    fraction, so that every image outside the test split validates once; None for one. metric: name of what is chosen
    by; one of `SELECTION_METRICS`. ladder: score a setting on parts of the images before all, `LADDER`.
    """

    dataset: Dataset
    backbone: str
    precision: str
    cache: Path
    grids: Mapping[int, int]
    seed: int = 0
    validation_fraction: float = 0.2
    shots: int | None = None
    flips: bool = False
    balanced: bool = False
    folds: int | None = None
    metric: str = ACCURACY.name
    cache_size: int | None = None
    halving: bool = False

    @property
    def views(self) -> tuple[Dataset, ...]:
        """Whose training images heads are fitted on: the dataset and, with flips, its mirror images."""
        if not self.flips:
            return (self.dataset,)
        mirrored = replace(self.dataset, name=f"{self.dataset.name}, mirrored", images=Mirrored(self.dataset.images))
        return self.dataset, mirrored

    def splits(self, seed: int) -> tuple[Split, ...]:
        """A head is fitted on each. Raises UsageError and DatasetError as `split`, `folds` and `few_shot` do."""
        if self.folds is None:
            whole: tuple[Split, ...] = (split(self.dataset, seed, self.validation_fraction),)
        else:
            whole = folds(self.dataset, self.folds, seed)
        if self.shots is None:
            return whole
        return tuple(few_shot(self.dataset, parts, self.shots, seed) for parts in whole)

    def counts(self, splits: Sequence[Split]) -> dict[str, int]:
        """Images by "train", "validation", "test". In folds all but the test images both train and validate; with shots
        those are counted that train in each fold."""
        validation = sum(len(parts.validation) for parts in splits)
        train = validation if self.folds and self.shots is None else len(splits[0].train)
        return {"train": train, "validation": validation, "test": len(splits[0].test)}

    def usage(self) -> CacheUsage:
        return CacheUsage(self.cache, self.cache_size)
