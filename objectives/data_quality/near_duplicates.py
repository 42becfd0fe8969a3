"""Finds near-duplicates across splits: test images that are, but for small changes, a training image.

The features are the image itself: 8 × 8 pixels of each colour, less their mean. They find about as many planted copies
as blocks of the bundled network do (docs/datasets.md), and take no forward pass.
"""

import numpy as np

from objectives.datasets.dataset import Dataset
from objectives.datasets.images import square_pixels
from objectives.results import NearDuplicate

SIDE = 8
"""Side of the compared pictures in pixels."""

NEIGHBOUR, RATIO = 3, 0.25
"""A pair is a near-duplicate if its distance is below RATIO times that of the test image's NEIGHBOUR-th neighbour."""

SAME = 1e-3
"""A distance below which a pair is a near-duplicate whatever the neighbours are: copies may have several copies."""

PAIRS_PER_CHUNK = 2**24
"""Pairs of images that are compared at a time, to bound memory."""


def near_duplicates(dataset: Dataset) -> tuple[NearDuplicate, ...]:
    """Return the nearest training image of each test image that has a near-duplicate, the most similar pair first.

    The distance of two images is 1 − the cosine of their features, or of one and the mirror image of the other, if that
    is smaller. The rule compares it with the distance to other images (the ratio test of Lowe 2004, section 7.1): so it
    suits datasets whose images are all alike, such as digits, and others. Raises DatasetError for an image that can no
    longer be read.
    """
    train, test = np.flatnonzero(~dataset.is_test), np.flatnonzero(dataset.is_test)
    return tuple(
        NearDuplicate(
            int(train[row]),
            int(test[column]),
            similarity,
            mirrored,
            dataset.images.digest(int(train[row])) == dataset.images.digest(int(test[column])),
        )
        for row, column, similarity, mirrored in nearest_copies(
            square_pixels(dataset.images, train, SIDE), square_pixels(dataset.images, test, SIDE)
        )
    )


def nearest_copies(train: np.ndarray, test: np.ndarray) -> list[tuple[int, int, float, bool]]:
    """Return (train row, test row, similarity, mirrored) of the near-duplicates, the most similar first.

    train, test: uint8 (n, 3, side, side).
    """
    if not len(train):
        return []
    known, mirrored = _features(train), _features(train[..., ::-1])
    found = []
    step = max(PAIRS_PER_CHUNK // max(len(train), 1), 1)
    for start in range(0, len(test), step):
        images = _features(test[start : start + step])
        straight, turned = images @ known.T, images @ mirrored.T
        similarity = np.maximum(straight, turned)
        nearest = similarity.argmax(axis=1)
        neighbour = min(NEIGHBOUR, len(train)) - 1
        other = 1 + np.partition(-similarity, neighbour, axis=1)[:, neighbour]  # a distance
        rows = np.arange(len(images))
        best = similarity[rows, nearest]
        is_copy = (1 - best < SAME) | ((1 - best < RATIO * other) & (len(train) >= NEIGHBOUR))
        for row in np.flatnonzero(is_copy).tolist():
            image = int(nearest[row])
            found.append((image, start + row, float(best[row]), bool(turned[row, image] > straight[row, image])))
    return sorted(found, key=lambda pair: (-pair[2], pair[1]))


def _features(pixels: np.ndarray) -> np.ndarray:
    """Return unit vectors, float32 (n, 3 side²); zero for an image of one grey, which resembles none."""
    flat = pixels.reshape(len(pixels), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(lengths, 1.0) * (lengths > 1.0))
