"""The specification of a probe: plain data, which loads no network library."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np

from objectives.datasets.dataset import Dataset
from objectives.datasets.flips import Mirrored
from objectives.datasets.splits import Split, few_shot, folds, split, stratified_order
from objectives.datasets.validation import MORE
from objectives.features.cache.quota import CacheUsage
from objectives.results import ACCURACY

MAX_SCREENED_IMAGES = 4000
"""Upper limit of the number of screened images.

The time of a decomposition grows with the cube of it, and 4,000 images suffice to distinguish accuracies that differ by
two points.
"""


def validated_images(splits: Sequence[Split]) -> np.ndarray:
    """Return the indices of the validation images of all splits, int64 (n,), in the order of the predictions."""
    return np.concatenate([parts.validation for parts in splits])


@final
@dataclass(frozen=True)
class ProbeSpec:
    """Everything that a worker needs to build a probe, except the loaded network.

    backbone: a name, folder or hub id for `load_backbone`. precision: one of `PRECISIONS`.
    image_side: side of the images in pixels; None for that of training. prompt: the text for a network that reads one.
    taps_inside: activations inside each layer that are blocks too.
    grids: block → grid; everything that a forward pass should keep, from the space.
    cache: the cache folder. cache_size: bytes that the cache may take; None for all that the disk has.
    seed: random seed for the noise, the splits and the heads.
    validation_fraction: share of the training images that validate, if there are no folds.
    shots: training images of each class on which heads are fitted; None for all.
    flips: fit heads on the mirror images of the training images too.
    balanced: give classes equal weight in fitting heads, whatever their numbers of images.
    folds: number of splits for cross-validation, in which every image outside the test split validates once; None for
    a single split. metric: the metric that the search maximises, one of `SELECTION_METRICS`.
    halving: score a setting on parts of the images first, by successive halving.
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
    image_side: int | None = None
    prompt: str | None = None
    taps_inside: tuple[str, ...] = ()
    halving: bool = False

    @property
    def views(self) -> tuple[Dataset, ...]:
        """The datasets on whose training images heads are fitted: the dataset and, with flips, its mirror images."""
        if not self.flips:
            return (self.dataset,)
        mirrored = replace(self.dataset, name=f"{self.dataset.name}, mirrored", images=Mirrored(self.dataset.images))
        return self.dataset, mirrored

    def splits(self, seed: int) -> tuple[Split, ...]:
        """Return the splits; a head is fitted on each. Raises as `split`, `folds` and `few_shot` do."""
        if self.folds is None:
            whole: tuple[Split, ...] = (split(self.dataset, seed, self.validation_fraction),)
        else:
            whole = folds(self.dataset, self.folds, seed)
        if self.shots is None:
            return whole
        return tuple(few_shot(self.dataset, parts, self.shots, seed) for parts in whole)

    @property
    def fits_folds_together(self) -> bool:
        """Whether the heads of `FOLDS_TOGETHER` fit all folds together. The bases of all folds take memory."""
        images = np.count_nonzero(~self.dataset.is_test)
        return self.folds is not None and self.shots is None and bool(images <= MORE)

    def counts(self, splits: Sequence[Split]) -> dict[str, int]:
        """Return the numbers of "train", "validation" and "test" images.

        With folds, all images outside the test split both train and validate. With folds and shots, "train" is the
        number of training images of one fold.
        """
        validation = sum(len(parts.validation) for parts in splits)
        train = validation if self.folds and self.shots is None else len(splits[0].train)
        return {"train": train, "validation": validation, "test": len(splits[0].test)}

    def screened_images(self) -> np.ndarray:
        """Return the indices of the images that a screening may use: at most `MAX_SCREENED_IMAGES`, no test images.

        Their order depends on the seed. Each beginning of it holds the classes in proportion.
        """
        images = np.flatnonzero(~self.dataset.is_test)
        order = images[stratified_order(self.dataset.labels[images], self.seed)]
        return np.asarray(order[:MAX_SCREENED_IMAGES])

    def usage(self) -> CacheUsage:
        return CacheUsage(self.cache, self.cache_size)
