"""Cosine similarity of standardised features, which does not depend on an image's contrast."""

import torch

from objectives.heads.head import LabelledFeatures


def unit_vectors(standardised: torch.Tensor) -> torch.Tensor:
    """Scale rows of standardised features (n, d) to length 1, in place; a row of zeros (up to rounding) becomes 0."""
    norms = standardised.norm(dim=1, keepdim=True)
    # A typical norm is √d. Rounding error around zero must not become a direction.
    is_zero = norms < 1e-5 * standardised.shape[1] ** 0.5
    return standardised.div_(norms.masked_fill_(is_zero, 1)).masked_fill_(is_zero, 0)


def class_frequencies(train: LabelledFeatures, classes: int) -> torch.Tensor:
    """Return each class's share of the images' total weight, float32 (classes,); an absent class counts 0.1 images."""
    counts = torch.bincount(train.labels, minlength=classes).float()
    if train.balanced:
        counts *= train.class_weights(classes)
    counts.clamp_(min=0.1)
    return counts / counts.sum()
