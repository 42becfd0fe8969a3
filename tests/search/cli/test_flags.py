"""Flags: how text becomes values, and how commands get the options of a search."""

import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from objectives.home import Home
from search.cli.flags import number_parser, parse_duration, parse_integers, parse_size, with_run_options
from search.options.option import option_info
from search.options.run_options import RunOptions


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
    ("parse", "words"),
    [
        (parse_integers, "expected numbers and ranges such as 4,13-16, got 'many'"),
        (parse_size, "expected a size such as 200GB"),
        (parse_duration, "expected a time such as 90s"),
        (number_parser(1, 9), "expected a whole number from 1 to 9, got 'many'"),
    ],
)
def test_a_wrong_value_names_its_flag_on_the_command_line(parse: Callable[[str], object], words: str) -> None:
    with pytest.raises(typer.BadParameter, match=words):
        parse("many")
