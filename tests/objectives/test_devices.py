"""What torch can compute on."""

import torch

from objectives.devices import gpu_count


def test_the_gpus_are_those_that_torch_sees() -> None:
    assert gpu_count() == torch.cuda.device_count()
