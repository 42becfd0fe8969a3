"""Fits the trivial classifiers that stand beside an answer. They read what is there, and make no forward pass.

They are fitted as a setting with the head `linear` is: on the splits of the study's seed, then on train + validation,
and tested on the test images.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch

from objectives.backbones.backbone import Backbone
from objectives.datasets.splits import Split
from objectives.features.cache.feature_cache import SCRATCH
from objectives.features.extraction import Clock, Extractor, result_of
from objectives.features.mapped_tensors import large_empty
from objectives.heads.head import predict
from objectives.probing.fitting import Fitting
from objectives.probing.spec import ProbeSpec
from objectives.results import Baseline
from spaces import Setting

PIXEL_SIDE = 32
"""The largest side of the grid to which images are averaged: 3 x 32² = 3,072 features, about as many as a block has."""


@final
@dataclass(frozen=True)
class BaselineFitter:
    """Fits baselines on the images of a study.

    views: extractors of the dataset, then of each further view. splits: of the study's seed.
    """

    spec: ProbeSpec
    backbone: Backbone
    views: Sequence[Extractor]
    splits: tuple[Split, ...]

    def fit(self, setting: Setting | None) -> Baseline | None:
        """Fit and test one baseline. Return None if a forward pass of the setting is missing.

        setting: of one tap, with the head `linear`, for the baseline "first block"; None for "pixels". Raises
        DatasetError where an image cannot be read, CacheError where the cache cannot be used.
        """
        clock, started = Clock(), time.perf_counter()
        is_test, seed = self.spec.dataset.is_test, self.spec.seed
        training, tested = np.flatnonzero(~is_test), np.flatnonzero(is_test)
        features = self._read(self.views, training, setting)
        test_features = self._read(self.views[:1], tested, setting)
        if features is None or test_features is None:
            return None
        fitting = Fitting(self.spec, self.backbone.device, "linear")
        validated = result_of(fitting.validate(features, training, self.splits, seed, clock))
        classifier, layout = fitting.refit(features, training, self.splits, seed, validated)
        test = predict(classifier, fitting.labelled(test_features, np.arange(len(tested)), tested))
        return Baseline(
            "pixels" if setting is None else "first block",
            setting,
            layout.side,
            features.shape[1:].numel(),
            seed,
            validated.predictions.accuracy,
            test.accuracy,
            time.perf_counter() - started,
            validated.predictions.scores(),
            test.scores(),
            test.correct_mask,
        )

    def _read(self, views: Sequence[Extractor], images: np.ndarray, setting: Setting | None) -> torch.Tensor | None:
        """Return the features, float32 (views x n, c, side, side), view after view; None if some are missing."""
        side = min(PIXEL_SIDE, self.backbone.architecture.image_side)
        parts: list[torch.Tensor] = []
        for view in views:
            for timestep in setting.passes if setting else ():
                view.fetch(timestep, setting.draws if setting else 1)
            part = view.pixels(images, side) if setting is None else view.read(images, setting)
            if part is None:
                return None
            parts.append(part)
        if len(parts) == 1:
            return parts[0]
        shape = (sum(map(len, parts)), *parts[0].shape[1:])
        return torch.cat(parts, out=large_empty(shape, self.spec.cache / SCRATCH))
