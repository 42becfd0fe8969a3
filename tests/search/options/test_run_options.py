"""The options of a search: what is refused, and what the database keeps of them."""

import json
import math
from dataclasses import Field, fields, replace
from pathlib import Path
from typing import Any

import pytest

from objectives.probing.spec import ProbeSpec
from search.options.option import option_info
from search.options.run_options import RunOptions
from search.prepare import prepare_probe
from spaces import UnknownNameError
from spaces.errors import UsageError

OPTIONS = RunOptions(
    "folder",
    home=Path("/home"),
    trials=7,
    sampler="random",
    seed=3,
    folds=4,
    shots=5,
    flips=True,
    balanced=True,
    metric="nll",
    objectives=("nll", "cost"),
    halving=True,
    workers=2,
    precision="bfloat16",
    image_side=64,
    prompt="a bird",
    taps_inside=["query", "mlp"],
    skip_unreadable=True,
    cache_size=10**9,
    ray_address="me:hushhush@host:1",
    storage="postgresql://me:hushhush@host/db",
)


def test_options_are_stored_as_json_without_a_password_and_restored() -> None:
    text = json.dumps(OPTIONS.to_record())
    assert "hushhush" not in text
    assert "//me:" not in repr(OPTIONS)
    back = RunOptions.from_record(json.loads(text), OPTIONS.home)
    assert back == replace(OPTIONS, ray_address=None, storage=None)


def test_options_are_stored_under_the_names_of_the_first_version() -> None:
    assert OPTIONS.to_record() == {
        "dataset": "folder",
        "data_root": None,
        "trials": 7,
        "backbone": "bundled",
        "sampler": "random",
        "seed": 3,
        "validation_fraction": 0.2,
        "shots": 5,
        "flips": True,
        "balanced": True,
        "folds": 4,
        "metric": "nll",
        "cost": True,
        "ladder": True,
        "finalists": None,
        "final_seeds": None,
        "workers": 2,
        "gpus_per_trial": None,
        "precision": "bfloat16",
        "image_side": 64,
        "prompt": "a bird",
        "taps_inside": ["query", "mlp"],
        "skip_unreadable": True,
        "cache_size": 10**9,
        "warm_start": True,
    }


def test_values_of_other_versions_are_ignored() -> None:
    record = OPTIONS.to_record()
    del record["flips"], record["cost"]
    back = RunOptions.from_record({**record, "sharpness": 3, "storage": "sqlite:///x.db"}, OPTIONS.home)
    assert (back.seed, back.flips, back.by_cost, back.storage) == (3, False, False, None)


def test_workers_get_every_option_that_a_fit_depends_on(tmp_path: Path) -> None:
    options = replace(
        OPTIONS,
        dataset="digits",
        home=tmp_path,
        precision="bfloat16",
        objectives=None,
        folds=None,
        prompt=None,
        taps_inside=(),
    )
    options = replace(options, validation_fraction=0.3)
    spec = prepare_probe(options).spec
    shared = {item.name for item in fields(ProbeSpec)} & {item.name for item in fields(RunOptions)} - {"dataset"}
    assert {"balanced", "folds", "halving", "seed", "validation_fraction", "metric"} < shared
    assert {name: getattr(spec, name) for name in shared} == {name: getattr(options, name) for name in shared}


