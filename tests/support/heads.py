"""Features with labels, and fits of every head to them."""

from collections.abc import Mapping, Sequence

import torch
from sklearn.datasets import load_digits
from torch.nn.functional import pixel_unshuffle

from objectives.heads.catalog import head_named
from objectives.heads.head import Fit, LabelledFeatures
from objectives.results import Epoch
from spaces.dimensions import Value

OPTIONS: dict[str, Mapping[str, Value]] = {
    "linear": {},
    "linear-unit": {},
    "mlp": {"width": 128, "learning_rate": 3e-3, "weight_decay": 1e-3},
    "ridge": {},
    "knn": {"neighbours": 5},
    "prototype": {},
    "cnn": {"width": 32, "depth": 2, "learning_rate": 1e-2, "weight_decay": 1e-3},
    "attention": {"width": 32, "depth": 1, "learning_rate": 1e-2, "weight_decay": 1e-3},
}
"""Options of each head under which it learns the digits within seconds."""


def blobs(classes: int, count: int, spread: float, seed: int) -> LabelledFeatures:
    """Draw `count` images (3, 2, 2) around one centre per class, in the order 0, 1, …, 0, 1, …

    `spread` is the standard deviation around the centre. The centres are the same for every seed.
    """
    centres = torch.randn(classes, 3, 2, 2, generator=torch.Generator().manual_seed(7))
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    return LabelledFeatures(centres[labels] + spread * torch.randn(count, 3, 2, 2, generator=generator), labels)


def blobs_of_sizes(sizes: Sequence[int], spread: float, seed: int) -> LabelledFeatures:
    """Make `blobs` in which class i has sizes[i] images."""
    whole = blobs(len(sizes), len(sizes) * max(sizes), spread, seed)
    rows = torch.cat([(whole.labels == label).nonzero()[:size, 0] for label, size in enumerate(sizes)])
    return LabelledFeatures(whole.features[rows], whole.labels[rows])


def digits() -> tuple[LabelledFeatures, LabelledFeatures]:
    """Return 1,200 real digits for training and 597 for validation, as (n, 4, 4, 4): a cell holds 2x2 pixels."""
    pixels, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    images = pixel_unshuffle(torch.from_numpy(pixels).float().view(-1, 1, 8, 8), 2)[order]
    targets = torch.from_numpy(labels).long()[order]
    return LabelledFeatures(images[:1200], targets[:1200]), LabelledFeatures(images[1200:], targets[1200:])


def fit_head(
    name: str, train: LabelledFeatures, validation: LabelledFeatures, classes: int, seed: int = 0
) -> tuple[list[Epoch], Fit]:
    """Fit the head `name` with its OPTIONS and return its epochs (none for a head in closed form) and its fit."""
    *epochs, last = head_named(name).fit(train, validation, classes, OPTIONS[name], seed)
    assert isinstance(last, Fit)
    assert all(isinstance(epoch, Epoch) for epoch in epochs)
    return [epoch for epoch in epochs if isinstance(epoch, Epoch)], last
