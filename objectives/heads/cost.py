"""The cost of a classifier at inference."""

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from objectives.heads.head import FittedHead
from objectives.heads.linear_models.linear import LinearClassifier


def head_gmacs(classifier: FittedHead, image: torch.Tensor) -> float:
    """Count the multiply-accumulates, in units of 1e9, while the classifier classifies one image.

    image: its features, float32 (1, c, p, p). Only matrix products and convolutions count; the cost of elementwise
    operations, such as standardisation, is negligible beside them.
    """
    if isinstance(classifier, LinearClassifier):  # torch loads its compiler, in a second, before it counts
        return classifier.weight.numel() / 1e9
    counter, fast = FlopCounterMode(display=False), torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # the fused kernel of a transformer layer is not counted
    try:
        with counter, sdpa_kernel(SDPBackend.MATH):  # nor is fused attention on a CPU
            classifier.logits(image)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return counter.get_total_flops() / 2e9
