import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from objectives.backbones.pipeline.schedule import add_noise
from objectives.features.noise import noise_for
from objectives.features.pooling import pool

SHAPE = (3, 8, 8)


def test_noise_depends_on_seed_image_timestep_and_draw_and_on_nothing_else() -> None:
    first = noise_for(["a", "b"], 0, 10, 0, SHAPE)
    torch.manual_seed(5)
    assert torch.equal(first, noise_for(["a", "b"], 0, 10, 0, SHAPE))
    assert torch.equal(first.flip(0), noise_for(["b", "a"], 0, 10, 0, SHAPE))
    for other in (("c", 0, 10, 0), ("a", 1, 10, 0), ("a", 0, 11, 0), ("a", 0, 10, 1)):
        digest, seed, timestep, draw = other
        assert not torch.allclose(first[0], noise_for([digest], seed, timestep, draw, SHAPE)[0])


def test_noise_is_standard_normal() -> None:
    noise = noise_for([str(i) for i in range(500)], 0, 0, 0, SHAPE)
    assert noise.mean().item() == pytest.approx(0, abs=0.02)
    assert noise.std().item() == pytest.approx(1, abs=0.02)


def test_adding_noise_keeps_the_variance_of_unit_images() -> None:
    images, noise = torch.randn(64, *SHAPE), noise_for([str(i) for i in range(64)], 0, 0, 0, SHAPE)
    assert add_noise(images, noise, 0.3).std().item() == pytest.approx(1, abs=0.05)
    assert torch.equal(add_noise(images, noise, 1.0), images)


@given(st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2, 4, 8]), st.integers(0, 2**16))
def test_a_coarser_pool_follows_from_a_finer_one(first: int, second: int, seed: int) -> None:
    fine, coarse = max(first, second), min(first, second)
    maps = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    torch.testing.assert_close(pool(pool(maps, fine), coarse), pool(maps, coarse))
    torch.testing.assert_close(pool(maps, coarse), torch.nn.functional.adaptive_avg_pool2d(maps, coarse))


def test_a_pool_that_does_not_divide_the_map_is_refused() -> None:
    with pytest.raises(ValueError, match="pool 3 must divide"):
        pool(torch.zeros(1, 1, 8, 8), 3)
