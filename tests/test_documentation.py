"""The documentation names files and options that exist."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from search.cli.main import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FILES = re.compile(r"(?<![\w/])(?:search|dashboards|objectives|spaces|scripts|tests|docs)/[\w/.-]*\w/?")
COMMANDS = re.compile(r"search [a-z].*")
OPTIONS = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


def options(command: Any) -> Iterator[str]:
    yield "--help"
    for parameter in command.params:
        yield from (*parameter.opts, *parameter.secondary_opts)
    for subcommand in getattr(command, "commands", {}).values():
        yield from options(subcommand)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    named = set(FILES.findall(page.read_text(encoding="utf-8")))
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_option_of_a_search_command_exists(page: Path) -> None:
    known = set(options(typer.main.get_command(app)))
    lines = COMMANDS.findall(page.read_text(encoding="utf-8"))
    named = {option for line in lines for option in OPTIONS.findall(line.partition("#")[0])}
    assert sorted(named - known) == []
