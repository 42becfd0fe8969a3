"""The command `search rename`: gives a study another name."""

from typing import Annotated

import typer

from objectives.home import Home
from search.cli.commands.control.stop import StudyArgument, opened
from search.cli.flags import HomeOption, StorageOption
from search.cli.output import print_lines


def rename(
    study: StudyArgument,
    new: Annotated[str, typer.Argument(metavar="NEW", help="The new name: letters, digits, dots and hyphens.")],
    home: HomeOption = None,
    storage: StorageOption = None,
) -> None:
    """Rename a study.

    Its report and its classifiers are renamed too, and so is the study in Optuna Dashboard. To continue it, add
    --name NEW to its `search run`.
    """
    from search.study.control import rename_study

    with opened(home, storage) as store:
        former = rename_study(store, Home.at(home), study, new, field="NEW")
    print_lines(f"study {former} is {new} now; add --name {new} to the command that continues it")
