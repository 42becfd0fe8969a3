import pytest
import torch

from objectives.features.transfers import transfers_of

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))]


@pytest.mark.parametrize("name", DEVICES)
def test_values_come_back_as_they_went(name: str) -> None:
    transfers = transfers_of(torch.device(name))
    values, received = torch.arange(12.0).reshape(3, 4), []

    def receive(result: torch.Tensor) -> None:
        received.append(result.cpu())

    sent = transfers.sent(values)
    for factor in (1, 2, 3):
        transfers.receiving(receive)((sent * factor).square())
    assert sent.device.type == name
    assert [result.tolist() for result in received] == [(values * factor).square().tolist() for factor in (1, 2, 3)]
