"""What torch can compute on."""

import pytest
import torch

from objectives import devices
from objectives.devices import gpu_count


def test_the_gpus_are_those_that_torch_sees() -> None:
    assert gpu_count() == torch.cuda.device_count()


def test_threads_are_the_available_cores_until_a_worker_sets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_threads", None)
    assert devices.threads() == devices.available_cores()
    before = torch.get_num_threads()
    devices.use_threads(3)
    assert devices.threads() == torch.get_num_threads() == 3
    torch.set_num_threads(before)
