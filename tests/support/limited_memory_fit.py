"""A script that reads features from a cache and fits a head, with or without a limit on the memory of its process.

Arguments: the cache's folder, the head's name, the number of images, the number of features per image, and the limit
in bytes on what the process allocates after it has started (0: no limit). The script prints the number of correct
validation images, and where the features lay: "memory" or "file".
"""

import resource
import sys
from pathlib import Path

import psutil
import torch

from objectives.features.cache.feature_cache import FeatureCache, Pass
from objectives.features.mapped_tensors import large_empty
from objectives.heads.catalog import HEADS
from objectives.heads.head import Fit, LabelledFeatures, accuracy
from spaces.dimensions import Value
from tests.support.shards import keys

KEY = Pass("0" * 64, None, 0)
CLASSES = 4
OPTIONS: dict[str, Value] = {"width": 16, "learning_rate": 1e-3, "weight_decay": 0.0, "neighbours": 5}


def main(folder: Path, name: str, count: int, width: int, limit: int) -> None:
    torch.set_num_threads(1)
    images, labels = keys(count), torch.arange(count) % CLASSES
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    few = LabelledFeatures(torch.rand(300, 200, 1, 1), torch.arange(300) % CLASSES)
    list(HEADS[name].fit(few, few, CLASSES, OPTIONS, 0))  # the allocations that libraries make once
    if limit:
        allocated = psutil.Process().memory_info().data
        resource.setrlimit(resource.RLIMIT_DATA, (allocated + limit, resource.RLIM_INFINITY))
    features = large_empty((count, width, 1, 1), folder / "scratch")
    assert FeatureCache(folder).read_into(features, [KEY], images, 1)
    parts = [order[count // 5 :].sort().values, order[: count // 5].sort().values]
    train, validation = (LabelledFeatures(features, labels[rows], rows, folder / "scratch") for rows in parts)
    *_, fit = HEADS[name].fit(train, validation, CLASSES, OPTIONS, 0)
    assert isinstance(fit, Fit)
    location = "file" if "scratch-" in Path("/proc/self/maps").read_text() else "memory"
    print(accuracy(fit.classifier, validation).correct, location)  # noqa: T201 - to the test


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))
