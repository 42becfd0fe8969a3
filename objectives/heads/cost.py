"""What a classifier costs at inference, counted while it classifies an image."""

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from objectives.heads.head import Classifier


def head_gmacs(classifier: Classifier, image: torch.Tensor) -> float:
    """1e9 multiply-accumulates of products and convolutions for one image's features, float32 (1, c, p, p).

    What is done number by number, such as standardising, does not count: beside these it is nothing.
    """
    counter, fast = FlopCounterMode(display=False), torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # a transformer's layers as one kernel cannot be counted
    try:
        with counter, sdpa_kernel(SDPBackend.MATH):  # nor can attention as one, on a CPU
            classifier.logits(image)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return counter.get_total_flops() / 2e9
