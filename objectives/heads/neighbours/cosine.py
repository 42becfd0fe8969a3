"""Directions of standardised features, by which images are compared whatever their contrast."""

import torch

from objectives.heads.head import LabelledFeatures


def directions(standardised: torch.Tensor) -> torch.Tensor:
    """Unit vectors (n, d), in place of standardised features; zero where an image is the mean up to rounding."""
    norms = standardised.norm(dim=1, keepdim=True)
    # A typical norm is √d. What rounding leaves of zeros must not become a direction.
    nowhere = norms < 1e-5 * standardised.shape[1] ** 0.5
    return standardised.div_(norms.masked_fill_(nowhere, 1)).masked_fill_(nowhere, 0)


def frequencies(train: LabelledFeatures, classes: int) -> torch.Tensor:
    """Each class's share of what the images weigh, float32 (classes,); of an absent class a tenth of an image's."""
    counts = torch.bincount(train.labels, minlength=classes).float()
    if train.balanced:
        counts *= train.class_weights(classes)
    counts.clamp_(min=0.1)
    return counts / counts.sum()