@pytest.mark.parametrize(
    ("root", "backbone", "kept_root", "kept_backbone"),
    [
        ("images", "net", "{here}/images", "{here}/net"),
        (Path("images"), "bundled", "{here}/images", "bundled"),
        ("owner/name", "owner/model", "owner/name", "owner/model"),
        (None, "adm-256", None, "adm-256"),
        (Path("images"), Path("net"), "{here}/images", "{here}/net"),
        (None, Path("bundled"), None, "{here}/bundled"),
    ],
)
def test_folders_are_stored_as_absolute_paths_and_names_unchanged(
    root: str | Path | None,
    backbone: str | Path,
    kept_root: str | None,
    kept_backbone: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("images", "net", "bundled"):  # a known name means the known network, not a folder of that name
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    options = RunOptions.of("folder", data_root=root, backbone=backbone)
    options.check()
    record = options.to_record()
    assert options.absolute().to_record() == record
    assert record["data_root"] == (kept_root and kept_root.format(here=tmp_path))
    assert record["backbone"] == kept_backbone.format(here=tmp_path)


def test_a_space_is_a_name_or_a_file_named_by_text_or_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spaces = [RunOptions.of("digits", space=space) for space in ("small.toml", Path("small.toml"), "paper")]
    for options in spaces:
        options.check()
    assert [options.space for options in spaces] == ["small.toml", str(tmp_path / "small.toml"), "paper"]
    with pytest.raises(UsageError, match="`space` must be text, got 3"):
        RunOptions.of("digits", space=3).check()


@pytest.mark.parametrize(
    ("options", "metric", "by_cost"),
    [
        ({}, "accuracy", False),
        ({"metric": "nll"}, "nll", False),
        ({"objectives": ["accuracy"]}, "accuracy", False),
        ({"objectives": ["accuracy", "cost"]}, "accuracy", True),
        ({"objectives": ("nll", "cost"), "metric": "nll"}, "nll", True),
    ],
)
def test_objectives_are_a_metric_and_perhaps_the_cost(options: dict[str, Any], metric: str, by_cost: bool) -> None:
    made = RunOptions("digits", **options)
    made.check()
    assert (made.optimised_metric, made.by_cost) == (metric, by_cost)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"objectives": ["accuracy", "price"]}, UnknownNameError, "unknown objective 'price'; known: accuracy, cost, "),
        ({"objectives": ["top-5", "cost"]}, UnknownNameError, "unknown objective 'top-5'"),
        ({"objectives": ["accuracy", ""]}, UnknownNameError, "unknown objective ''"),
        ({"metric": "top-5"}, UnknownNameError, "unknown metric 'top-5'"),
        ({"objectives": ["cost"]}, UsageError, "and after it cost if wanted; got 'cost'"),
        ({"objectives": ["cost", "accuracy"]}, UsageError, "got 'cost,accuracy'"),
        ({"objectives": ["accuracy", "nll"]}, UsageError, "takes one metric"),
        ({"objectives": ["accuracy", "cost", "cost"]}, UsageError, "takes one metric"),
        (
            {"objectives": ["accuracy", "cost"], "metric": "nll"},
            UsageError,
            "`metric` is nll and `objectives` begins with accuracy; leave `metric` out",
        ),
        ({"objectives": ["nll", "cost"], "halving": True}, UsageError, "`halving` stops trials by accuracy alone"),
        ({"folds": 3, "validation_fraction": 0.2}, UsageError, "with `folds` every image validates"),
        ({"trials": 0}, UsageError, "`trials` must be from 1 to 2,147,483,647, got 0"),
        ({"validation_fraction": 0.7}, UsageError, "`validation_fraction` must be from 0.05 to 0.5, got 0.7"),
        ({"cache_size": 0}, UsageError, "`cache_size` must be from 1 to 9,.*, got 0"),
        ({"workers": "two"}, UsageError, "`workers` must be a whole number, got 'two'"),
        ({"trials": None}, UsageError, "`trials` must be a whole number, got None"),
        ({"trials": 1.5}, UsageError, "`trials` must be a whole number, got 1.5"),
        ({"trials": True}, UsageError, "`trials` must be a whole number, got True"),
        ({"gpus_per_trial": "half"}, UsageError, "`gpus_per_trial` must be a number, got 'half'"),
        ({"flips": "no"}, UsageError, "`flips` must be True or False, got 'no'"),
        ({"blocks": 9}, UsageError, "`blocks` must be a list or another sequence, got 9"),
        ({"blocks": "8-9"}, UsageError, "`blocks` must be a list or another sequence, got '8-9'"),
        ({"heads": "ridge"}, UsageError, "`heads` must be a list or another sequence, got 'ridge'"),
        ({"home": 3}, UsageError, "`home` must be text, got 3"),
        ({"backbone": None}, UsageError, "`backbone` must be text, got None"),
        ({"data_root": ""}, UsageError, "`data_root` must not be empty, got ''; give a value, or leave it out"),
        ({"home": "a\0b"}, UsageError, "`home` must be text without the character NUL"),
        ({"gpus_per_trial": 1.5}, UsageError, "`gpus_per_trial` must be a whole number or a fraction from 0.01 to 1"),
        ({"gpus_per_trial": 1e-9}, UsageError, "`gpus_per_trial` must be a whole number or a fraction from 0.01 to 1"),
        ({"timesteps": range(10**30)}, UsageError, "`timesteps` takes at most 100,000 values"),
        ({"blocks": [1] * 100_001}, UsageError, "`blocks` takes at most 100,000 values"),
    ],
)
def test_a_mistake_is_refused_with_the_name_of_the_option(
    options: dict[str, Any], error: type[UsageError], words: str
) -> None:
    with pytest.raises(error, match=words) as raised:
        RunOptions("digits", **options).check()
    assert raised.value.exit_code == 2


