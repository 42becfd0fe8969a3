import itertools
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces import HEAD_OPTIONS, PRESETS, Architecture, Block, InvalidSpaceError, Setting, Space, Tap, UnknownNameError
from spaces.dimensions import RECIPES
from tests.support.architectures import ADM, SMALL, linear_schedule


def test_the_paper_preset_is_the_papers_grid_on_the_papers_network() -> None:
    space = PRESETS["paper"](ADM)
    assert space.timesteps == (10, 30, 50, 90, 150, 300, 500)
    assert space.blocks == (6, 9, 15, 19, 24, 30, 33)
    assert space.pools == (1, 2, 4, 8)
    assert space.heads == ("linear", "mlp", "cnn", "attention")


def test_the_paper_preset_keeps_the_bottleneck_and_scales_the_noise_on_another_network() -> None:
    space = PRESETS["paper"](SMALL)
    assert SMALL.bottleneck in space.blocks
    for paper_timestep, timestep in ((150, space.timesteps[-3]), (500, space.timesteps[-1])):
        assert SMALL.sigma(timestep or 0) == pytest.approx(ADM.sigma(paper_timestep) / 8, rel=0.1)


def test_the_default_preset_spaces_timesteps_evenly_in_log_snr() -> None:
    space = PRESETS["default"](ADM)
    log_snrs = [ADM.log_snr(t or 0) for t in space.timesteps]
    gaps = [high - low for high, low in itertools.pairwise(log_snrs)]
    assert len(space.timesteps) == 8
    assert max(gaps) - min(gaps) < 0.35
    assert space.blocks == tuple(range(6, 34))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("architecture", [SMALL, ADM], ids=["25 blocks", "37 blocks"])
def test_a_space_counts_enumerates_and_contains_the_same_settings(preset: str, architecture: Architecture) -> None:
    space = PRESETS[preset](architecture)
    settings = list(space.settings())
    assert len(settings) == len(set(settings)) == len(space)
    assert all(setting in space for setting in settings)
    assert all(architecture.block(s.block).side % s.pool == 0 for s in settings)


@given(st.data())
def test_settings_and_spaces_survive_json_and_toml(data: st.DataObject) -> None:
    blocks = data.draw(st.lists(st.integers(1, 25), min_size=1, unique=True))
    heads = data.draw(st.lists(st.sampled_from(sorted(HEAD_OPTIONS)), min_size=1, unique=True))
    timesteps = data.draw(st.lists(st.integers(0, 999), min_size=1, max_size=4, unique=True))
    space = PRESETS["default"](SMALL).narrow(blocks=blocks, heads=heads, timesteps=timesteps)
    assert Space.from_dict(SMALL, json.loads(json.dumps(space.to_dict()))) == space
    setting = data.draw(st.sampled_from(list(space.settings())))
    assert Setting.from_dict(json.loads(setting.to_json())) == setting
    assert space.digest() == replace(space).digest()


def test_a_toml_file_narrows_and_round_trips(tmp_path: Path) -> None:
    space = PRESETS["default"](SMALL).narrow(blocks=[13, 16], heads=["linear"])
    file = tmp_path / "space.toml"
    file.write_text(space.to_toml())
    assert PRESETS["default"](SMALL).narrow_from_file(file) == space


@given(st.sampled_from([(1, 2, 4), (1, 3), (2, 4), (1,)]), st.integers(1, 25))
def test_every_pool_of_a_block_follows_from_its_grid(pools: tuple[int, ...], block: int) -> None:
    fitting = [p for p in pools if p in SMALL.block(block).pools]
    if fitting:
        space = PRESETS["default"](SMALL).narrow(blocks=[block], pools=fitting)
        grid = space.grid_at(block)
        assert SMALL.block(block).side % grid == 0
        assert all(grid % pool == 0 for pool in space.pools_at(block))


