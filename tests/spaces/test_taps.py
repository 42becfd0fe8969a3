"""Settings that read several taps, and spaces of them."""

import json
import random
from collections import Counter
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest

from spaces import PRESETS, InvalidSpaceError, Setting, Space, Tap
from tests.support.architectures import SMALL

TAPS = (Tap(16, 20), Tap(9, 90), Tap(13, 90))
SETTING = Setting(90, 13, 2, "linear", further=(Tap(16, 20), Tap(9, 90)))


@pytest.fixture
def space() -> Space:
    """Blocks of 16, 8 and 4 cells a side: pool 8 fits the first two, pool 16 one alone."""
    chosen = PRESETS["default"](SMALL).narrow(blocks=[6, 9, 13], timesteps=[20, 90], pools=[2, 8, 16], heads=["linear"])
    return chosen.narrow(taps=[1, 2, 3])


def test_the_order_in_which_taps_are_given_does_not_matter() -> None:
    for order in permutations(TAPS):
        assert SETTING.reading(*order) == SETTING
        assert hash(SETTING.reading(*order)) == hash(SETTING)
    assert SETTING.taps == TAPS
    assert (SETTING.timestep, SETTING.block) == (20, 16)


def test_a_timestep_is_a_pass_whatever_is_read_at_it() -> None:
    assert SETTING.passes == {20: (16,), 90: (9, 13)}
    assert replace(SETTING, further=()).passes == {20: (16,)}
    assert Setting(None, 3, 1, "linear", further=(Tap(2, None),)).passes == {None: (2, 3)}


@pytest.mark.parametrize(
    ("setting", "gmacs"),
    [
        (Setting(20, 16, 2, "linear"), 0.16),
        (Setting(20, 16, 2, "linear", draws=4), 4 * 0.16),
        (Setting(20, 16, 2, "linear", further=(Tap(9, 20),)), 0.16),
        (SETTING, 0.16 + 0.13),
        (replace(SETTING, draws=2), 2 * (0.16 + 0.13)),
        (Setting(None, 3, 1, "linear", further=(Tap(2, None),)), 0.03),
    ],
    ids=str,
)
def test_a_pass_costs_what_its_deepest_block_takes(setting: Setting, gmacs: float) -> None:
    assert SMALL.pass_gmacs(setting) == pytest.approx(gmacs)


def test_it_is_told_as_people_read_it() -> None:
    assert str(SETTING) == "block 16 at t 20 + block 9 at t 90 + block 13 at t 90, pool 2, linear"
    assert str(Setting(None, 3, 1, "linear", further=(Tap(2, None),))) == "block 2 + block 3, pool 1, linear"
    assert json.loads(SETTING.to_json()) == {
        "block": 16,
        "timestep": 20,
        "further": [{"block": 9, "timestep": 90}, {"block": 13, "timestep": 90}],
        "pool": 2,
        "draws": 1,
        "head": "linear",
    }
    assert Setting.from_dict(json.loads(SETTING.to_json())) == SETTING


def test_a_tap_cannot_come_twice() -> None:
    with pytest.raises(InvalidSpaceError, match=r"reads a tap once, got block 9 at t 90 \+ block 9 at t 90"):
        SETTING.reading(Tap(9, 90), Tap(9, 90))


@pytest.mark.parametrize("tap", [{"block": 3}, {"block": "3", "timestep": 4}, {"block": 3, "timestep": True}, 3])
def test_a_further_tap_that_is_none_is_refused(tap: object) -> None:
    with pytest.raises(InvalidSpaceError, match="a further tap"):
        Setting.from_dict(SETTING.to_dict() | {"further": [tap]})


def test_a_space_of_one_tap_is_what_it_was(space: Space) -> None:
    plain = space.narrow(taps=[1])
    assert "taps" not in plain.to_dict()
    assert [choice.name for choice in plain.dimensions] == ["timestep", "block", "pool", "draws", "head"]
    assert space.digest() != plain.digest()
    assert [s for s in space.settings() if not s.further] == list(plain.settings())


@pytest.mark.parametrize("taps", [(1,), (2,), (1, 2), (3, 1), (1, 2, 3), (4,)])
def test_it_counts_enumerates_and_contains_the_same_settings(space: Space, taps: tuple[int, ...]) -> None:
    several = space.narrow(taps=taps)
    settings = list(several.settings())
    assert len(settings) == len(set(settings)) == len(several)
    assert all(setting in several for setting in settings)
    assert {len(setting.taps) for setting in settings} == set(taps)
    for setting in settings:
        assert all(SMALL.block(tap.block).side % setting.pool == 0 for tap in setting.taps)


def test_all_settings_are_drawn_alike(space: Space) -> None:
    generator, settings = random.Random(1), list(space.settings())
    counts = Counter(space.sample(generator) for _ in range(100 * len(settings)))
    assert counts.keys() == set(settings)
    # 100 each is expected, with a standard deviation of 10.
    assert 55 < min(counts.values()) <= max(counts.values()) < 150


def test_what_keeps_a_setting_out_is_said_of_every_tap(space: Space) -> None:
    inside = next(s for s in space.settings() if len(s.taps) == 3)
    for taps, words in (
        ((Tap(6, 20), Tap(10, 90)), "block 10 is not in the space; valid: 6, 9, 13"),
        ((Tap(6, 20), Tap(6, 91)), "timestep 91 is not in the space; valid: 20, 90"),
        (space_taps := tuple(Tap(b, t) for b in (6, 9) for t in (20, 90)), "number of taps 4 is not in the space"),
    ):
        assert words in str(space.why_not(inside.reading(*taps))), space_taps
    wide = replace(inside, pool=8).reading(Tap(6, 20), Tap(13, 20))
    assert space.why_not(wide) == "pool 8 is not in the space at block 13; valid: 2"


@pytest.mark.parametrize(("taps", "words"), [((0, 1), "0 taps"), ((7,), "7 taps here; valid: 1 to 6"), ((), "least")])
def test_more_taps_than_there_are_cannot_be_read(space: Space, taps: tuple[int, ...], words: str) -> None:
    with pytest.raises(InvalidSpaceError, match=words):
        space.narrow(taps=taps)


def test_it_survives_json_and_toml(space: Space, tmp_path: Path) -> None:
    assert Space.from_dict(SMALL, json.loads(json.dumps(space.to_dict()))) == space
    file = tmp_path / "space.toml"
    file.write_text(space.to_toml())
    assert PRESETS["default"](SMALL).narrow_from_file(file) == space