NUMBERS = [item for item in fields(RunOptions) if (info := option_info(item)) and info.low is not None]
NO_NUMBERS = (math.nan, math.inf, -math.inf, 1e300, -1, 2**64, 10**5000, -(10**5000))


@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: f"{value:.1e}" if isinstance(value, float) else "")
@pytest.mark.parametrize("name", [item.name for item in NUMBERS])
def test_a_number_outside_its_range_is_refused_in_a_short_line(name: str, value: Any) -> None:
    with pytest.raises(UsageError) as raised:
        RunOptions("digits", **{name: value}).check()
    assert f"`{name}` must be " in str(raised.value)
    assert len(str(raised.value)) < 250
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("option", NUMBERS, ids=lambda option: option.name)
def test_both_ends_of_a_range_are_allowed(option: "Field[Any]") -> None:
    info = option_info(option)
    assert info is not None
    ends: tuple[Any, Any] = info.low, info.high
    for value in ends:
        RunOptions("digits", **{option.name: value}).check()


def test_a_seed_leaves_seeds_for_the_finals() -> None:
    RunOptions("digits", seed=2**32 - 1).check()  # a recommendation has no finals
    RunOptions("digits", seed=2**32 - 3, final_seeds=2).check_finals()
    with pytest.raises(UsageError, match=r"from 0 to 4,294,967,290, since the finals take the next 5 .* 4294967295"):
        RunOptions("digits", seed=2**32 - 1).check_finals()


def test_an_unknown_option_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match="unknown option 'trails'; did you mean 'trials'"):
        RunOptions.of("digits", trails=3)


def test_every_option_has_a_help() -> None:
    undescribed = [item.name for item in fields(RunOptions) if not (info := option_info(item)) or not info.help]
    assert undescribed == ["settings", "finals"]  # what `search try` wants, which is no option of a search


@pytest.mark.parametrize("name", ["dataset", "data_root", "backbone", "space", "home"])
@pytest.mark.parametrize("text", ["n" * 256, "/" + "ü" * 128, "a/" + "b" * 10**6 + "/c"])
def test_a_text_that_no_file_can_have_as_its_name_is_refused(name: str, text: str) -> None:
    with pytest.raises(UsageError, match=rf"`{name}` must be text of which no part is longer than 255 bytes") as raised:
        replace(RunOptions("digits"), **{name: text}).check()  # type: ignore[arg-type]
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("name", ["blocks", "timesteps", "pools", "draws", "taps", "heads"])
@pytest.mark.parametrize("values", [range(2_000_000_000), range(10**30)])
def test_a_range_that_is_too_long_is_refused_before_it_is_made(name: str, values: Any) -> None:
    with pytest.raises(UsageError, match=f"`{name}` takes at most 100,000 values, got more"):
        RunOptions("digits", **{name: values}).check()


def test_a_prompt_may_be_longer_than_a_files_name() -> None:
    RunOptions("digits", prompt="a photograph of a bird " * 20).check()
