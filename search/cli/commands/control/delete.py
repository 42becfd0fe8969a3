"""The command `search delete`: deletes a study."""

import sys
from typing import Annotated

import typer

from objectives.home import Home
from search.cli.commands.control.stop import StudyArgument, opened
from search.cli.flags import HomeOption, StorageOption
from search.cli.output import print_lines
from spaces import UsageError


def delete(
    study: StudyArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    home: HomeOption = None,
    storage: StorageOption = None,
) -> None:
    """Delete a study.

    Its trials, its results and the pages of its report go, and nothing brings them back. The command prints first
    what goes and what stays. Classifiers that were exported and features in the cache stay.
    """
    from search.study.control import delete_study, deletion

    folder = Home.at(home)
    with opened(home, storage) as store:
        parts = deletion(store, folder, study)
        print_lines(*parts.lines)
        if not yes:
            if not sys.stdin.isatty():
                raise UsageError("deleting asks first, and there is no terminal to ask on; give `yes`")
            if not typer.confirm("delete it?"):
                print_lines("nothing was deleted")
                return
        delete_study(store, folder, parts.study)
    print_lines(f"deleted study {parts.study}")
