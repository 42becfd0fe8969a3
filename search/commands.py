"""Commands that a person can type, made from options: each option that is not its default, and no password.

A command as it was typed is never kept.
"""

import shlex
from collections.abc import Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from search.options.option import option_info
from search.options.run_options import RunOptions
from spaces.text import one_line


def run_command(options: RunOptions, names: Collection[str] | None = None) -> str:
    """Return the `search run` command of these options; from any folder it finds what they name.

    names: the options that the command repeats; None for all. A password of the database is left out: PostgreSQL also
    reads it from the environment variable PGPASSWORD and from the file ~/.pgpass.
    """
    return command_line("run", options, names)


def command_line(
    command: str, options: RunOptions, names: Collection[str] | None = None, others: Mapping[str, Any] | None = None
) -> str:
    """Return the command of these options, as `run_command` does.

    command: its name. others: further options of the command that are not their defaults; a tuple has the values of an
    option that is given several times.
    """
    absolute = options.absolute()
    words = ["search", command, "--dataset", str(absolute.dataset)]
    for item in fields(RunOptions):
        info, value = option_info(item), getattr(absolute, item.name)
        if info is None or info.secret or item.name in ("dataset", "home") or value == item.default:
            continue
        if names is None or item.name in names:
            words += _words(info.flag or item.name, f"{value:g}s" if info.notation == "duration" else value)
    if absolute.space.endswith(".toml"):
        words = [str(Path(word).absolute()) if word == absolute.space else word for word in words]
    for name, value in (others or {}).items():
        for single in value if isinstance(value, tuple) else [value]:
            words += _words(name, single)
    return one_line(shlex.join([*words, *home_words(options.home, options.storage)]))


def home_words(home: str | Path | None, storage: str | Path | None) -> list[str]:
    """Return the words of a command line that name a home folder and a database, where they are not the default."""
    from objectives.home import Home
    from search.database.connection.url import Address

    folder = Home.at(home)
    words = [] if folder.is_default else ["--home", str(folder.folder)]
    return words if storage is None else [*words, "--storage", str(Address(storage))]


def _words(name: str, value: Any) -> list[str]:
    flag = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return [flag if value else f"--no-{flag[2:]}"]
    if isinstance(value, (str, Path, int, float)):
        return [flag, str(value)]
    return [flag, ",".join(map(str, value))]
