"""Screening: scores for every block and pooling of a forward pass, in closed form, from a few images without a split.

For each image, a ridge classifier is fitted to all other images, at the price of one decomposition for all of them
(`heads.linear_models.ridge`). Settings are compared by the squared error of these classifiers on the images that they
have not seen. The error is less noisy than the number of correct images and ranks settings better (docs/benchmarks.md,
Selection).
"""

import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
import torch
from torch.nn.functional import one_hot

from objectives.backbones.backbone import Backbone
from objectives.devices import single_threads, threads
from objectives.features.extraction import Clock, Extractor, fill_and_read
from objectives.heads.head import LabelledFeatures
from objectives.heads.linear_models.ridge import leave_one_out
from objectives.probing.spec import ProbeSpec
from objectives.results import Extracted, ScreenedSetting
from spaces import Setting


@dataclass(frozen=True)
class LeaveOneOutScore:
    """The leave-one-out results of ridge classifiers on a set of features.

    correct: whether each image is classified correctly by the classifier of the other images, bool (n,).
    errors: each image's squared error over all classes, float (n,): 0 at best, 1 without any knowledge of the image.
    l2: the strength with the least mean error, of those that the ridge head tries.
    effective_rank: over how many directions the variance of the features is spread; it needs no labels.
    """

    correct: torch.Tensor
    errors: torch.Tensor
    l2: float
    effective_rank: float


def screen(features: torch.Tensor, labels: torch.Tensor, classes: int) -> LeaveOneOutScore:
    """Score features by leave-one-out ridge classifiers, at the best strength.

    features: float32 (n, d) or (n, c, p, p). labels: int64 (n,), each in [0, classes), on the device that computes.
    Raises BackboneError for features that are not finite, DatasetError for labels of one class only, and ValueError for
    tensors of the wrong shape.
    """
    maps = features if features.ndim == 4 else features[:, :, None, None]
    targets = one_hot(labels, classes)
    scores = (
        LeaveOneOutScore(
            fit.scores.argmax(dim=1) == labels,
            (fit.scores - targets).square().sum(dim=1),
            fit.l2,
            fit.effective_rank,
        )
        for fit in leave_one_out(LabelledFeatures(maps, labels), classes)
    )
    return min(scores, key=lambda score: float(score.errors.mean()))


@final
@dataclass(frozen=True)
class Screener:
    """Screens settings of a dataset on its images outside the test split.

    Images are always the first of one stratified order, so that a larger set of images contains every smaller one.
    """

    spec: ProbeSpec
    backbone: Backbone

    @cached_property
    def order(self) -> np.ndarray:
        """The images, as `ProbeSpec.screened_images` returns them."""
        return self.spec.screened_images()

    @property
    def training_images(self) -> int:
        """The number of images outside the test split."""
        return int(np.count_nonzero(~self.spec.dataset.is_test))

    @property
    def labels(self) -> list[int]:
        """The images' labels, in the order of `order`."""
        labels: list[int] = self.spec.dataset.labels[self.order].tolist()
        return labels

    def screen(self, settings: Sequence[Setting], images: int) -> Iterator[Extracted | ScreenedSetting]:
        """Score settings on the first `images` images; yields one ScreenedSetting for each, in order.

        All `settings` must read the same timesteps and draws. Missing forward passes are made and cached, and their
        progress is yielded. Raises CacheError if features cannot be cached or read back.

        On a CPU, each thread of this process scores a setting of its own: two threads in one decomposition of some
        hundred images are hardly faster than one.
        """
        indices = self.order[:images]
        labels = torch.from_numpy(self.spec.dataset.labels[indices]).to(self.backbone.device)

        def scored(setting: Setting, features: torch.Tensor) -> ScreenedSetting:
            start = time.perf_counter()
            score = screen(features.to(labels.device), labels, len(self.spec.dataset.classes))
            correct, errors = tuple(score.correct.tolist()), tuple(score.errors.tolist())
            seconds = time.perf_counter() - start
            return ScreenedSetting(setting, correct, errors, score.l2, seconds, score.effective_rank)

        at_once = threads() if self.backbone.device.type == "cpu" else 1
        with single_threads(at_once) as pool:
            running: deque[Future[ScreenedSetting]] = deque()
            for setting in settings:
                if len(running) == at_once:
                    yield running.popleft().result()
                features = yield from self._features(setting, indices)
                running.append(pool.submit(scored, setting, features))
            yield from (score.result() for score in running)

    def _features(self, setting: Setting, indices: np.ndarray) -> Generator[Extracted, None, torch.Tensor]:
        return fill_and_read(
            self.spec.cache,
            lambda: self._extractor.fill(indices, list(setting.passes), setting.draws, Clock()),
            lambda: self._extractor.read(indices, setting),
        )

    @cached_property
    def _extractor(self) -> Extractor:
        spec = self.spec
        return Extractor(self.backbone, spec.dataset, spec.usage(), spec.grids, spec.seed)