@pytest.mark.parametrize(
    ("narrowing", "message"),
    [
        ({"blocks": [13], "pools": [8]}, "pool 8 fits no map of the chosen blocks.* valid: 1, 2, 4"),
        ({"blocks": [13, 16], "pools": [8]}, "no chosen pool divides the 4x4 map of block 13; valid for it: 1, 2, 4"),
        ({"blocks": [26]}, "block 26 does not exist for backbone made-up; valid: 1 to 25"),
        ({"blocks": [0]}, "block 0 does not exist"),
        ({"timesteps": [1000]}, "timestep 1000 does not exist for backbone made-up; valid: 0 to 999"),
        ({"timesteps": []}, "timesteps needs at least one value"),
        ({"timesteps": [5, 5]}, "timesteps holds 5 more than once"),
        ({"draws": [65]}, "number of draws 65 does not exist"),
        ({"pools": ["4"]}, "pools takes whole numbers, got '4'"),
        ({"heads": [4]}, "heads takes names, got 4"),
        ({"pools": [True]}, "pools takes whole numbers"),
        ({"blocks": [10**5000]}, "block a number of thousands of digits does not exist .* valid: 1 to 25"),
        ({"taps": [10**5000]}, "a setting cannot read a number of thousands of digits taps here; valid: 1 to 8"),
        ({"taps": range(1, 9), "timesteps": range(1000)}, "about .* settings, and at most 9.2e.18 can be counted"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(narrowing: dict[str, list[int]], message: str) -> None:
    with pytest.raises(InvalidSpaceError, match=message):
        PRESETS["default"](SMALL).narrow(**narrowing)


def test_unknown_names_list_what_exists() -> None:
    space = PRESETS["default"](SMALL)
    with pytest.raises(UnknownNameError, match="unknown head 'mpl'; did you mean 'mlp'"):
        space.narrow(heads=["mpl"])
    with pytest.raises(UnknownNameError, match="unknown dimension 'block'; did you mean 'blocks'"):
        space.narrow(block=[3])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("blocks = [", " is not TOML"),
        ("blocks = 3", ": blocks must be a list such as .*, got 3"),
        ("[blocks]", ": blocks must be a list"),
        ("depth = [3]", ": unknown dimension 'depth'; known: blocks, "),
        ("foo = 1", ": unknown dimension 'foo'"),
        ("block = 1", ": unknown dimension 'block'; did you mean 'blocks'"),
        ("[mlp]\nwidth = [64]", ": unknown dimension 'mlp'"),
        ("[space]\nblocks = [1]", ": unknown dimension 'space'"),
        ("[[blocks]]", ": blocks takes whole numbers, got {}"),
        ("blocks = ['1']", ": blocks takes whole numbers, got '1'"),
        ("blocks = [1.0]", ": blocks takes whole numbers, got 1.0"),
        ("blocks = [true]", ": blocks takes whole numbers, got True"),
        ("timesteps = [[1]]", r": timesteps takes whole numbers, got \[1\]"),
        ("heads = [1]", ": heads takes names, got 1"),
        ("heads = ['mpl']", ": unknown head 'mpl'; did you mean 'mlp'"),
        ("blocks = [26]", ": block 26 does not exist for backbone made-up; valid: 1 to 25"),
        ("blocks = []", ": blocks needs at least one value"),
        ("pools = [1, 1]", ": pools holds 1 more than once"),
        ("pools = [3]", ": pool 3 fits no map"),
        ("taps = [9]", ": a setting cannot read 9 taps here"),
    ],
)
def test_a_bad_space_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "space.toml"
    file.write_text(text)
    with pytest.raises(InvalidSpaceError, match=f"space file {re.escape(str(file))}{message}"):
        PRESETS["default"](SMALL).narrow_from_file(file)
    with pytest.raises(InvalidSpaceError, match="there is no space file"):
        PRESETS["default"](SMALL).narrow_from_file(tmp_path / "absent.toml")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_space_file_as_editors_save_it(tmp_path: Path, encoding: str, line_end: str) -> None:
    text = line_end.join(["# Größe\r", "blocks = [13,", " 16]", "pools = [1]", ""])
    (tmp_path / "space.toml").write_bytes(text.encode(encoding))
    space = PRESETS["default"](SMALL).narrow_from_file(tmp_path / "space.toml")
    assert (space.blocks, space.pools) == ((13, 16), (1,))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("# Größe\n".encode("latin-1"), "line 1, column 5: byte 0xf6 is not UTF-8"),
        (b"# x\r\nblocks = [\0]", "line 2, column 11: a NUL character"),
        ("blocks = [13]".encode("utf-16-le"), "line 1, column 2: a NUL character"),
        (b"blocks = [13]\nblocks = [14 15]", r"Unclosed array \(at line 2, column 14\)"),
        (b"blocks = [" + b"9" * 5000 + b"]", "Exceeds the limit"),
        (b"blocks = " + b"[" * 5000, "nests too deeply"),
    ],
)
def test_a_space_file_that_is_no_text_or_no_toml(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "space.toml").write_bytes(content)
    with pytest.raises(InvalidSpaceError, match=f"space file .*{message}"):
        PRESETS["default"](SMALL).narrow_from_file(tmp_path / "space.toml")
    with pytest.raises(InvalidSpaceError, match="cannot be read: Is a directory"):
        PRESETS["default"](SMALL).narrow_from_file(tmp_path)


