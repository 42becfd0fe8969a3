"""The command `search logs`: what the process of a job printed."""

import time
from typing import Annotated

import typer

from search.cli.commands.service.jobs import JobArgument
from search.cli.flags import HomeOption, StorageOption
from spaces.text import one_line

FOLLOW_SECONDS = 0.5


def logs(
    job: JobArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new lines until the job has ended.")] = False,
    home: HomeOption = None,
    storage: StorageOption = None,
) -> None:
    """Print the log of a job: the last 64,000 characters that its process printed."""
    from objectives.home import Home
    from search.database.jobs.job_table import JobTable
    from search.database.store import Store

    with Store.open(storage or Home.at(home).storage, reading=True) as store:
        jobs, offset = JobTable(store), 0
        while True:
            has_ended = jobs.job(job).state not in ("queued", "running")
            text, offset = jobs.log(job, offset)
            typer.echo("\n".join(map(one_line, text.split("\n"))), nl=False)
            if has_ended or not follow:
                return
            time.sleep(FOLLOW_SECONDS)
