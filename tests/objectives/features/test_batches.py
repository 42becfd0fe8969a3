import logging

import pytest
import torch

from objectives.features.batches import LARGEST_BATCH, Batches
from spaces import Architecture, BackboneError, Block

CPU = torch.device("cpu")


def architecture_of_side(side: int) -> Architecture:
    blocks = tuple(Block(n, f"b{n}", "encoder", 64, side, 1.0, float(n)) for n in range(1, 11))
    return Architecture("made-up", side, blocks, (0.9, 0.5))


def test_larger_maps_mean_smaller_batches_and_at_least_one_image() -> None:
    sizes = [Batches.fitting(architecture_of_side(side), CPU).size for side in (8, 32, 128, 512, 2048)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == LARGEST_BATCH["cpu"]
    assert sizes[-1] == 1


@pytest.mark.parametrize(("count", "size"), [(1, 4), (4, 4), (10, 4), (9, 16)])
def test_results_come_in_order(count: int, size: int) -> None:
    values = torch.arange(count)
    parts = list(Batches(size).run(count, lambda rows: values[rows]))
    assert torch.equal(torch.cat(parts), values)
    assert {len(part) for part in parts[:-1]} <= {size}


def test_out_of_memory_halves_the_batch_for_good_and_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    batches, seen = Batches(16), []

    def work(rows: slice) -> torch.Tensor:
        if rows.stop - rows.start > 5:
            raise torch.OutOfMemoryError
        seen.append(rows.stop - rows.start)
        return torch.arange(rows.start, rows.stop)

    with caplog.at_level(logging.WARNING):
        assert torch.equal(torch.cat(list(batches.run(10, work))), torch.arange(10))
    assert seen == [4, 4, 2]
    assert batches.size == 4
    assert "going on with 4 images at a time" in caplog.text


def test_no_memory_for_one_image_is_said_in_words() -> None:
    def work(rows: slice) -> torch.Tensor:
        raise torch.OutOfMemoryError

    with pytest.raises(BackboneError, match="no memory for a pass over a single image"):
        list(Batches(2).run(3, work))
