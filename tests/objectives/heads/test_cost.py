"""The cost of a head for an image: counted while it classifies one, and computed by hand."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
import torch

from objectives.heads.catalog import HEADS, head_named
from objectives.heads.cost import head_gmacs
from objectives.heads.head import Fit, FittedHead, LabelledFeatures
from spaces.dimensions import Value

# Features of 7 images of 3 classes: at two timesteps 4 + 2 and 6 channels, of 3 x 3 cells.
IMAGES, CLASSES, CELLS = 7, 3, 9
GROUPS = ((4, 2), (6,))
CHANNELS = 12
D = CHANNELS * CELLS
TRAINED: Mapping[str, Value] = {"learning_rate": 1e-3, "weight_decay": 0.1}


@dataclass(frozen=True)
class Case:
    """multiply_accumulates: by hand, for an image."""

    head: str
    options: Mapping[str, Value]
    multiply_accumulates: int


def transformer(width: int, depth: int) -> int:
    """Each timestep's cells pass the same layers: 18 tokens of two blocks, 9 of one."""
    tokens = (2 * CELLS, CELLS)
    attended = sum(2 * n * n * width for n in tokens)
    layers = sum(n * (3 + 1 + 2 + 2) * width * width for n in tokens)  # to queries, keys, values; from them; twice wide
    return CHANNELS * CELLS * width + depth * (layers + attended) + len(GROUPS) * width * CLASSES


CASES = [
    Case("linear", {}, D * CLASSES),
    Case("linear-unit", {}, D * CLASSES),
    Case("ridge", {}, D * CLASSES),
    Case("prototype", {}, D * CLASSES),
    Case("knn", {"neighbours": 5}, D * IMAGES),
    Case("mlp", {"width": 128, **TRAINED}, D * 128 + 128 * CLASSES),
    Case("cnn", {"width": 8, "depth": 1, **TRAINED}, CHANNELS * CELLS * 8 + 9 * 8 * 8 * CELLS + 8 * CLASSES),
    Case("cnn", {"width": 8, "depth": 2, **TRAINED}, CHANNELS * CELLS * 8 + 2 * 9 * 8 * 8 * CELLS + 8 * CLASSES),
    Case("attention", {"width": 16, "depth": 1, **TRAINED}, transformer(16, 1)),
    Case("attention", {"width": 16, "depth": 2, **TRAINED}, transformer(16, 2)),
]


def fitted(head: str, options: Mapping[str, Value]) -> tuple[FittedHead, torch.Tensor]:
    """Count with an image that the head was not trained on."""
    features = torch.randn(IMAGES + 4, CHANNELS, 3, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(IMAGES + 4) % CLASSES
    train = LabelledFeatures(features[:IMAGES], labels[:IMAGES], groups=GROUPS)
    *_, fit = head_named(head).fit(
        train, LabelledFeatures(features[IMAGES:], labels[IMAGES:], groups=GROUPS), CLASSES, options, 0
    )
    assert isinstance(fit, Fit)
    return fit.classifier, features[-1:]


def test_every_head_has_a_case() -> None:
    assert {case.head for case in CASES} == HEADS.keys()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.head} {dict(case.options)}")
def test_the_counted_cost_equals_a_count_by_hand(case: Case) -> None:
    classifier, image = fitted(case.head, case.options)
    assert head_gmacs(classifier, image) == case.multiply_accumulates / 1e9


def test_counting_the_cost_changes_neither_the_classifier_nor_torch() -> None:
    classifier, image = fitted("attention", {"width": 16, "depth": 1, **TRAINED})
    before = classifier.logits(image)
    head_gmacs(classifier, image)
    assert torch.equal(classifier.logits(image), before)
    assert torch.backends.mha.get_fastpath_enabled()
