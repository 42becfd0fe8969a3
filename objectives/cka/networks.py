"""Compares networks by their features of the same images."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
import torch

from objectives.backbones.backbone import Backbone
from objectives.cka.estimator import BATCH, Cka, cka, parts_of
from objectives.datasets.splits import stratified_order
from objectives.features.extraction import Clock, Extractor, fill_and_read, result_of
from objectives.probing.spec import ProbeSpec
from objectives.results import DrawSimilarity, Extracted, Representation, Similarity
from spaces import BackboneError


@final
@dataclass(frozen=True)
class ComparedNetwork:
    """A network that is compared with others.

    pool: side of the grid to which maps are pooled. If it does not divide the side of a block's map, the block is
    pooled to the largest smaller side that does.
    """

    spec: ProbeSpec
    backbone: Backbone
    pool: int

    def fill(self, images: np.ndarray, representations: Sequence[Representation]) -> Iterator[Extracted]:
        """Make the forward passes that are missing. images: indices into the dataset."""
        draws: defaultdict[int | None, int] = defaultdict(int)
        for representation in representations:
            timestep = representation.timestep
            draws[timestep] = max(draws[timestep], representation.draw + 1)
        by_draws: defaultdict[int, list[int | None]] = defaultdict(list)
        for timestep, count in draws.items():
            by_draws[count].append(timestep)
        total = len(images) * sum(draws.values())
        before = 0
        for count, timesteps in by_draws.items():
            for report in self._view.fill(images, timesteps, count, Clock()):
                yield Extracted(before + report.done, total, report.made)
            before += len(images) * count * len(timesteps)

    def features(self, images: np.ndarray, representation: Representation) -> torch.Tensor:
        """The features of a representation, float32 (n, channels, pool, pool).

        Raises CacheError if they cannot be read back. Raises BackboneError if they are not finite.
        """
        block, timestep, draw = representation.block, representation.timestep, representation.draw
        reading = fill_and_read(
            self.spec.cache,
            lambda: self.fill(images, [representation]),
            lambda: self._view.read_draw(images, block, timestep, draw, self._pool(representation)),
        )
        features = result_of(reading)
        if not bool(torch.stack(torch.aminmax(features)).isfinite().all()):
            raise BackboneError(
                f"features must be finite, but some of block {block} of {representation.backbone} "
                "are not: leave that block out, or run the network in float32"
            )
        return features

    def _pool(self, representation: Representation) -> int:
        return max(p for p in self.backbone.architecture.block(representation.block).pools if p <= self.pool)

    @cached_property
    def _view(self) -> Extractor:
        spec = self.spec
        return Extractor(self.backbone, spec.dataset, spec.usage(), spec.grids, spec.seed)


def chosen_images(spec: ProbeSpec, count: int) -> np.ndarray:
    """Choose at most `count` images outside the test split, each class in proportion.

    Returns indices into the dataset in random order, so that minibatches are random.
    """
    images = np.flatnonzero(~spec.dataset.is_test)
    chosen = images[stratified_order(spec.dataset.labels[images], spec.seed)][:count]
    return np.asarray(np.random.default_rng(spec.seed).permutation(chosen))


def similarity(
    networks: Mapping[str, ComparedNetwork],
    images: np.ndarray,
    rows: Sequence[Representation],
    columns: Sequence[Representation],
    batch: int = BATCH,
) -> Similarity:
    """Compare each row with each column.

    networks: name in the representations → network. images: indices into the dataset, in random order.

    Raises ValueError as `cka` does.
    """
    representations = list(dict.fromkeys((*rows, *columns)))
    estimate = _cka(networks, images, representations, batch)
    pairs = np.ix_([representations.index(row) for row in rows], [representations.index(column) for column in columns])
    values, errors = _without_nan(estimate.values[pairs]), _without_nan(estimate.errors[pairs])
    return Similarity(tuple(rows), tuple(columns), values, errors, len(images), len(estimate.hsic))


def draw_similarity(
    name: str,
    network: ComparedNetwork,
    images: np.ndarray,
    blocks: Sequence[int],
    timesteps: Sequence[int],
    batch: int = BATCH,
) -> DrawSimilarity:
    """Compare the first two noise draws of a network with each other. images: as in `similarity`."""
    values, errors = [], []
    for timestep in timesteps:
        pairs = [Representation(name, block, timestep, draw) for draw in (0, 1) for block in blocks]
        estimate = _cka({name: network}, images, pairs, batch)
        values.append(np.diagonal(estimate.values, len(blocks)))
        errors.append(np.diagonal(estimate.errors, len(blocks)))
    tables = _without_nan(np.array(values).T), _without_nan(np.array(errors).T)
    batches = len(parts_of(len(images), batch))
    return DrawSimilarity(name, tuple(blocks), tuple(timesteps), *tables, len(images), batches)


def _cka(
    networks: Mapping[str, ComparedNetwork], images: np.ndarray, representations: Sequence[Representation], batch: int
) -> Cka:
    features = (networks[item.backbone].features(images, item) for item in representations)
    return cka(features, batch)


def _without_nan(numbers: np.ndarray) -> tuple[tuple[float | None, ...], ...]:
    """Return the rows of a table, with None in place of NaN."""
    return tuple(tuple(None if math.isnan(number) else number for number in row) for row in numbers.tolist())
