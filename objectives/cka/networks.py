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
from objectives.features.extraction import Clock, Extractor
from objectives.probe import DAMAGED_READS
from objectives.probe_spec import ProbeSpec
from objectives.results import DrawSimilarity, Extracted, Representation, Similarity
from spaces import BackboneError, CacheError


@final
@dataclass(frozen=True)
class ComparedNetwork:
    """A network that is compared with others.

    pool: side of the grid to which maps are pooled; for a block whose map it does not divide, the largest size below
    that does.
    """

    spec: ProbeSpec
    backbone: Backbone
    pool: int

    def fill(self, images: np.ndarray, representations: Sequence[Representation]) -> Iterator[Extracted]:
        """Make the forward passes that are missing. images: indices into the dataset."""
        draws: defaultdict[int | None, int] = defaultdict(int)
        for each in representations:
            draws[each.timestep] = max(draws[each.timestep], each.draw + 1)
        alike: defaultdict[int, list[int | None]] = defaultdict(list)
        for timestep, count in draws.items():
            alike[count].append(timestep)
        total = len(images) * sum(draws.values())
        before = 0
        for count, timesteps in alike.items():
            for report in self._view.fill(images, timesteps, count, Clock()):
                yield Extracted(before + report.done, total, report.made)
            before += len(images) * count * len(timesteps)

    def features(self, images: np.ndarray, representation: Representation) -> torch.Tensor:
        """float32 (n, channels, pool, pool). Raises CacheError where they cannot be read back, and BackboneError where
        they are not finite."""
        for _ in range(DAMAGED_READS):
            for _ in self.fill(images, [representation]):
                pass
            found = self._view.read_draw(
                images, representation.block, representation.timestep, representation.draw, self._pool(representation)
            )
            if found is not None and not bool(torch.stack(torch.aminmax(found)).isfinite().all()):
                raise BackboneError(
                    f"features must be finite, but some of block {representation.block} of {representation.backbone} "
                    "are not: leave that block out, or run the network in float32"
                )
            if found is not None:
                return found
        raise CacheError(f"cached features in {self.spec.cache} were damaged {DAMAGED_READS} times; check the disk")

    def _pool(self, representation: Representation) -> int:
        return max(p for p in self.backbone.architecture.block(representation.block).pools if p <= self.pool)

    @cached_property
    def _view(self) -> Extractor:
        spec = self.spec
        return Extractor(self.backbone, spec.dataset, spec.usage(), spec.grids, spec.seed)


def chosen_images(spec: ProbeSpec, count: int) -> np.ndarray:
    """At most so many images outside the test split, each class in proportion, as indices into the dataset; in an order
    of chance, so that minibatches are too."""
    images = np.flatnonzero(~spec.dataset.is_test)
    some = images[stratified_order(spec.dataset.labels[images], spec.seed)][:count]
    return np.asarray(np.random.default_rng(spec.seed).permutation(some))


def similarity(
    networks: Mapping[str, ComparedNetwork],
    images: np.ndarray,
    rows: Sequence[Representation],
    columns: Sequence[Representation],
    batch: int = BATCH,
) -> Similarity:
    """networks: by the names that representations say. images: indices into the dataset, in an order of chance.

    Raises ValueError as `cka`.
    """
    both = list(dict.fromkeys((*rows, *columns)))
    found = _cka(networks, images, both, batch)
    at = np.ix_([both.index(each) for each in rows], [both.index(each) for each in columns])
    values, errors = _told(found.values[at]), _told(found.errors[at])
    return Similarity(tuple(rows), tuple(columns), values, errors, len(images), len(found.hsic))


def agreement(
    name: str,
    network: ComparedNetwork,
    images: np.ndarray,
    blocks: Sequence[int],
    timesteps: Sequence[int],
    batch: int = BATCH,
) -> DrawSimilarity:
    """Of the first two noise draws of a network of this name. images: as of `similarity`."""
    values, errors = [], []
    for timestep in timesteps:
        pairs = [Representation(name, block, timestep, draw) for draw in (0, 1) for block in blocks]
        found = _cka({name: network}, images, pairs, batch)
        values.append(np.diagonal(found.values, len(blocks)))
        errors.append(np.diagonal(found.errors, len(blocks)))
    told = _told(np.array(values).T), _told(np.array(errors).T)
    batches = len(parts_of(len(images), batch))
    return DrawSimilarity(name, tuple(blocks), tuple(timesteps), *told, len(images), batches)


def _cka(
    networks: Mapping[str, ComparedNetwork], images: np.ndarray, representations: Sequence[Representation], batch: int
) -> Cka:
    return cka((networks[each.backbone].features(images, each) for each in representations), batch)


def _told(numbers: np.ndarray) -> tuple[tuple[float | None, ...], ...]:
    return tuple(tuple(None if math.isnan(each) else float(each) for each in row) for row in numbers.tolist())
