"""Commands that are printed: they repeat the options, and work as they are typed."""

import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from search.cli.flags import with_run_options
from search.commands import run_command
from search.database.connection.url import Address
from search.options.run_options import RunOptions
from tests.support.command_line import Search

OPTIONS: list[dict[str, Any]] = [
    {},
    {"trials": 7, "name": "birds-linear", "seed": 3, "skip_unreadable": True, "flips": True, "halving": True},
    {"blocks": [4, 5, 6], "timesteps": range(10, 12), "pools": (1,), "heads": ["linear", "mlp"], "draws": [1, 4]},
    {"taps": [1, 2], "sampler": "greedy", "warm_start": False, "folds": 5, "shots": 3, "balanced": True},
    {"metric": "nll", "finalists": 2, "final_seeds": 3, "workers": 1, "gpus_per_trial": 0.25, "precision": "bfloat16"},
    {"image_side": 64, "prompt": "a photo of a bird's nest", "taps_inside": ["query", "mlp"]},
    {"objectives": ["accuracy", "cost"], "validation_fraction": 0.3, "cache_size": 2_000_000_000},
    {"storage": "postgresql+psycopg://me@host/db", "ray_address": "10.0.0.1:6379"},
    {"home": "a home", "data_root": "my birds", "space": "small.toml", "backbone": "net"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: ", ".join(options) or "none")
def test_the_command_of_options_is_read_as_these_options_from_any_folder(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("my birds", "net"):
        Path(folder).mkdir()
    made = RunOptions("folder", **options)
    words = shlex.split(run_command(made))
    read: list[RunOptions] = []
    app = typer.Typer()

    @app.command()
    @with_run_options()
    def run(options: RunOptions) -> None:
        read.append(options)

    monkeypatch.chdir("/")
    assert words[:2] == ["search", "run"]
    ran = CliRunner().invoke(app, words[2:])
    assert ran.exit_code == 0, ran.output
    expected: dict[str, Any] = {
        "home": str(tmp_path / "a home") if "home" in options else None,
        "data_root": str(tmp_path / "my birds") if "data_root" in options else None,
        "backbone": str(tmp_path / "net") if "backbone" in options else "bundled",
        "space": str(tmp_path / "small.toml") if "space" in options else "default",
    }
    expected |= {name: [*value] for name, value in made.narrowing.items() if value is not None}
    assert read[0] == replace(made, **expected)


@pytest.mark.parametrize(
    ("storage", "typed"),
    [
        ("postgresql://me:hush@host:5/db", "postgresql+psycopg://me@host:5/db"),
        ("postgresql://host/db?user=me&password=hush", "postgresql+psycopg://host/db?user=me"),
        ("postgresql://me@host/db?sslpassword=hush&sslkey=k", "postgresql+psycopg://me@host/db?sslkey=k"),
        ("sqlite:////a/b c.db", "sqlite:////a/b c.db"),
    ],
)
def test_no_command_holds_a_password(storage: str, typed: str) -> None:
    command = run_command(RunOptions("digits", storage=storage))
    assert str(Address(storage)) == typed
    assert shlex.split(command)[-2:] == ["--storage", typed]
    assert "hush" not in command


def test_every_command_that_a_study_prints_works_as_it_is_typed(
    search: Search, finished_search: Path, tmp_path: Path
) -> None:
    """The study lies in a home folder that is neither the default one nor where it was made."""
    home = shutil.copytree(finished_search / "home", tmp_path / "elsewhere" / "a home")
    search("report", "--home", str(home), "--out", "page.md")
    page = Path("page.md").read_text()
    printed = [line.strip() for line in page.splitlines() if line.strip().startswith("search ")]
    status = search("status", "--dataset", "folder", "--home", str(home)).stdout
    printed += re.findall(r"^command +(search .*)$", status, re.MULTILINE)
    commands = dict.fromkeys(shlex.join(shlex.split(line, comments=True)) for line in printed if line)
    assert [command.split()[1] for command in commands if " --" in command] == ["export", "best", "run", "run"]
    exported = ""
    for command in commands:
        words = shlex.split(command)[1:]
        if words[:2] == ["run", "--dataset"]:
            assert {"--heads", "--blocks", "--timesteps", "--taps", "--draws", "--sampler"} <= {*words}
            if words[words.index("--home") + 1] != str(home):
                continue  # the command as it was run, where the study was made
            words += ["--trials", "3"]  # which the study has
        elif words == ["classify"]:
            continue  # named, not to be typed
        ran = search(*words)
        assert ran.code == 0, (command, ran.stderr)
        if words[0] == "export":
            exported = ran.stderr.partition("`")[2].partition("`")[0]
        if words[0] == "run":
            assert "the study has 3 finished trials already" in ran.stdout
    images = next((finished_search / "digits" / "test").iterdir())
    ran = search(*shlex.split(exported.replace("IMAGE_OR_FOLDER", shlex.quote(str(images))))[1:])
    assert ran.code == 0, ran.stderr
    assert search("status", "--home", str(home), "--json").stdout.count('"study"') == 1  # all of one study
