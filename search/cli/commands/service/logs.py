"""The command `search logs`: what the process of a job printed."""

import time
from typing import Annotated

import typer

from search.cli.commands.service.jobs import JobArgument
from search.cli.flags import HomeOption, ServerOption, StorageOption
from search.cli.output import print_log
from search.cli.remote import server_client

FOLLOW_SECONDS = 0.5


def logs(
    job: JobArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new lines until the job has ended.")] = False,
    home: HomeOption = None,
    storage: StorageOption = None,
    server: ServerOption = None,
) -> None:
    """Print the log of a job.

    The log has the last 64,000 characters that the process of the job printed.
    """
    if server is not None:
        with server_client(server, home=home, storage=storage) as client:
            for text in client.logs(job, follow):
                print_log(text)
        return
    from objectives.home import Home
    from search.database.jobs.job_table import JobTable
    from search.database.store import Store

    with Store.open(storage or Home.at(home).storage, reading=True) as store:
        jobs, offset = JobTable(store), 0
        while True:
            has_ended = jobs.job(job).state not in ("queued", "running")
            text, offset = jobs.log(job, offset)
            print_log(text)
            if has_ended or not follow:
                return
            time.sleep(FOLLOW_SECONDS)