def test_why_not_tells_each_reason() -> None:
    space = PRESETS["default"](SMALL).narrow(blocks=[13, 19], heads=["linear", "mlp"])
    inside = next(space.settings())
    assert space.why_not(inside) is None
    for changed, word in (
        (replace(inside, timestep=999), "timestep 999"),
        (replace(inside, block=14), "block 14"),
        (replace(inside, pool=8), "pool 8"),
        (replace(inside, head="mlp"), "takes the options"),
        (replace(inside, head="mlp", options=(("learning_rate", 1e-3), ("weight_decay", 0.1), ("width", 7))), "width"),
    ):
        assert word in (space.why_not(changed) or "")
        assert changed not in space


@pytest.mark.parametrize("head", ["cnn", "attention"])
def test_depth_belongs_to_the_heads_that_have_one(head: str) -> None:
    space = PRESETS["default"](SMALL).narrow(heads=["mlp", head])
    inside = next(setting for setting in space.settings() if setting.head == head)
    assert space.why_not(inside) is None
    options = dict(inside.options)
    deeper = replace(inside, options=tuple((options | {"depth": 9}).items()))
    assert space.why_not(deeper) == "depth 9 is not in the space; valid: 1, 2"
    other = next(setting for setting in space.settings() if setting.head == "mlp")
    assert "takes the options" in (space.why_not(replace(other, options=inside.options)) or "")
    assert "takes the options" in (space.why_not(replace(inside, options=other.options)) or "")


def test_timesteps_go_to_sigma_and_back() -> None:
    assert [SMALL.timestep_at(SMALL.sigma(t)) for t in range(0, 1000, 7)] == list(range(0, 1000, 7))
    assert SMALL.timestep_at(1e-9) == 0
    assert SMALL.timestep_at(1e9) == 999


ENCODER = Architecture(
    "encoder", 224, tuple(Block(n, f"layer.{n}", "layer", 8, 16 if n < 13 else 1, 0.1, 0.1 * n) for n in range(1, 14))
)


@pytest.mark.parametrize("preset", PRESETS)
def test_an_encoder_has_one_timestep_which_is_none(preset: str, tmp_path: Path) -> None:
    space = PRESETS[preset](ENCODER)
    assert space.timesteps == (None,)
    assert 13 in space.blocks or preset == "paper"
    settings = list(space.settings())
    assert len(settings) == len(space)
    assert all(Setting.from_dict(json.loads(setting.to_json())) == setting for setting in settings)
    assert "t " not in str(settings[0]).split("pool")[0]
    (tmp_path / "space.toml").write_text(space.to_toml())
    assert space.narrow_from_file(tmp_path / "space.toml") == space
    assert Space.from_dict(ENCODER, json.loads(json.dumps(space.to_dict()))) == space


