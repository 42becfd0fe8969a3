import math

import pytest

from spaces import PRESETS, Setting, Tap
from spaces.coordinates import coordinates_of, mean_coordinates
from tests.support.architectures import ADM, SMALL


def test_depth_runs_from_the_input_by_the_bottleneck_to_the_output() -> None:
    depths = [coordinates_of(ADM, Tap(block, 90), 1).depth for block in range(1, 38)]
    assert depths == sorted(depths)
    assert depths[18] == 0
    assert depths[-1] == 1
    assert -1 < depths[0] < -0.9


def test_the_same_of_two_networks_lies_in_the_same_place() -> None:
    """The paper's preset carries its grid to a network of smaller images in this way."""
    theirs, ours = PRESETS["paper"](ADM), PRESETS["paper"](SMALL)
    for paper_timestep, timestep in zip(theirs.timesteps[-3:], ours.timesteps[-3:], strict=True):
        there, here = coordinates_of(ADM, Tap(19, paper_timestep), 4), coordinates_of(SMALL, Tap(13, timestep), 4)
        assert here.noise == pytest.approx(there.noise, abs=0.05)
        assert (here.depth, here.grid) == (there.depth, there.grid) == (0, 2)


def test_a_larger_image_shows_more_at_the_same_noise() -> None:
    apart = coordinates_of(SMALL, Tap(4, 150), 1).noise - coordinates_of(ADM, Tap(4, 150), 1).noise
    assert apart == pytest.approx(math.log(256 / 32))


def test_several_taps_lie_in_their_middle() -> None:
    several = Setting(90, 5, 2, "linear").reading(Tap(5, 90), Tap(7, 300))
    one, other = coordinates_of(SMALL, Tap(5, 90), 2), coordinates_of(SMALL, Tap(7, 300), 2)
    found = mean_coordinates(SMALL, several)
    assert found.noise == pytest.approx((one.noise + other.noise) / 2)
    assert found.depth == pytest.approx((one.depth + other.depth) / 2)
    assert found.grid == 1
