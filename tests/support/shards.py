"""Shards of made-up features, of images that are only keys or a few pixels."""

import hashlib
import multiprocessing
from pathlib import Path

import numpy as np
import torch

from objectives.datasets.dataset import Dataset
from objectives.datasets.images import ArrayImages
from objectives.features.cache.quota import CacheUsage
from objectives.features.cache.shard_folder import ShardFolder
from objectives.features.cache.shards import FLOAT32, Column, image_keys

NUMBER = Column(FLOAT32, (1,))
CONTEXT = multiprocessing.get_context("fork")
"""Starts processes that share the memory of this one."""


def keys(count: int, first: int = 0) -> np.ndarray:
    """Return the keys of `count` made-up images."""
    return image_keys([hashlib.sha256(str(i).encode()).hexdigest() for i in range(first, first + count)])


def all_of(free: np.ndarray) -> np.ndarray:
    """Claim every image that is free."""
    return np.ones(len(free), bool)


def numbers(images: np.ndarray) -> torch.Tensor:
    """Return a value for each image, which follows from its key."""
    return torch.tensor([[int.from_bytes(image[:3], "little")] for image in images.tolist()], dtype=torch.float32)


def dataset_of(name: str, first: int, count: int) -> Dataset:
    pixels = np.arange(first, first + count, dtype=np.uint8).repeat(4).reshape(-1, 2, 2)
    return Dataset(name, ("a", "b"), ArrayImages(pixels), np.arange(count) % 2, np.zeros(count, bool))


def keys_of(dataset: Dataset) -> np.ndarray:
    return image_keys([dataset.images.digest(i) for i in range(len(dataset))])


def make(usage: CacheUsage, dataset: Dataset, place: str = "features/source/t0001-d0", seconds: float = 1.0) -> Path:
    """Write the features of a dataset's images into the cache, as if they had taken so many seconds."""
    folder = ShardFolder(usage.folder / place)
    with folder.claim(keys_of(dataset), all_of) as claim:
        assert claim is not None
        path = folder.name_of(claim.images, ["a"])
        with usage.begin(claim, {"a": NUMBER}) as writer:
            writer.append({"a": numbers(claim.images)})
            writer.commit(path, seconds)
    return path


ONE, OTHER, THIRD = dataset_of("one", 0, 50), dataset_of("other", 60, 50), dataset_of("third", 120, 50)