@pytest.mark.parametrize("narrowing", [{"timesteps": [10]}, {"draws": [4]}])
def test_an_encoder_has_no_noise_to_choose(narrowing: dict[str, list[int]]) -> None:
    with pytest.raises(InvalidSpaceError, match="backbone encoder adds no noise: it has no timesteps and no draws"):
        PRESETS["default"](ENCODER).narrow(**narrowing)


def test_a_diffusion_network_needs_a_timestep() -> None:
    with pytest.raises(InvalidSpaceError, match="timestep None does not exist for backbone made-up; valid: 0 to 999"):
        Space(SMALL, (None,), (13,), (1,), ("linear",))


def test_a_setting_must_say_that_it_has_no_timestep() -> None:
    with pytest.raises(InvalidSpaceError, match="a setting needs timestep as int, got None"):
        Setting.from_dict({"block": 1, "pool": 1, "head": "linear"})


def test_layers_are_placed_by_their_share_of_the_depth() -> None:
    layers = replace(
        ENCODER, blocks=tuple(replace(b, side=16) for b in ENCODER.blocks), alphas_cumprod=linear_schedule()
    )
    assert PRESETS["default"](layers).blocks == tuple(range(2, 13))


def test_a_schedule_that_ends_in_pure_noise_has_a_finite_log_snr() -> None:
    assert -20 < replace(SMALL, alphas_cumprod=(0.99, 0.5, 0.0)).log_snr(2) < -10


@pytest.mark.parametrize(
    ("preset", "architecture", "digest"),
    [
        ("default", SMALL, "55d895d74f5d1d9071dfd7767ce08c9ef2462bf6d9c48813f8670fc47fbb7001"),
        ("default", ADM, "108511ed37b7cfb958bb0b046b37c531fc8f21c0c7067a5491c89a682bc9dfe8"),
        ("default", ENCODER, "67d3f7b980c49db647e47979f3599db1788fd1460fdeafa3011e8f4ae0186960"),
        ("paper", SMALL, "729f3a908383fc196b23cd386f4b2b0a118838826a128790db0b2fa17e4174cb"),
        ("paper", ADM, "95679decedc548f7505e1c4584ea370212fbe3755856c18d78a4cf9deb105a52"),
        ("paper", ENCODER, "f7c572b882eb04bd84312fa5d3e7417cea7a2d94b8df486670ba9d501af7dac4"),
    ],
)
def test_a_preset_is_the_space_that_studies_were_begun_in(preset: str, architecture: Architecture, digest: str) -> None:
    assert PRESETS[preset](architecture).narrow(heads=["linear", "mlp"]).digest() == digest


def test_other_heads_than_the_default_ones_come_by_name() -> None:
    space = PRESETS["default"](SMALL)
    assert space.heads == ("linear", "mlp")
    for head in HEAD_OPTIONS:
        assert {setting.head for setting in space.narrow(heads=[head]).settings()} == {head}


