"""Features of one length: their contrast is nothing, and all else is as it was."""

import torch

from objectives.heads.catalog import HEADS
from objectives.heads.head import Fit, LabelledFeatures
from objectives.heads.unit_length import normalised
from tests.support.heads import blobs


def test_every_image_has_unit_length_except_an_image_of_zeros() -> None:
    features = torch.randn(5, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    features[2] = 0
    lengths = normalised(features).flatten(1).square().mean(dim=1)
    torch.testing.assert_close(lengths, torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0]))
    torch.testing.assert_close(
        normalised(features)[0] * features[0].norm(), features[0] * normalised(features)[0].norm()
    )


def test_the_scale_of_an_image_makes_no_difference() -> None:
    train, validation = blobs(3, 60, 1.0, seed=1), blobs(3, 30, 1.0, seed=2)
    contrast = torch.linspace(0.1, 10, 60)[:, None, None, None]
    fits = [
        list(HEADS["linear-unit"].fit(data, validation, 3, {}, 0))[-1]
        for data in (train, LabelledFeatures(train.features * contrast, train.labels))
    ]
    first, second = (fit.classifier.logits(3 * validation.features) for fit in fits if isinstance(fit, Fit))
    torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-3)


def test_fitting_does_not_change_the_features() -> None:
    train, validation = blobs(3, 60, 1.0, seed=1), blobs(3, 30, 1.0, seed=2)
    before = train.features.clone()
    list(HEADS["linear-unit"].fit(train, validation, 3, {}, 0))
    assert torch.equal(train.features, before)
