"""A setting that a person wrote becomes a setting of the space, or an error in words."""

import pytest

from search.running.chosen_settings import chosen_setting, parsed_setting, setting_text
from spaces import InvalidSpaceError, Setting, Space, UsageError


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("block=8,timestep=90,pool=4,head=linear", Setting(90, 8, 4, "linear")),
        (
            "block=8, timestep=90, pool=4, head=mlp, width=512",
            Setting(90, 8, 4, "mlp", options=(("learning_rate", 0.001), ("weight_decay", 0.01), ("width", 512))),
        ),
    ],
)
def test_what_is_left_out_has_its_fewest_or_middle_value(text: str, setting: Setting, space: Space) -> None:
    chosen = chosen_setting(parsed_setting(text), space)
    assert (chosen.taps, chosen.pool, chosen.head, chosen.draws) == (
        setting.taps,
        setting.pool,
        setting.head,
        setting.draws,
    )
    assert dict(chosen.options).get("width") == dict(setting.options).get("width")
    assert chosen in space
    assert chosen_setting(chosen, space) == chosen
    assert chosen_setting(parsed_setting(setting_text(chosen)), space) == chosen


def test_two_taps_are_named_by_their_numbers(space: Space) -> None:
    several = Space(space.architecture, space.timesteps, space.blocks, space.pools, ("linear",), taps=(1, 2))
    chosen = chosen_setting(parsed_setting("block=3,timestep=10,block 2=4,timestep 2=90,pool=1"), several)
    assert [(tap.block, tap.timestep) for tap in chosen.taps] == [(3, 10), (4, 90)]
    assert len(chosen_setting(parsed_setting("block=3,timestep=10,pool=1"), several).taps) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("block=8,timestep=90,head=linear", "a setting needs pool; valid: 1, 2, 4"),
        ("block=6,timestep=90,pool=4,head=linear", "block '6' is not in the space; valid: 3, 4, 5, 8, 10"),
        ("block=8,timestep=90,pool=4,head=linear,width=256", "head linear has no width"),
        ("block=8,timestep=90,pool=4,head=lineal", "head 'lineal' is not in the space; valid: linear, mlp"),
        ("block=5,timestep=90,pool=4,head=linear", "pool"),
        ("foo=9", "a setting has no foo; it has timestep, block, pool"),
        (f"block={'9' * 400},timestep=90,pool=4,head=linear", "block '999"),
    ],
)
def test_what_is_no_setting_of_the_space_is_refused(text: str, words: str, space: Space) -> None:
    with pytest.raises(InvalidSpaceError, match=words):
        chosen_setting(parsed_setting(text), space)


@pytest.mark.parametrize("text", ["", "block", "block=", "block=1,block=2", "block=8,,pool=1"])
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="`setting` must"):
        parsed_setting(text)
