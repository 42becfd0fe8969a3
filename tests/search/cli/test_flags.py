"""Flags: how text becomes values, and how commands get the options of a search."""

import inspect
from dataclasses import fields
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from objectives.home import Home
from search.cli.flags import number_parser, parse_duration, parse_integers, parse_names, parse_size, with_run_options
from search.option import option_info
from search.options import RunOptions


def parsed(*words: str) -> RunOptions:
    """Return the options that a command gets when the words are typed."""
    seen: list[RunOptions] = []

    @with_run_options()
    def command(options: RunOptions) -> None:
        seen.append(options)

    app = typer.Typer()
    app.command()(command)
    ran = CliRunner().invoke(app, [*words], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return seen[0]


def test_a_dataset_alone_gives_the_default_options() -> None:
    assert parsed("--dataset", "digits") == RunOptions("digits")


def test_every_option_has_a_flag_that_reaches_it() -> None:
    words = (
        "--dataset cub --data-root x --trials 7 --backbone net --space paper --blocks 1,3-4 --timesteps 5 "
        "--pools 1 --heads linear,mlp --draws 2 --taps 1-2 --sampler tpe --no-warm-start --seed 3 "
        "--validation-fraction 0.1 --folds 2 --shots 4 --flips --balanced --metric nll --objectives nll,cost "
        "--halving --finalists 2 --final-seeds 1 --workers 2 --gpus-per-trial 0.5 --gpu-type A100 "
        "--precision float16 --image-side 64 --prompt bird --taps-inside query "
        "--skip-unreadable --name mine --ray-address h:1 --cache-size 2GB --home /h --storage sqlite:///s.db "
        "--for 1h30m --patience 9 --target 0.9 --notify json://a --notify json://b --on-finish true"
    )
    options = parsed(*words.split())
    changed = {item.name for item in fields(RunOptions) if getattr(options, item.name) != item.default}
    assert changed == {item.name for item in fields(RunOptions) if option_info(item)}
    assert options.blocks == [1, 3, 4]
    assert options.objectives == ["nll", "cost"]
    assert options.cache_size == 2 * 10**9
    assert options.time_limit == 5400
    assert options.notify == ["json://a", "json://b"]
    assert options.home_folder == Home.at(Path("/h"))


def test_the_former_name_of_halving_still_works_and_is_hidden() -> None:
    assert parsed("--dataset", "digits", "--ladder").halving
    assert not parsed("--dataset", "digits").halving

    @with_run_options("dataset", "halving")
    def command(options: RunOptions) -> None: ...

    app = typer.Typer()
    app.command()(command)
    output = CliRunner().invoke(app, ["--help"]).output
    assert "--halving" in output
    assert "--ladder" not in output


def test_a_command_may_take_some_run_options_and_options_of_its_own() -> None:
    @with_run_options("dataset", "seed", seed="Another help.")
    def command(options: RunOptions, more: int = 3) -> None: ...

    assert list(inspect.signature(command).parameters) == ["dataset", "seed", "more"]
    app = typer.Typer()
    app.command()(command)
    output = CliRunner().invoke(app, ["--help"]).output
    assert "Another help." in output
    assert "Random seed for the sampler" not in output


@pytest.mark.parametrize(
    ("text", "size"),
    [("200GB", 200 * 10**9), ("1.5 TiB", int(1.5 * 2**40)), ("300m", 300 * 10**6), ("12", 12), ("0", 0)],
)
def test_sizes_are_parsed(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "lots", "1..5GB", "-3GB", "3XB", "1e3GB", "inf", "nan", "9" * 400 + "GB"])
def test_invalid_sizes_are_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="expected a size such as 200GB"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5m", 300), ("90s", 90), ("90", 90), ("1.5h", 5400), ("1h30m", 5400), ("1h 5s", 3605), (" 2 M ", 120)],
)
def test_durations_are_parsed(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "m", "-5m", "0", "5 minutes", "5d", "30m1h", "1h30", "nan", "inf", "1e400", "9" * 400]
)
def test_invalid_durations_are_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"expected a time such as 90s, 5m or 1h30m"):
        parse_duration(text)


@pytest.mark.parametrize(("text", "values"), [("4", [4]), ("4,13-16", [4, 13, 14, 15, 16]), (" 1 , 2 ", [1, 2])])
def test_numbers_and_ranges_are_parsed(text: str, values: list[int]) -> None:
    assert parse_integers(text) == values


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected numbers and ranges such as 4,13-16, got ''"),
        ("4,,5", "expected numbers and ranges"),
        ("1e3", "expected numbers and ranges"),
        ("-5", "expected numbers and ranges"),
        ("²", "expected numbers and ranges"),
        ("9" * 5000, "expected numbers and ranges"),
        ("10-8", "a range begins with the smaller number, such as 8-10, got 10-8"),
        ("0-9999999999", "expected at most 100,000 numbers, got 0-9999999999"),
        ("0-99999,0", "expected at most 100,000 numbers, got 0"),
    ],
)
def test_what_is_no_list_of_numbers_is_refused(text: str, words: str) -> None:
    with pytest.raises(typer.BadParameter, match=words) as raised:
        parse_integers(text)
    assert len(str(raised.value)) < 250


@pytest.mark.parametrize("text", ["0", "65536", "1e3", "1.5", "nan", "inf", "-0", "", "0x10", "9" * 400, "9" * 5000])
def test_a_number_outside_the_range_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="expected a whole number from 1 to 65,535, got ") as raised:
        number_parser(1, 65535)(text)
    assert len(str(raised.value)) < 250


@pytest.mark.parametrize("text", ["0.04", "nan", "inf", "-inf", "1e400", "half", "9" * 5000])
def test_a_fraction_outside_the_range_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"expected a number from 0\.05 to 0\.5, got "):
        number_parser(0.05, 0.5, float)(text)


def test_numbers_are_parsed() -> None:
    assert (number_parser(1, 9)(" 7 "), number_parser(0, 9)("-0"), number_parser(0, 1, float)("2.5e-1")) == (7, 0, 0.25)


def test_names_are_parsed() -> None:
    assert parse_names(" nll , cost ") == ["nll", "cost"]
    assert parse_names("accuracy,") == ["accuracy", ""]  # the empty name is refused with the option's name
