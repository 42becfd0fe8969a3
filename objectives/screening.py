"""Screening: what every block and pooling of a pass is worth, in closed form, from a few images and without a split.

A ridge classifier is fitted to all images but one, for each of them in turn, at the price of one decomposition
(`linear_models.ridge`). Settings are compared by the squared error of what those classifiers make of the images that
they have not seen: it has less chance in it than the number that they get right, and ranks settings better for it
(docs/benchmarks.md, Selection).
"""

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
import torch
from torch.nn.functional import one_hot

from objectives.backbones.backbone import Backbone
from objectives.features.extraction import Clock, Extractor
from objectives.heads.head import LabelledFeatures
from objectives.heads.linear_models.ridge import leave_one_out
from objectives.probe import DAMAGED_READS, ProbeSpec
from objectives.results import Extracted
from objectives.results.screening import Screened
from spaces import CacheError, Setting

LARGEST = 4000
"""Images that are screened at most: a decomposition takes time with their cube, and their number is enough to tell
accuracies two points apart."""


@dataclass(frozen=True)
class Score:
    """What features are worth to ridge classifiers that have not seen the image.

    right: bool (n,). errors: squared, over all classes, float (n,), 0 at best and 1 where nothing is known of an image.
    l2: the strength at which the mean error is least, of those that `heads.ridge` tries.
    """

    right: torch.Tensor
    errors: torch.Tensor
    l2: float


def screen(features: torch.Tensor, labels: torch.Tensor, classes: int) -> Score:
    """Of any feature matrix, float32 (n, d) or (n, c, p, p). labels: int64 (n,), each in [0, classes).

    Raises as `Head.fit` does for features that are not finite, labels of one class and tensors of the wrong shape.
    """
    maps = features if features.ndim == 4 else features[:, :, None, None]
    own = one_hot(labels, classes)
    scores = (
        Score(left.scores.argmax(dim=1) == labels, (left.scores - own).square().sum(dim=1), left.l2)
        for left in leave_one_out(LabelledFeatures(maps, labels), classes)
    )
    return min(scores, key=lambda score: float(score.errors.mean()))


@final
@dataclass(frozen=True)
class Screener:
    """Screens settings of a dataset on its images outside the test split, always the first of one stratified order, so
    that more images are the same ones and others."""

    spec: ProbeSpec
    backbone: Backbone

    @cached_property
    def order(self) -> np.ndarray:
        """The images, as indices into the dataset, at most `LARGEST`: of the first n each class has its share."""
        images = np.flatnonzero(~self.spec.dataset.is_test)
        order = images[stratified(self.spec.dataset.labels[images], self.spec.seed)]
        return np.asarray(order[:LARGEST])

    @property
    def labels(self) -> list[int]:
        """In the same order."""
        labels: list[int] = self.spec.dataset.labels[self.order].tolist()
        return labels

    def screen(self, settings: Sequence[Setting], images: int) -> Iterator[Extracted | Screened]:
        """One Screened for each of `settings`, which read the same timesteps and draws, on the first so many images.

        Passes that are missing are made and kept. Raises CacheError where features cannot be kept or read back.
        """
        indices = self.order[:images]
        labels = torch.from_numpy(self.spec.dataset.labels[indices]).to(self.backbone.device)
        for setting in settings:
            features = yield from self._features(setting, indices)
            since = time.perf_counter()
            score = screen(features.to(labels.device), labels, len(self.spec.dataset.classes))
            right, errors = tuple(score.right.tolist()), tuple(score.errors.tolist())
            yield Screened(setting, right, errors, score.l2, time.perf_counter() - since)

    def _features(self, setting: Setting, indices: np.ndarray) -> Generator[Extracted, None, torch.Tensor]:
        for _ in range(DAMAGED_READS):
            yield from self._view.fill(indices, list(setting.passes), setting.draws, Clock())
            features = self._view.read(indices, setting)
            if features is not None:
                return features
        raise CacheError(f"cached features in {self.spec.cache} were damaged {DAMAGED_READS} times; check the disk")

    @cached_property
    def _view(self) -> Extractor:
        spec = self.spec
        return Extractor(self.backbone, spec.dataset, spec.usage(), spec.grids, spec.seed)


def stratified(labels: np.ndarray, seed: int) -> np.ndarray:
    """An order of the images, int64 (n,), of which every beginning has each class in proportion, within one image."""
    generator = np.random.default_rng(seed)
    places = np.empty(len(labels))
    for label in np.unique(labels):
        mine = generator.permutation(np.flatnonzero(labels == label))
        places[mine] = (np.arange(len(mine)) + generator.random()) / len(mine)
    return np.argsort(places, kind="stable")