def test_a_head_that_is_trained_otherwise_begins_a_new_study(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = PRESETS["default"](SMALL)
    narrowed = [whole.narrow(heads=[head]) for head in ("linear", "mlp")]
    before = [space.digest() for space in narrowed]
    monkeypatch.setitem(RECIPES, "mlp", 3)
    assert [space.digest() == digest for space, digest in zip(narrowed, before, strict=True)] == [True, False]


@pytest.mark.parametrize(
    "values", [None, 3, "block", [("block", 1)], Setting(10, 1, 1, "linear").to_dict() | {"further": 3}]
)
def test_a_setting_is_made_from_names_and_values_only(values: Any) -> None:
    with pytest.raises(InvalidSpaceError, match=r"a setting (is made from names and values|needs further as a list)"):
        Setting.from_dict(values)


@pytest.mark.parametrize("values", [3, "13", 1.5])
def test_a_dimension_is_narrowed_by_a_list(values: Any) -> None:
    with pytest.raises(InvalidSpaceError, match="blocks takes a list of values, got"):
        PRESETS["default"](SMALL).narrow(blocks=values)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "values", [range(2_000_000_000), range(10**30), itertools.count()], ids=["2e9", "1e30", "endless"]
)
def test_a_list_that_is_too_long_is_refused_before_it_is_made(values: Any) -> None:
    for name in ("timesteps", "blocks", "pools", "draws", "taps", "heads"):
        with pytest.raises(InvalidSpaceError, match=f"{name} takes at most 100,000 values, got more"):
            PRESETS["default"](SMALL).narrow(**{name: values})


ABSURD_FILES = {
    "lists in lists": ("blocks = " + "[" * 100_000, "nests too deeply"),
    "tables in tables": ("blocks = " + "{a = " * 100_000, "nests too deeply"),
    "points": ("blocks" + ".a" * 500_000 + " = 1", "nests too deeply"),
    "some points": ("blocks" + ".a" * 990 + " = 1", "blocks must be a list such as .*, got"),
    "lists in a list": ("blocks = [" + "[" * 150 + "]" * 150 + "]", "blocks takes whole numbers, got"),
    "large": ("blocks = [" + "1, " * 2**19 + "]", "it has more than 1,048,576 bytes; give a TOML file"),
    "long number": (f"blocks = [{'9' * 10_000}]", "is not TOML: Exceeds the limit"),
    "float": ("blocks = [1e999]", "blocks takes whole numbers, got inf"),
    "date": ("blocks = [2020-01-01]", "blocks takes whole numbers, got datetime"),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("case", ABSURD_FILES)
def test_an_absurd_space_file_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    text, message = ABSURD_FILES[case]
    (tmp_path / "space.toml").write_text(text)
    with pytest.raises(InvalidSpaceError, match=rf"space file .*space\.toml.*{message}") as refused:
        PRESETS["default"](SMALL).narrow_from_file(tmp_path / "space.toml")
    assert len(str(refused.value)) < 1000


def test_a_folder_is_no_space_file(tmp_path: Path) -> None:
    (tmp_path / "x.toml").mkdir()
    with pytest.raises(InvalidSpaceError, match=r"x\.toml cannot be read: Is a directory; give a TOML file"):
        PRESETS["default"](SMALL).narrow_from_file(tmp_path / "x.toml")


def test_a_clean_pass_is_a_setting_with_no_draws() -> None:
    space = PRESETS["default"](SMALL).narrow(
        timesteps=[5, 50], blocks=[13], pools=[1], heads=["linear"], draws=[0, 1, 4]
    )
    assert len(list(space.settings())) == len(space) == 6
    assert space.forward_passes == {(5, False): 4, (5, True): 1, (50, False): 4, (50, True): 1}
    clean = Setting(50, 13, 1, "linear", draws=0)
    assert clean in space
    assert Setting.from_dict(json.loads(clean.to_json())) == clean
    assert str(clean) == "block 13, t 50, no noise, pool 1, linear"
    assert (
        SMALL.pass_gmacs(clean)
        == SMALL.pass_gmacs(replace(clean, draws=1))
        == SMALL.pass_gmacs(clean.reading(Tap(13, 5)))
    )
    assert clean.passes_per_timestep == 1


def test_only_a_diffusion_network_makes_a_clean_pass_at_a_timestep() -> None:
    with pytest.raises(InvalidSpaceError, match="a setting of an encoder, which has no timestep, has 1 as its draws"):
        Setting(None, 13, 1, "linear", draws=0)
    with pytest.raises(
        InvalidSpaceError, match="number of draws -1 does not exist for backbone made-up; valid: 0 to 64"
    ):
        PRESETS["default"](SMALL).narrow(draws=[-1])
