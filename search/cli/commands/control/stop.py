"""The commands `search stop`, `search pause` and `search resume`: they ask the runs of a study for something."""

from typing import TYPE_CHECKING, Annotated

import typer

from objectives.home import Home
from search.cli.flags import HomeOption, StorageOption
from search.cli.output import print_lines

if TYPE_CHECKING:
    from search.database.store import Store

StudyArgument = Annotated[
    str, typer.Argument(metavar="STUDY", help="Name of a study, or of a dataset with one such study.")
]


def stop(
    study: StudyArgument,
    now: Annotated[
        bool, typer.Option("--now", help="End at once: give unfinished trials back, and test nothing.")
    ] = False,
    home: HomeOption = None,
    storage: StorageOption = None,
) -> None:
    """End the run of a study.

    It works from any terminal or machine that reaches the database. Trials that are running finish, the answer is
    tested, and the report is written. If the answer is being tested already, no further fit begins, and the rest is
    not measured. Finished trials are kept in any case; the same `search run` continues.
    """
    from search.study.control import request_stop

    with opened(home, storage) as store:
        asked = request_stop(store, study, now)
    what = "it gives back what it has not finished" if now else "what is running finishes, and the answer is tested"
    print_lines(f"study {asked.study}: {asked.places} ends; {what}")


def pause(study: StudyArgument, home: HomeOption = None, storage: StorageOption = None) -> None:
    """Pause the run of a study. Trials that are running finish, and no further one begins.

    The run and its workers stay, with the network loaded. The time of --for goes on.
    """
    from search.study.control import request_pause

    with opened(home, storage) as store:
        asked = request_pause(store, study)
    print_lines(f"study {asked.study}: {asked.places} pauses; `search resume {asked.study}` continues")


def resume(study: StudyArgument, home: HomeOption = None, storage: StorageOption = None) -> None:
    """Continue a run that `search pause` paused."""
    from search.study.control import request_resume

    with opened(home, storage) as store:
        asked = request_resume(store, study)
    print_lines(f"study {asked.study}: {asked.places} goes on")


def opened(home: str | None, storage: str | None) -> "Store":
    """Open the database. A home folder without one is taken as an empty database."""
    from search.database.store import Store

    return Store.open(storage or Home.at(home).storage, reading=True)  # makes none
